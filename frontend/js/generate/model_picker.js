import { html, useEffect, useRef, useState } from "../../vendor/htm-preact.js";
import { modelName } from "../core/drafts.js";
import { t } from "../core/i18n.js";
import { modelsOf } from "../core/models.js";
import { Icon } from "../ui/icon.js";

/**
 * @import {Model} from "../types.js"
 * @import {Catalogue} from "../core/models.js"
 */

/** @param {{all: Catalogue, model: Model}} props */
export function ModelPicker({ all, model }) {
  const [open, setOpen] = useState(false);
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const button = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    if (!open) return;
    /** @param {Event} event */
    const leave = (event) =>
      event.target instanceof Node && !box.current?.contains(event.target) && setOpen(false);
    addEventListener("pointerdown", leave);
    box.current?.querySelector(".picker-list")?.scrollIntoView({ block: "nearest" });
    /** @type {HTMLElement | null | undefined} */ (
      box.current?.querySelector("[aria-selected=true]")
    )?.focus();
    return () => removeEventListener("pointerdown", leave);
  }, [open]);
  const shut = () => {
    setOpen(false);
    button.current?.focus();
  };
  /** @param {Model} chosen */
  const choose = (chosen) => {
    modelName.set(chosen.name);
    shut();
  };
  return html`
    <div class="field picker" ref=${box} onKeyDown=${(/** @type {KeyboardEvent} */ e) => open && onKey(e, shut)}>
      <span class="label" id="model-label">${t("model")}</span>
      <button
        type="button"
        ref=${button}
        class="picker-button"
        aria-haspopup="listbox"
        aria-expanded=${open ? "true" : "false"}
        onClick=${() => setOpen(!open)}
      >
        <${Icon} name=${model.type === "image" ? "image" : "film"} />
        <span class="visually-hidden">${t("model")}</span>
        <span class="picker-name">${model.name}</span>
        <${Warmth} model=${model} />
        <${Icon} name="down" small />
      </button>
      <p class="hint">${model.description}</p>
      ${
        open &&
        html`
        <div class="picker-list" role="listbox" aria-labelledby="model-label">
          <${Group} title=${t("type.image")} icon="image" models=${modelsOf(all, "image")} chosen=${model} onChoose=${choose} />
          <${Group} title=${t("type.t2v")} icon="film" models=${modelsOf(all, "t2v")} chosen=${model} onChoose=${choose} />
        </div>
      `
      }
    </div>
  `;
}

/**
 * @param {KeyboardEvent} event
 * @param {() => void} shut
 */
function onKey(event, shut) {
  const options = /** @type {HTMLElement[]} */ ([
    .../** @type {HTMLElement} */ (event.currentTarget).querySelectorAll("[role=option]"),
  ]);
  const at = options.findIndex((option) => option === document.activeElement);
  /** @type {Record<string, () => void>} */
  const moves = {
    ArrowDown: () => options[Math.min(at + 1, options.length - 1)].focus(),
    ArrowUp: () => options[Math.max(at - 1, 0)].focus(),
    Home: () => options[0].focus(),
    End: () => options[options.length - 1].focus(),
    Escape: shut,
    Enter: () => options[at]?.click(),
    " ": () => options[at]?.click(),
  };
  if (event.ctrlKey || event.metaKey || !(event.key in moves)) return;
  event.preventDefault();
  event.stopPropagation();
  moves[event.key]();
}

/** @param {{title: string, icon: string, models: Model[], chosen: Model, onChoose: (model: Model) => void}} props */
function Group({ title, icon, models, chosen, onChoose }) {
  if (models.length === 0) return null;
  return html`
    <div role="group" aria-label=${title}>
      <div class="picker-group" aria-hidden="true"><${Icon} name=${icon} small />${title}</div>
      ${models.map(
        (model) => html`
          <div
            class="picker-option"
            role="option"
            key=${model.name}
            tabindex="-1"
            aria-selected=${model.name === chosen.name ? "true" : "false"}
            onClick=${() => onChoose(model)}
          >
            <span class="picker-line"><span class="picker-name">${model.name}</span><${Warmth} model=${model} /></span>
            <span class="picker-text">${model.description}</span>
            ${model.reason && html`<span class="picker-reason">${model.reason}</span>`}
          </div>
        `,
      )}
    </div>
  `;
}

/** @param {{model: Model}} props */
export function Warmth({ model }) {
  if (!model.available) return html`<span class="chip bad">${t("model.unavailable")}</span>`;
  if (model.loaded)
    return html`<span class="chip warm" title=${t("model.warm.title")}><${Icon} name="flame" />${t("model.warm")}</span>`;
  if (model.reason) return html`<span class="chip"><${Icon} name="download" />${t("model.downloads")}</span>`;
  return null;
}
