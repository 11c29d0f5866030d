import { html } from "../../vendor/htm-preact.js";
import { MOST } from "../core/alternatives.js";
import { number } from "../core/format.js";
import { t } from "../core/i18n.js";
import { Button, IconButton, Problem } from "../ui/controls.js";
import { showDialogue } from "../ui/dialogues.js";
import { Icon } from "../ui/icon.js";
import { drawAgain, usePlan } from "./plan.js";

/** @param {Iterable<string>} names */
export const namesOf = (names) => [...names].map((name) => `__${name}__`).join(", ");

/**
 * What a prompt with alternatives or wildcards stands for, before it is queued.
 *
 * @param {{model: import("../types.js").Model | null}} props
 */
export function StandsFor({ model }) {
  const { jobs, drawn, amiss } = usePlan(model);
  const endless = amiss.endless.size > 0;
  const missing = [...amiss.missing];
  if (jobs.length === 1 && !drawn && missing.length === 0) return null;
  return html`
    ${endless && html`<${Problem} text=${t("wildcards.endless", { names: namesOf(amiss.endless) })} />`}
    ${
      (jobs.length > 1 || drawn) &&
      html`
      <div class="stands-for">
        ${!endless && html`<${Prompts} jobs=${jobs} open=${drawn} />`}
        <div class="stands-for-tools">
          ${drawn && !endless && html`<${IconButton} compact icon="dice" label=${t("wildcards.again")} onClick=${drawAgain} />`}
          <${Button} kind="compact" text=${t("lists")} onClick=${() => showDialogue({ kind: "lists" })} />
        </div>
      </div>
    `
    }
    ${missing.length > 0 && html`<${Missing} names=${missing} />`}
  `;
}

/** Those that were drawn are shown at once: nobody knows them yet. @param {{jobs: import("./plan.js").Plan["jobs"], open: boolean}} props */
const Prompts = ({ jobs, open }) => html`
  <details class="fold" open=${open}>
    <summary>
      <${Icon} name="right" small />
      ${t("alternatives", { count: jobs.length > MOST ? `${MOST}+` : number(jobs.length) })}
    </summary>
    <ol>${jobs.slice(0, MOST).map((job, at) => html`<li key=${at}>${job.prompt}</li>`)}</ol>
  </details>
`;

/** @param {{names: string[]}} props */
const Missing = ({ names }) => html`
  <div class="missing">
    <p role="status">
      <${Icon} name="info" small />
      <span>${t("wildcards.missing", { count: names.length, names: namesOf(names) })}</span>
    </p>
    ${names.map(
      (name) => html`
        <${Button} key=${name} kind="compact" icon="plus" text=${t("wildcards.write", { name })} onClick=${() => showDialogue({ kind: "lists", name })} />
      `,
    )}
  </div>
`;
