import { html } from "../../vendor/htm-preact.js";
import { address } from "../core/api.js";
import { t } from "../core/i18n.js";
import { Button } from "../ui/controls.js";
import { showDialogue } from "../ui/dialogues.js";
import { Icon } from "../ui/icon.js";
import { Sheet } from "../ui/sheet.js";

/** @typedef {import("../core/i18n.js").Key} Key */

const GROUPS = /** @type {const} */ ([
  [
    "help.everywhere",
    [
      ["help.pages", ["1", "2", "3"]],
      ["help.this", ["?"]],
      ["close", ["Esc"]],
    ],
  ],
  [
    "nav.generate",
    [
      ["help.submit", ["Ctrl", "↵"]],
      ["help.submitFirst", ["Ctrl", "Shift", "↵"]],
      ["help.toPrompt", ["/"]],
    ],
  ],
  [
    "nav.gallery",
    [
      ["help.move", ["←", "→", "↑", "↓"]],
      ["help.open", ["↵"]],
      ["search", ["/"]],
      ["select", ["S"]],
      ["help.range", ["Shift", "click"]],
      ["tags.selected", ["T"]],
    ],
  ],
  [
    "viewer",
    [
      ["help.leaf", ["←", "→"]],
      ["favourite", ["F"]],
      ["tags", ["T"]],
      ["animate", ["A"]],
      ["download", ["D"]],
      ["compare", ["C"]],
      ["viewer.info", ["I"]],
      ["delete", ["Del"]],
      ["help.zoom", ["+", "−", "0"]],
    ],
  ],
  [
    "nav.queue",
    [
      ["help.reorder", ["Alt", "↑", "↓"]],
      ["help.first", ["Alt", "Home"]],
      ["queue.pause", ["P"]],
    ],
  ],
]);

/** @param {{onClose: () => void}} props */
export const HelpDialogue = ({ onClose }) => html`
  <${Sheet} wide title=${t("help")} onClose=${onClose}>
    <div class="shortcuts">
      ${GROUPS.map(
        ([title, keys]) => html`
          <section key=${title}>
            <h3>${t(title)}</h3>
            <dl>
              ${keys.map(
                ([text, names]) =>
                  html`<div key=${text}><dt>${t(text)}</dt><dd>${names.map((name) => html`<kbd key=${name}>${name}</kbd>`)}</dd></div>`,
              )}
            </dl>
          </section>
        `,
      )}
    </div>
    <p class="small muted">${t("help.drop")}</p>
    <p class="small muted">
      ${t("help.alternatives")} ${t("wildcards.are")}${" "}
      <${Button} kind="compact" text=${t("lists")} onClick=${() => showDialogue({ kind: "lists" })} />
    </p>
    <p class="small"><a href=${address("docs")}>${t("help.api")}</a> <${Icon} name="external" small /></p>
  <//>
`;
