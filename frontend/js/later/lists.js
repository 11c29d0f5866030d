import { html, useEffect, useRef, useState } from "../../vendor/htm-preact.js";
import { prompt } from "../core/drafts.js";
import { number } from "../core/format.js";
import { t } from "../core/i18n.js";
import { changeLists, lists } from "../core/lists.js";
import { useStore } from "../core/store.js";
import { toast, toastError } from "../core/toasts.js";
import { isName } from "../core/wildcards.js";
import { Button, Problem } from "../ui/controls.js";
import { Sheet } from "../ui/sheet.js";
import { save } from "./save.js";

/** @import {Changes} from "../core/lists.js" */

/**
 * The person's lists, to be written.
 *
 * @param {object} props
 * @param {string} [props.name] of the list to begin with; it is made where it is missing
 * @param {() => void} props.onClose
 */
export function ListsDialogue({ name: wanted, onClose }) {
  const held = useStore(lists);
  const names = inOrder(held.keys());
  const [chosen, setChosen] = useState(wanted ?? names[0]);
  // What the focus goes to once a list is shown: the name of a new one, the lines of one that was asked for.
  const [focus, setFocus] = useState(wanted ? "lists-lines" : "");
  useEffect(() => {
    if (wanted && !lists.get().has(wanted)) change([[wanted, ""]]);
  }, []);
  useEffect(() => {
    const field = /** @type {HTMLInputElement | null} */ (document.getElementById(focus));
    field?.focus();
    if (field?.type === "text") field.select();
    if (field) setFocus("");
  }, [focus, chosen, held]);
  const shown = chosen !== undefined && held.has(chosen) ? chosen : names[0];
  const add = () => {
    const name = freeName(t("lists.newName"));
    change([[name, ""]]);
    setChosen(name);
    setFocus("lists-name");
  };
  const remove = (/** @type {string} */ name) => {
    changeWithUndo([[name, null]], t("lists.deleted", { name }));
    if (names.length === 1) setFocus("lists-new");
  };
  const bring = async (/** @type {File[]} */ files) => {
    const found = await readFiles(files);
    if (found.length === 0) return;
    changeWithUndo(found, t("lists.imported", { count: found.length }));
    setChosen(found[0][0]);
  };
  return html`
    <${Sheet} wide title=${t("lists")} onClose=${onClose}>
      <p class="small muted">${t("wildcards.are")}</p>
      <div class="lists">
        <div class="lists-side">
          ${names.length === 0 && html`<p class="small muted">${t("lists.empty")}</p>`}
          <ul aria-label=${t("lists")}>
            ${names.map((name) => html`<${Name} key=${name} name=${name} chosen=${name === shown} onChoose=${setChosen} />`)}
          </ul>
          <div class="choices">
            <${Button} id="lists-new" kind="compact" icon="plus" text=${t("lists.new")} onClick=${add} />
            <${ImportButton} onPick=${(/** @type {File[]} */ files) => void bring(files).catch(toastError)} />
          </div>
        </div>
        ${shown !== undefined && html`<${Editor} name=${shown} onRename=${setChosen} onDelete=${remove} onClose=${onClose} />`}
      </div>
    <//>
  `;
}

/** @param {{name: string, chosen: boolean, onChoose: (name: string) => void}} props */
function Name({ name, chosen, onChoose }) {
  const count = useStore(lists, (held) => held.get(name)?.lines.length ?? 0);
  return html`
    <li>
      <button type="button" class="lists-name" aria-current=${chosen ? "true" : undefined} onClick=${() => onChoose(name)}>
        <span>${name}</span><span class="number">${t("lists.count", { count, n: number(count) })}</span>
      </button>
    </li>
  `;
}

/** @param {{onPick: (files: File[]) => void}} props */
function ImportButton({ onPick }) {
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  /** @param {any} event */
  const pick = (event) => {
    onPick([...event.target.files]);
    event.target.value = ""; // Or the same files could not be picked again.
  };
  return html`
    <${Button}
      kind="compact"
      icon="upload"
      text=${t("lists.import")}
      title=${t("lists.import.title")}
      onClick=${() => input.current?.click()}
    />
    <input
      ref=${input}
      class="visually-hidden"
      type="file"
      multiple
      tabindex="-1"
      aria-hidden="true"
      accept=".txt,text/plain"
      onChange=${pick}
    />
  `;
}

/**
 * @param {object} props
 * @param {string} props.name
 * @param {(name: string) => void} props.onRename
 * @param {(name: string) => void} props.onDelete
 * @param {() => void} props.onClose
 */
function Editor({ name, onRename, onDelete, onClose }) {
  const text = useStore(lists, (held) => held.get(name)?.text ?? "");
  const use = () => {
    prompt.set(`${prompt.get().trimEnd()} __${name}__`.trimStart());
    onClose();
  };
  return html`
    <div class="lists-editor">
      <${NameField} key=${name} name=${name} onRename=${onRename} />
      <div class="field">
        <label class="label" for="lists-lines">${t("lists.lines")}</label>
        <textarea
          id="lists-lines"
          class="textarea"
          rows="8"
          spellcheck="false"
          aria-describedby="lists-about"
          value=${text}
          onInput=${(/** @type {any} */ e) => change([[name, e.target.value]])}
        ></textarea>
        <p id="lists-about" class="hint">${t("lists.about")}</p>
      </div>
      <div class="choices">
        <${Button} kind="compact" icon="arrowup" text=${t("lists.use")} onClick=${use} />
        <${Button} kind="compact" icon="download" text=${t("download")} onClick=${() => save(new Blob([text], { type: "text/plain" }), `${name.replaceAll("/", "-")}.txt`)} />
        <${Button} kind="compact danger" icon="trash" text=${t("delete")} onClick=${() => onDelete(name)} />
      </div>
    </div>
  `;
}

/** @param {{name: string, onRename: (name: string) => void}} props */
function NameField({ name, onRename }) {
  const [typed, setTyped] = useState(/** @type {string | null} */ (null));
  const wish = (typed ?? name).trim().normalize();
  const problem =
    wish === name ? "" : !isName(wish) ? t("lists.badName") : lists.get().has(wish) ? t("lists.taken") : "";
  const rename = () => {
    if (problem || wish === name) return;
    change([
      [name, null],
      [wish, lists.get().get(name)?.text ?? ""],
    ]);
    onRename(wish);
  };
  return html`
    <div class="field">
      <label class="label" for="lists-name">${t("lists.name")}</label>
      <input
        id="lists-name"
        class="input"
        type="text"
        autocomplete="off"
        autocapitalize="off"
        spellcheck="false"
        maxlength="80"
        aria-invalid=${problem ? "true" : undefined}
        value=${typed ?? name}
        onInput=${(/** @type {any} */ e) => setTyped(e.target.value)}
        onChange=${rename}
      />
      ${problem && html`<${Problem} text=${problem} />`}
    </div>
  `;
}

/** @param {Iterable<string>} names */
const inOrder = (names) => [...names].sort(new Intl.Collator(undefined, { numeric: true }).compare);

/** @param {string} wish */
function freeName(wish) {
  const held = lists.get();
  let name = wish;
  for (let n = 2; held.has(name); n += 1) name = `${wish}-${n}`;
  return name;
}

/**
 * @param {Changes} changes
 * @returns {Changes} those that take these back
 */
function change(changes) {
  const { undo, kept } = changeLists(changes);
  if (!kept) toast(t("lists.notKept"), { tone: "error" });
  return undo;
}

/**
 * @param {Changes} changes
 * @param {string} message
 */
function changeWithUndo(changes, message) {
  const undo = change(changes);
  const dismiss = toast(message, { action: { label: t("undo"), run: () => (change(undo), dismiss()) } });
}

/**
 * A list of each file's name; what a name cannot hold becomes a hyphen.
 *
 * @param {File[]} files
 * @returns {Promise<[string, string][]>}
 */
async function readFiles(files) {
  const read = files.map(async (file) => {
    const name = file.name
      .replace(/\.txt$/i, "")
      .normalize()
      .replace(/[^\p{L}\p{M}\p{N}_-]+/gu, "-")
      .replace(/_{2,}/g, "_")
      .replace(/^_|_$/g, "");
    return /** @type {[string, string]} */ ([
      name || t("lists.newName"),
      (await file.text()).replaceAll("\r\n", "\n"),
    ]);
  });
  return Promise.all(read);
}
