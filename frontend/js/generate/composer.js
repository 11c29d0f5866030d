import { html, useEffect, useRef, useState } from "../../vendor/htm-preact.js";
import { t } from "../core/i18n.js";
import { submit } from "../core/jobs.js";
import { useShortcuts } from "../core/keys.js";
import { drawSeed } from "../core/limits.js";
import { catalogue } from "../core/models.js";
import { changeDraft, draftOf, drafts, keepsPrompt, modelName, prompt, settingsOf } from "../core/drafts.js";
import { useStore } from "../core/store.js";
import { Problem, Switch } from "../ui/controls.js";
import { Icon } from "../ui/icon.js";
import { Enrich } from "./enrich.js";
import { ModelPicker } from "./model_picker.js";
import { ModelSettings } from "./model_settings.js";

/** @import {Model} from "../types.js" */

/** @param {import("../core/models.js").Catalogue | null} all */
export function chosenModel(all) {
  const name = modelName.get();
  const chosen = all?.models[name];
  if (chosen && chosen.type !== "i2v") return chosen;
  return all ? (all.models[all.defaults.image] ?? all.models[all.defaults.t2v] ?? null) : null;
}

/** The form. A submit never blocks the next one. */
export function Composer() {
  const all = useStore(catalogue);
  useStore(modelName);
  const model = chosenModel(all);
  const area = useRef(/** @type {HTMLTextAreaElement | null} */ (null));
  const [problem, setProblem] = useState("");
  const send = async () => {
    if (!model) return;
    const trouble = prompt.get().trim() === "" ? t("prompt.missing") : "";
    setProblem(trouble);
    if (trouble) return void area.current?.focus();
    await submitDraft(model).catch((error) => setProblem(error.message));
  };
  useShortcuts({ "ctrl+enter": send, "/": () => area.current?.focus() });
  return html`
    <form class="composer" aria-label=${t("compose")} onSubmit=${(/** @type {Event} */ e) => (e.preventDefault(), send())}>
      <div class="composer-body">
        <${PromptField} area=${area} longest=${model?.step_config.prompt_length ?? 2000} problem=${problem} />
        ${model && html`<${ModelPicker} all=${all} model=${model} />`}
        ${model && html`<${Settings} key=${model.name} model=${model} />`}
        ${!model && html`<${Ghosts} />`}
      </div>
      <div class="composer-foot">
        ${problem && html`<${Problem} text=${problem} />`}
        <button class="button primary submit" type="submit" disabled=${!model} title=${model ? undefined : t("models.loading")}>
          ${t(model?.type === "t2v" ? "generate.video" : "generate.image")}
          <kbd aria-hidden="true">Ctrl ↵</kbd>
        </button>
      </div>
    </form>
  `;
}

/** On a small screen the settings are folded away, so that prompt, button and pictures are near each other. @param {{model: Model}} props */
function Settings({ model }) {
  const [narrow] = useState(() => matchMedia("(max-width: 720px)").matches);
  if (!narrow) return html`<${ModelSettings} model=${model} />`;
  return html`
    <details class="fold">
      <summary><${Icon} name="right" small />${t("settings.model")}</summary>
      <div class="fold-body"><${ModelSettings} model=${model} /></div>
    </details>
  `;
}

/** @param {Model} model */
async function submitDraft(model) {
  const draft = draftOf(model, drafts.get());
  const text = prompt.get();
  const sent = submit({
    type: model.type,
    model: model.name,
    prompt: text,
    negativePrompt: model.supports_negative_prompt ? draft.negativePrompt : "",
    settings: settingsOf(model, draft),
    key: newKey(),
  });
  if (!draft.seedLocked) changeDraft(model, { seed: drawSeed() });
  if (!keepsPrompt.get()) prompt.set("");
  await sent.catch((error) => {
    if (prompt.get() === "") prompt.set(text);
    throw error;
  });
}

/** crypto.randomUUID is missing on plain-HTTP addresses other than localhost. */
export const newKey = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join(
    "",
  );

/** @param {{area: {current: HTMLTextAreaElement | null}, longest: number, problem: string}} props */
function PromptField({ area, longest, problem }) {
  const text = useStore(prompt);
  const kept = useStore(keepsPrompt);
  useEffect(() => {
    if (matchMedia("(hover: hover)").matches) area.current?.focus({ preventScroll: true });
  }, []);
  return html`
    <div class="field">
      <label class="label" for="prompt">
        ${t("prompt")}
        ${text.length > longest * 0.8 && html`<span class="end number">${text.length} / ${longest}</span>`}
      </label>
      <textarea
        id="prompt"
        ref=${area}
        class="textarea prompt"
        rows="4"
        maxlength=${longest}
        placeholder=${t("prompt.placeholder")}
        aria-invalid=${problem ? "true" : undefined}
        value=${text}
        onInput=${(/** @type {any} */ e) => prompt.set(e.target.value)}
      ></textarea>
      <div class="prompt-tools">
        <${Enrich} />
        <${Switch} label=${t("prompt.keep")} checked=${kept} onChange=${(/** @type {boolean} */ on) => keepsPrompt.set(on)} />
      </div>
    </div>
  `;
}

const Ghosts = () => html`
  <div class="ghosts" aria-hidden="true"><i></i><i></i><i></i><i></i></div>
  <p class="visually-hidden">${t("models.loading")}</p>
`;
