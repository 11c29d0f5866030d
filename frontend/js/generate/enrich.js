import { html, useState } from "../../vendor/htm-preact.js";
import * as api from "../core/api.js";
import { prompt } from "../core/drafts.js";
import { t } from "../core/i18n.js";
import { keep, recall } from "../core/kept.js";
import { toast, toastError } from "../core/toasts.js";
import { IconButton } from "../ui/controls.js";
import { Icon } from "../ui/icon.js";

const STYLES = /** @type {const} */ (["enhance", "realistic", "cyberpunk", "anime", "fantasy", "sci-fi"]);

const OFFERED_MS = 15_000;

/** Lets a language model write the prompt out, in a style, with a way back. */
export function Enrich() {
  const [style, setStyle] = useState(recall("enrichStyle", "enhance"));
  const [before, setBefore] = useState(/** @type {string | null} */ (null));
  const [busy, setBusy] = useState(false);
  const run = async () => {
    const text = prompt.get();
    if (text.trim() === "") return;
    setBusy(true);
    try {
      const enriched = await api.enrich(text, style);
      if (prompt.get() === text) use(enriched);
      else offer(enriched);
    } catch (error) {
      toastError(error);
    } finally {
      setBusy(false);
    }
  };
  /** @param {string} enriched */
  const use = (enriched) => {
    setBefore(prompt.get());
    prompt.set(enriched);
  };
  /** Not put over what was typed meanwhile. @param {string} enriched */
  const offer = (enriched) => {
    const dismiss = toast(t("enrich.late"), {
      forMs: OFFERED_MS,
      action: { label: t("enrich.use"), run: () => (dismiss(), use(enriched)) },
    });
  };
  const undo = () => {
    prompt.set(before ?? "");
    setBefore(null);
  };
  /** @param {any} event */
  const choose = (event) => {
    setStyle(event.target.value);
    keep("enrichStyle", event.target.value);
  };
  return html`
    <div class="enrich">
      <button class="button compact" type="button" disabled=${busy} aria-busy=${busy} onClick=${run}>
        <${Icon} name="wand" />${busy ? t("enrich.busy") : t("enrich")}
      </button>
      <select class="select compact" aria-label=${t("enrich.style")} value=${style} onChange=${choose}>
        ${STYLES.map((name) => html`<option key=${name} value=${name} selected=${name === style}>${t(`style.${name}`)}</option>`)}
      </select>
      ${before !== null && html`<${IconButton} compact icon="undo" label=${t("enrich.undo")} onClick=${undo} />`}
    </div>
  `;
}
