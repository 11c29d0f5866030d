import { html, useEffect, useRef, useState } from "../../vendor/htm-preact.js";
import { MOST } from "../core/alternatives.js";
import { edited } from "../core/editing.js";
import { number } from "../core/format.js";
import { t } from "../core/i18n.js";
import { jobs } from "../core/jobs.js";
import { useShortcuts } from "../core/keys.js";
import { drawSeed } from "../core/limits.js";
import { enqueue } from "../core/line.js";
import { catalogue } from "../core/models.js";
import { changeDraft, draftOf, drafts, keepsPrompt, modelName, prompt, settingsOf } from "../core/drafts.js";
import { useStore } from "../core/store.js";
import { Button, Problem, Switch } from "../ui/controls.js";
import { FileButton } from "../ui/drop.js";
import { Icon } from "../ui/icon.js";
import { Enrich } from "./enrich.js";
import { Estimate } from "./estimate.js";
import { ModelPicker } from "./model_picker.js";
import { ModelSettings } from "./model_settings.js";
import { drawAgain, keepRest, planNow, usePlan } from "./plan.js";
import { namesOf, StandsFor } from "./stands_for.js";

/**
 * @import {Model} from "../types.js"
 * @import {Plan} from "./plan.js"
 */

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
  const replaces = useReplaced();
  const send = async ({ first = false } = {}) => {
    if (!model) return;
    const plan = planNow(model);
    const trouble = troubleOf(plan, model);
    setProblem(trouble);
    if (trouble) return void area.current?.focus();
    const refusal = await submitDraft(model, plan, { first, replaces });
    if (refusal) setProblem(refusal);
  };
  useShortcuts({
    "ctrl+enter": () => send(),
    "ctrl+shift+enter": () => send({ first: true }),
    "/": () => area.current?.focus(),
  });
  return html`
    <form class="composer" aria-label=${t("compose")} onSubmit=${(/** @type {Event} */ e) => (e.preventDefault(), send())}>
      <div class="composer-body">
        <${PromptField} area=${area} model=${model} problem=${problem} />
        ${model && html`<${ModelPicker} all=${all} model=${model} />`}
        ${model && html`<${Settings} key=${model.name} model=${model} />`}
        ${!model && html`<${Ghosts} />`}
      </div>
      <div class="composer-foot">
        ${problem && html`<${Problem} text=${problem} />`}
        ${replaces && html`<${Editing} />`}
        ${model && html`<${Estimate} model=${model} />`}
        <button class="button primary submit" type="submit" disabled=${!model} title=${t(model ? "generate.keys" : "models.loading")}>
          <${SubmitText} model=${model} replaces=${replaces} />
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

/** The waiting job that is being edited, while it still waits. */
function useReplaced() {
  const id = useStore(edited);
  const waits = useStore(jobs, (known) => known.get(id ?? "")?.status === "pending");
  useEffect(() => {
    if (id && !waits) edited.set(null);
  }, [id, waits]);
  return waits ? id : null;
}

const Editing = () => html`
  <div class="editing" role="status">
    <${Icon} name="edit" small /><span>${t("edit.notice")}</span>
    <${Button} kind="compact quiet" text=${t("edit.leave")} onClick=${() => edited.set(null)} />
  </div>
`;

/** @param {{model: Model | null, replaces: string | null}} props */
function SubmitText({ model, replaces }) {
  const count = usePlan(model).jobs.length;
  if (replaces) return t("edit.submit");
  if (count > 1) return t("generate.several", { count: count > MOST ? `${MOST}+` : number(count) });
  return t(model?.type === "t2v" ? "generate.video" : "generate.image");
}

/**
 * Why what is planned cannot be queued; "" where it can.
 *
 * @param {Plan} plan
 * @param {Model} model
 */
function troubleOf({ jobs, amiss }, { step_config }) {
  const longest = step_config.prompt_length;
  if (jobs[0].prompt.trim() === "") return t("prompt.missing");
  if (amiss.endless.size > 0) return t("wildcards.endless", { names: namesOf(amiss.endless) });
  if (jobs.length > MOST) return t("alternatives.tooMany", { most: MOST });
  return jobs.some((job) => job.prompt.length > longest)
    ? t("prompt.tooLong", { most: number(longest) })
    : "";
}

/**
 * @param {Model} model
 * @param {Plan} plan
 * @param {{first: boolean, replaces: string | null}} how
 * @returns {Promise<string>} why not all are queued; "" where they are
 */
async function submitDraft(model, plan, { first, replaces }) {
  const planned = plan.jobs;
  const draft = draftOf(model, drafts.get());
  const text = prompt.get();
  // A seed that is kept is counted on from, as for pictures of one job.
  const seeds = planned.map(({ place }, at) =>
    draft.seedLocked ? draft.seed + place : at === 0 ? draft.seed : drawSeed(),
  );
  const sent = enqueue(
    planned.map((each, at) => ({
      type: model.type,
      model: model.name,
      prompt: each.prompt,
      negativePrompt: model.supports_negative_prompt ? draft.negativePrompt : "",
      settings: { ...settingsOf(model, { ...draft, count: each.pictures }), seed: seeds[at] },
      key: newKey(),
      replaces: at === 0 ? replaces : null,
      first: first && !replaces,
    })),
  );
  drawAgain();
  edited.set(null);
  if (!draft.seedLocked) changeDraft(model, { seed: drawSeed() });
  if (!keepsPrompt.get()) prompt.set("");
  const { ids, refusal } = await sent;
  if (!refusal) return "";
  if (prompt.get() === "") prompt.set(text);
  keepRest(plan, ids.length);
  if (ids.length > 0)
    return t("generate.partly", { taken: ids.length, all: planned.length, reason: refusal.message });
  // Else the form is for something else by now.
  if (prompt.get() === text) edited.set((other) => other ?? replaces);
  return refusal.message;
}

/** crypto.randomUUID is missing on plain-HTTP addresses other than localhost. */
export const newKey = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join(
    "",
  );

/** @param {{area: {current: HTMLTextAreaElement | null}, model: Model | null, problem: string}} props */
function PromptField({ area, model, problem }) {
  const longest = model?.step_config.prompt_length ?? 2000;
  const text = useStore(prompt);
  const kept = useStore(keepsPrompt);
  useEffect(() => {
    if (matchMedia("(hover: hover)").matches) area.current?.focus({ preventScroll: true });
  }, []);
  return html`
    <div class="field">
      <div class="label">
        <label for="prompt">${t("prompt")}</label>
        ${text.length > longest * 0.8 && html`<span class="number">${text.length} / ${longest}</span>`}
        <span class="end">
          <${Switch} label=${t("prompt.keep")} checked=${kept} onChange=${(/** @type {boolean} */ on) => keepsPrompt.set(on)} />
        </span>
      </div>
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
      <${StandsFor} model=${model} />
      <div class="prompt-tools">
        <${Enrich} />
        <${FileButton} />
      </div>
    </div>
  `;
}

const Ghosts = () => html`
  <div class="ghosts" aria-hidden="true"><i></i><i></i><i></i><i></i></div>
  <p class="visually-hidden">${t("models.loading")}</p>
`;
