/** Bringing what made a medium back into the form. */
import { changeDraft, draftFrom, modelName, prompt } from "../core/drafts.js";
import { t } from "../core/i18n.js";
import { catalogue } from "../core/models.js";
import { go, hrefOf } from "../core/router.js";
import { toast } from "../core/toasts.js";
import { closeDialogue } from "../ui/dialogues.js";

/** @import {Metadata} from "../types.js" */

/** @param {string} text */
export function usePrompt(text) {
  prompt.set(text);
  showForm(t("used.prompt"));
}

/** @param {Metadata} made */
export function useSeed(made) {
  const model = catalogue.get()?.models[modelName.get()] ?? catalogue.get()?.models[made.model_id ?? ""];
  if (model && typeof made.seed === "number") changeDraft(model, { seed: made.seed, seedLocked: true });
  showForm(t("used.seed"));
}

/**
 * @param {Metadata} made
 * @param {{seed?: boolean}} [options]
 */
export function useAllSettings(made, { seed = true } = {}) {
  const all = catalogue.get();
  if (!all) return;
  const known = all.models[made.model_id ?? ""];
  const fits = known && known.type !== "i2v";
  const model = fits ? known : (all.models[modelName.get()] ?? all.models[all.defaults.image]);
  if (!model) return;
  if (typeof made.prompt === "string") prompt.set(made.prompt);
  modelName.set(model.name);
  changeDraft(model, draftFrom(model, seed ? made : { ...made, seed: undefined }));
  showForm(fits ? t("used.all") : t("used.otherModel", { model: made.model_id ?? "?" }));
}

/** @param {string} message */
function showForm(message) {
  closeDialogue();
  go(hrefOf(""));
  toast(message);
  requestAnimationFrame(() => document.getElementById("prompt")?.focus());
}
