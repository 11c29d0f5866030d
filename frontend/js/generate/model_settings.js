import { html } from "../../vendor/htm-preact.js";
import { changeDraft, useDraft } from "../core/drafts.js";
import { number } from "../core/format.js";
import { t } from "../core/i18n.js";
import { drawSeed, stepsRange } from "../core/limits.js";
import { IconButton, NumberInput, Segments, Slider } from "../ui/controls.js";
import { Icon } from "../ui/icon.js";
import { SizeField } from "./size_field.js";

/** @import {Model} from "../types.js" */

/** Largest seed that the server takes. */
const SEED = { min: 0, max: 2 ** 53 - 16, step: 1, default: 0 };

/**
 * Every setting that the model has, within its limits. `prefix` keeps ids apart where two forms are open.
 *
 * @param {{model: Model, prefix?: string, negative?: boolean}} props
 */
export function ModelSettings({ model, prefix = "", negative = true }) {
  const draft = useDraft(model);
  const c = model.step_config;
  /** @param {Partial<import("../core/drafts.js").Draft>} changes */
  const change = (changes) => changeDraft(model, { ...draft, ...changes });
  /** @param {"steps" | "guidance" | "frames" | "fps"} name */
  const bind = (name) => ({
    id: prefix + name,
    value: draft[name],
    onChange: (/** @type {number} */ value) => change({ [name]: value }),
  });
  return html`
    ${negative && model.supports_negative_prompt && html`<${NegativePrompt} id=${`${prefix}negative`} text=${draft.negativePrompt} onChange=${change} />`}
    <${SizeField} config=${c} draft=${draft} prefix=${prefix} onChange=${change} />
    <div class="pair">
      <${Slider} label=${t("steps")} range=${stepsRange(c)} ...${bind("steps")} />
      <${Slider} label=${t("guidance")} range=${c.guidance} ...${bind("guidance")} />
    </div>
    ${
      c.frames &&
      c.fps &&
      html`
      <div class="pair">
        <${Slider} label=${t("frames")} range=${c.frames} ...${bind("frames")} note=${t("clip.length", { frames: number(draft.frames), s: number(draft.frames / draft.fps, 1), fps: draft.fps })} />
        <${Slider} label=${t("fps")} range=${c.fps} ...${bind("fps")} />
      </div>
    `
    }
    ${c.num_images.max > 1 && html`<${Count} most=${c.num_images.max} count=${draft.count} onChange=${change} />`}
    <${SeedField} id=${`${prefix}seed`} draft=${draft} onChange=${change} />
  `;
}

/** @param {{id: string, text: string, onChange: (changes: object) => void}} props */
const NegativePrompt = ({ id, text, onChange }) => html`
  <details class="fold" open=${text !== ""}>
    <summary><${Icon} name="right" small />${t("negative")}</summary>
    <textarea
      id=${id}
      class="textarea"
      rows="2"
      aria-label=${t("negative")}
      placeholder=${t("negative.placeholder")}
      value=${text}
      onInput=${(/** @type {any} */ e) => onChange({ negativePrompt: e.target.value })}
    ></textarea>
  </details>
`;

/** @param {{most: number, count: number, onChange: (changes: object) => void}} props */
const Count = ({ most, count, onChange }) => html`
  <div class="field">
    <span class="label">${t("count")}</span>
    <${Segments}
      wide
      label=${t("count")}
      options=${Array.from({ length: most }, (_, at) => ({ value: String(at + 1), text: String(at + 1) }))}
      value=${String(count)}
      onChange=${(/** @type {string} */ value) => onChange({ count: Number(value) })}
    />
  </div>
`;

/** @param {{id: string, draft: import("../core/drafts.js").Draft, onChange: (changes: object) => void}} props */
const SeedField = ({ id, draft, onChange }) => html`
  <div class="field">
    <label class="label" for=${id}>${t("seed")}<span class="end">${draft.seedLocked ? t("seed.kept") : t("seed.new")}</span></label>
    <div class="seed">
      <${NumberInput}
        id=${id}
        range=${SEED}
        value=${draft.seed}
        onChange=${(/** @type {number} */ seed) => onChange({ seed, seedLocked: true })}
      />
      <${IconButton} icon="dice" label=${t("seed.draw")} onClick=${() => onChange({ seed: drawSeed() })} />
      <${IconButton}
        icon=${draft.seedLocked ? "lock" : "unlock"}
        label=${t("seed.lock")}
        pressed=${draft.seedLocked}
        onClick=${() => onChange({ seedLocked: !draft.seedLocked })}
      />
    </div>
  </div>
`;
