import { html } from "../../vendor/htm-preact.js";
import { settingsOf, useDraft } from "../core/drafts.js";
import { useEstimate } from "../core/estimate.js";
import { about, number } from "../core/format.js";
import { t } from "../core/i18n.js";

/** What the job will take, in time and memory, as far as it is known. @param {{model: import("../types.js").Model}} props */
export function Estimate({ model }) {
  const seconds = useEstimate(model, settingsOf(model, useDraft(model)));
  const parts = [
    seconds === null ? "" : t("estimate.time", { time: about(seconds) }),
    model.memory_gb === null ? "" : t("estimate.memory", { gb: number(model.memory_gb, 1) }),
  ];
  const text = parts.filter(Boolean).join(" · ");
  return text ? html`<p class="estimate number" title=${t("estimate.title")}>${text}</p>` : null;
}
