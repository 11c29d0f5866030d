import { html } from "../../vendor/htm-preact.js";
import { t } from "../core/i18n.js";
import { toastError } from "../core/toasts.js";
import { useAllSettings } from "../generate/reuse.js";
import { animateFile } from "../ui/drop.js";
import { Button } from "../ui/controls.js";
import { Sheet } from "../ui/sheet.js";

/** @param {{file: File, made: import("../types.js").Metadata, onClose: () => void}} props */
export function DroppedDialogue({ file, made, onClose }) {
  const animate = () => {
    onClose();
    animateFile(file).catch(toastError);
  };
  const facts = [made.model_id, made.seed === undefined ? "" : `${t("seed")} ${made.seed}`]
    .filter(Boolean)
    .join(" · ");
  return html`
    <${Sheet} title=${t("dropped")} onClose=${onClose}>
      <p class="details-prompt">${made.prompt || t("prompt.none")}</p>
      ${facts && html`<p class="small muted number">${facts}</p>`}
      <div class="choices">
        <${Button} kind="primary" icon="settings" text=${t("dropped.restore")} onClick=${() => useAllSettings(made)} />
        ${file.type !== "video/mp4" && html`<${Button} icon="animate" text=${t("animate")} onClick=${animate} />`}
      </div>
    <//>
  `;
}
