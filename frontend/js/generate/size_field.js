import { html } from "../../vendor/htm-preact.js";
import { t } from "../core/i18n.js";
import { ASPECTS, defaultPixels, sameSize, sizeOf } from "../core/limits.js";
import { IconButton, NumberInput } from "../ui/controls.js";

/**
 * @import {StepConfig} from "../types.js"
 * @import {Draft} from "../core/drafts.js"
 */

/** @param {{config: StepConfig, draft: Draft, prefix: string, onChange: (changes: Partial<Draft>) => void}} props */
export function SizeField({ config, draft, prefix, onChange }) {
  const presets = presetsOf(config);
  const free = !presets.some(({ size }) => sameSize(size, draft));
  return html`
    <div class="field">
      <span class="label">${t("size")}<span class="end number">${free ? t("size.free") : ""}</span></span>
      <div class="aspects" role="group" aria-label=${t("size.presets")}>
        ${presets.map(
          ({ name, size }) => html`
            <button
              type="button"
              key=${name}
              class="aspect"
              aria-pressed=${sameSize(size, draft) ? "true" : "false"}
              title=${`${size.width} × ${size.height}`}
              onClick=${() => onChange(size)}
            >
              <i style=${glyph(size)}></i>${name}
            </button>
          `,
        )}
      </div>
      <div class="size">
        <${NumberInput}
          id=${`${prefix}width`}
          label=${t("width")}
          range=${config.width}
          value=${draft.width}
          onChange=${(/** @type {number} */ width) => onChange(fitted(config, { width, height: draft.height }, "height"))}
        />
        <${IconButton}
          icon="swap"
          label=${t("size.swap")}
          onClick=${() => onChange(fitted(config, { width: draft.height, height: draft.width }, "height"))}
        />
        <${NumberInput}
          id=${`${prefix}height`}
          label=${t("height")}
          range=${config.height}
          value=${draft.height}
          onChange=${(/** @type {number} */ height) => onChange(fitted(config, { width: draft.width, height }, "width"))}
        />
      </div>
    </div>
  `;
}

/** @param {StepConfig} config */
function presetsOf(config) {
  const seen = new Set();
  return ASPECTS.map(([w, h]) => ({
    name: `${w}:${h}`,
    size: sizeOf(config, w / h, defaultPixels(config)),
  })).filter(({ size }) => {
    const key = `${size.width}x${size.height}`;
    return !seen.has(key) && seen.add(key);
  });
}

/**
 * The size, with the other side made smaller where the area is too large.
 *
 * @param {StepConfig} config
 * @param {{width: number, height: number}} size
 * @param {"width" | "height"} giving
 */
function fitted(config, size, giving) {
  const result = { ...size };
  while (result.width * result.height > config.max_pixels && result[giving] > config[giving].min) {
    result[giving] -= config[giving].step || 1;
  }
  return result;
}

/** @param {{width: number, height: number}} size */
function glyph({ width, height }) {
  const scale = 15 / Math.max(width, height);
  return { width: `${width * scale}px`, height: `${height * scale}px` };
}
