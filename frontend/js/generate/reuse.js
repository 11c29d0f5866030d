/** Bringing what made a medium back into the form. */
import { changeDraft, draftFrom, modelName, prompt } from "../core/drafts.js";
import { t } from "../core/i18n.js";
import { catalogue } from "../core/models.js";
import { go, hrefOf } from "../core/router.js";
import { toast } from "../core/toasts.js";
import { edited } from "../core/editing.js";
import { closeDialogue, showDialogue } from "../ui/dialogues.js";
import { chosenModel } from "./composer.js";

/** @import {Job, Metadata} from "../types.js" */

/** @param {string} text */
export function usePrompt(text) {
  prompt.set(text);
  showForm(t("used.prompt"));
}

/** @param {Metadata} made */
export function useSeed(made) {
  const model = chosenModel(catalogue.get());
  if (model && typeof made.seed === "number") changeDraft(model, { seed: made.seed, seedLocked: true });
  showForm(t("used.seed"));
}

/**
 * @param {Metadata} made
 * @param {{seed?: boolean, count?: number, replaces?: string | null}} [options] `count`: pictures to be made; a
 *   medium is one. `replaces`: the waiting job whose place the next one takes; the form says so itself
 */
export function useAllSettings(made, { seed = true, count = 1, replaces = null } = {}) {
  const all = catalogue.get();
  if (!all) return;
  const known = all.models[made.model_id ?? ""];
  const fits = known && known.type !== "i2v";
  const model = fits ? known : chosenModel(all);
  if (!model) return;
  if (typeof made.prompt === "string") prompt.set(made.prompt);
  modelName.set(model.name);
  changeDraft(model, { ...draftFrom(model, seed ? made : { ...made, seed: undefined }), count });
  edited.set(replaces);
  const done = replaces ? "" : t("used.all");
  showForm(fits ? done : t("used.otherModel", { model: made.model_id ?? "?" }));
}

/**
 * What the job was asked for, as far as it is known before there are files.
 *
 * @param {Job} job
 * @returns {Metadata}
 */
export const madeBy = ({ model_id, prompt: text, negative_prompt, settings }) => ({
  model_id,
  prompt: text,
  negative_prompt,
  settings,
  seed: settings.seed,
});

/**
 * @param {Job} job
 * @param {string | null} [replaces]
 */
export const useJob = (job, replaces) =>
  useAllSettings(madeBy(job), { count: job.settings.num_images ?? 1, replaces });

/**
 * Change a waiting job: it waits on until its successor takes its place.
 *
 * @param {Job} job
 */
export function editJob(job) {
  const made = madeBy(job);
  const id = job.settings.source_image_id;
  if (id) {
    const { width = 1, height = 1 } = job.settings;
    return showDialogue({ kind: "animate", source: { id, width, height }, made, replaces: job.id });
  }
  useJob(job, job.id);
}

/** @param {string} message */
function showForm(message) {
  closeDialogue();
  go(hrefOf(""));
  if (message) toast(message);
  requestAnimationFrame(() => document.getElementById("prompt")?.focus());
}
