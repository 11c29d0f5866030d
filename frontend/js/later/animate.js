import { html, useEffect, useRef, useState } from "../../vendor/htm-preact.js";
import { pictureUrl } from "../core/api.js";
import { changeDraft, draftFrom, draftOf, drafts, settingsOf } from "../core/drafts.js";
import { t } from "../core/i18n.js";
import { useShortcuts } from "../core/keys.js";
import { keep, recall } from "../core/kept.js";
import { defaultPixels, drawSeed, sizeOf } from "../core/limits.js";
import { enqueue } from "../core/line.js";
import { catalogue, modelsOf } from "../core/models.js";
import { useStore } from "../core/store.js";
import { go, hrefOf } from "../core/router.js";
import { toast, toastError } from "../core/toasts.js";
import { newKey } from "../generate/composer.js";
import { ModelSettings } from "../generate/model_settings.js";
import { Button, Problem } from "../ui/controls.js";
import { Examples } from "../ui/examples.js";
import { Sheet } from "../ui/sheet.js";

/** @import {Metadata, Model} from "../types.js" */

/**
 * @param {object} props
 * @param {{id: string, width: number, height: number}} props.source
 * @param {Metadata} [props.made]
 * @param {string} [props.replaces] the waiting job whose place the new one takes
 * @param {() => void} props.onClose
 */
export function AnimateDialogue({ source, made, replaces, onClose }) {
  const all = useStore(catalogue);
  const models = all ? modelsOf(all, "i2v") : [];
  const [name, setName] = useState(
    replaces ? (made?.model_id ?? "") : recall("animateModel", all?.defaults.i2v ?? ""),
  );
  const model = models.find((one) => one.name === name) ?? models.find((one) => one.available) ?? models[0];
  const [text, setText] = useState(made?.prompt ?? "");
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const here = useRef(true);
  const area = useRef(/** @type {HTMLTextAreaElement | null} */ (null));
  useEffect(() => {
    area.current?.focus();
    return () => void (here.current = false);
  }, []);
  useEffect(() => {
    if (!model) return;
    const asked = replaces && made?.model_id === model.name;
    const fitting = () =>
      sizeOf(model.step_config, source.width / source.height, defaultPixels(model.step_config));
    changeDraft(model, asked ? draftFrom(model, made) : fitting());
  }, [model?.name]);
  const send = async () => {
    if (!model || busy) return;
    if (text.trim() === "") {
      setProblem(t("prompt.missing"));
      return void area.current?.focus();
    }
    setBusy(true);
    setProblem("");
    const refusal = await sendJob(model, text, source.id, replaces);
    setBusy(false);
    if (!here.current) return void (refusal && toastError(refusal)); // It was closed meanwhile.
    if (refusal) setProblem(refusal.message);
    else onClose();
  };
  /** @param {any} event */
  const choose = (event) => {
    setName(event.target.value);
    keep("animateModel", event.target.value);
  };
  const example = (/** @type {string} */ words) => {
    setText(words);
    area.current?.focus();
  };
  useShortcuts({ "ctrl+enter": send }, { inDialog: true });
  const foot = html`
    <${Button} text=${t("cancel")} onClick=${onClose} />
    <button class="button primary" type="button" disabled=${!model || busy} aria-busy=${busy} onClick=${send}>
      ${t("generate.video")}<kbd aria-hidden="true">Ctrl ↵</kbd>
    </button>
  `;
  return html`
    <${Sheet} wide title=${t("animate")} onClose=${onClose} foot=${foot}>
      <div class="animate">
        <figure class="animate-source">
          <img
            src=${pictureUrl(source.id)}
            alt=${made?.prompt ?? t("animate.source")}
            width=${source.width}
            height=${source.height}
          />
        </figure>
        <div class="animate-form">
          ${!model && html`<${Problem} text=${t("animate.noModel")} />`}
          <div class="field">
            <label class="label" for="animate-prompt">${t("animate.prompt")}</label>
            <textarea
              id="animate-prompt"
              ref=${area}
              class="textarea"
              rows="3"
              placeholder=${t("animate.placeholder")}
              value=${text}
              onInput=${(/** @type {any} */ e) => setText(e.target.value)}
            ></textarea>
            <${Examples} model=${model} onChoose=${example} />
            ${problem && html`<${Problem} text=${problem} />`}
          </div>
          ${
            model &&
            html`
            <div class="field">
              <label class="label" for="animate-model">${t("model")}</label>
              <select id="animate-model" class="select" value=${model.name} onChange=${choose}>
                ${models.map(
                  (one) => html`
                    <option key=${one.name} value=${one.name} selected=${one.name === model.name}>${one.name}</option>
                  `,
                )}
              </select>
              <p class="hint">${model.description}</p>
            </div>
            <${ModelSettings} key=${model.name} model=${model} prefix="animate-" />
          `
          }
        </div>
      </div>
    <//>
  `;
}

/**
 * @param {Model} model
 * @param {string} text
 * @param {string} sourceId
 * @param {string} [replaces]
 * @returns {Promise<Error | null>} why the server refuses it
 */
async function sendJob(model, text, sourceId, replaces) {
  const draft = draftOf(model, drafts.get());
  const settings = { ...settingsOf(model, draft), source_image_id: sourceId };
  const negativePrompt = model.supports_negative_prompt ? draft.negativePrompt : "";
  const { ids, refusal } = await enqueue([
    { type: "i2v", model: model.name, prompt: text, negativePrompt, settings, key: newKey(), replaces },
  ]);
  if (refusal) return refusal;
  if (!draft.seedLocked) changeDraft(model, { seed: drawSeed() });
  const sent = ids[0] !== null;
  toast(t(sent ? "animate.sent" : "state.unsent"), {
    action: { label: t("show"), run: () => go(hrefOf("")) },
  });
  return null;
}
