/** After the memory was too small: the same again, with less of what takes it. */
import { html } from "../../vendor/htm-preact.js";
import { number } from "../core/format.js";
import { t } from "../core/i18n.js";
import { submit } from "../core/jobs.js";
import { sizeOf, snap } from "../core/limits.js";
import { catalogue } from "../core/models.js";
import { useStore } from "../core/store.js";
import { toastError } from "../core/toasts.js";
import { Button } from "../ui/controls.js";
import { newKey } from "./composer.js";

/** @import {Job, Model, Settings} from "../types.js" */

/** @param {{job: Job}} props */
export function RetrySmaller({ job }) {
  const model = useStore(catalogue, (all) => all?.models[job.model_id]);
  const settings = job.error?.code === "out_of_memory" && model ? smaller(model, job.settings) : null;
  if (!settings) return null;
  const again = async () => {
    const { refusal } = await submit([
      {
        type: job.type,
        model: job.model_id,
        prompt: job.prompt,
        negativePrompt: job.negative_prompt,
        settings,
        key: newKey(),
      },
    ]);
    if (refusal) toastError(refusal);
  };
  return html`<${Button} kind="compact" icon="retry" text=${labelOf(job.settings, settings)} onClick=${again} />`;
}

/**
 * About half the frames of a clip, else about half the pixels; null where neither can be less.
 *
 * @param {Model} model
 * @param {Settings} settings
 * @returns {Settings | null}
 */
function smaller({ step_config: config }, settings) {
  const { width = config.width.default, height = config.height.default, num_frames } = settings;
  if (config.frames && num_frames && num_frames > config.frames.min)
    return { ...settings, num_frames: snap(config.frames, num_frames / 2) };
  const size = sizeOf(config, width / height, (width * height) / 2);
  return size.width * size.height < width * height ? { ...settings, ...size } : null;
}

/**
 * @param {Settings} before
 * @param {Settings} now
 */
const labelOf = (before, now) =>
  now.num_frames !== before.num_frames
    ? t("retry.frames", { frames: number(now.num_frames ?? 0) })
    : t("retry.size", { size: `${now.width} × ${now.height}` });
