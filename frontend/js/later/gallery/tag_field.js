import { html, useEffect, useRef, useState } from "../../../vendor/htm-preact.js";
import { t } from "../../core/i18n.js";
import { hrefOf } from "../../core/router.js";
import { useStore } from "../../core/store.js";
import { Icon } from "../../ui/icon.js";
import { hasTag, LONGEST, nameOf, refreshTags, tagsInUse } from "./tags.js";

const MOST_SUGGESTED = 8;

/**
 * Tags, each with a way to take it away, and a field for more that suggests those in use.
 *
 * @param {object} props
 * @param {string} props.id of the input
 * @param {string} props.label
 * @param {readonly string[]} props.tags
 * @param {(name: string) => void} props.onAdd
 * @param {(name: string) => void} props.onRemove
 * @param {readonly string[]} [props.known] what to suggest instead of those in use
 * @param {boolean} [props.linked] whether a tag leads to all that has it
 * @param {boolean} [props.steady] whether suggestions stay, since what lies below them would move as they go
 */
export function TagField({ id, label, tags, onAdd, onRemove, known, linked, steady }) {
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  const [typed, setTyped] = useState("");
  const [asked, setOpen] = useState(false);
  const [active, setActive] = useState(-1);
  const open = asked || steady;
  const inUse = useStore(tagsInUse).map(({ name }) => name);
  const offered = open ? suggestions(known ?? inUse, tags, typed) : [];
  useEffect(() => void refreshTags(), []);
  const shut = () => (setOpen(false), setActive(-1));
  /** @param {string} text */
  const add = (text) => {
    const name = nameOf(text);
    setTyped("");
    setActive(-1);
    if (name && !hasTag(tags, name)) onAdd(inUse.find((other) => hasTag([other], name)) ?? name);
  };
  /**
   * @param {string} name
   * @param {boolean} byKey then the focus must not get lost; a finger would be shown a keyboard
   */
  const remove = (name, byKey) => {
    onRemove(name);
    if (byKey) input.current?.focus();
  };
  /** @param {number} by */
  const move = (by) => {
    setOpen(true);
    const places = (open ? offered : suggestions(known ?? inUse, tags, typed)).length + 1;
    setActive(((active + 1 + by + places) % places) - 1);
  };
  /** @param {KeyboardEvent} event */
  const onKey = (event) => {
    if (event.isComposing) return;
    /** @type {Record<string, false | (() => void)>} */
    const keys = {
      Enter: (active >= 0 || nameOf(typed) !== "") && (() => add(offered[active] ?? typed)),
      ArrowDown: () => move(1),
      ArrowUp: () => move(-1),
      Escape: !steady && offered.length > 0 && shut,
    };
    const run = keys[event.key];
    if (!run) return;
    event.preventDefault();
    run();
  };
  return html`
    <div class="field tag-field">
      <label class="label" for=${id}>${label}</label>
      ${
        tags.length > 0 &&
        html`
        <ul class="tags" aria-label=${label}>
          ${tags.map((name) => html`<${Tag} key=${name} name=${name} linked=${linked} onRemove=${(/** @type {MouseEvent} */ event) => remove(name, event.detail === 0)} />`)}
        </ul>
      `
      }
      <input
        ref=${input}
        id=${id}
        name=${id}
        class="input tag-input"
        role="combobox"
        aria-autocomplete="list"
        aria-expanded=${offered.length > 0 ? "true" : "false"}
        aria-controls=${`${id}-list`}
        aria-activedescendant=${active >= 0 ? `${id}-${active}` : undefined}
        autocomplete="off"
        enterkeyhint="done"
        maxlength=${LONGEST}
        placeholder=${t("tags.placeholder")}
        value=${typed}
        onInput=${(/** @type {any} */ e) => (setTyped(e.target.value), setOpen(true), setActive(-1))}
        onClick=${() => setOpen(true)}
        onKeyDown=${onKey}
        onBlur=${shut}
      />
      <div id=${`${id}-list`} class="tag-options" role="listbox" aria-label=${t("tags.suggested")} hidden=${offered.length === 0}>
        ${offered.map(
          (name, at) => html`
            <div
              id=${`${id}-${at}`}
              key=${name}
              class="chip tag"
              role="option"
              aria-selected=${at === active ? "true" : "false"}
              onPointerDown=${(/** @type {Event} */ event) => event.preventDefault()}
              onClick=${() => add(name)}
            ><span>${name}</span></div>
          `,
        )}
      </div>
    </div>
  `;
}

/** @param {{name: string, linked?: boolean, onRemove: (event: MouseEvent) => void}} props */
const Tag = ({ name, linked, onRemove }) => html`
  <li class="chip tag">
    ${
      linked
        ? html`<a href=${hrefOf("gallery", { tag: name })} data-internal aria-label=${t("tags.show", { name })}>${name}</a>`
        : html`<span>${name}</span>`
    }
    <button type="button" aria-label=${t("tags.remove", { name })} onClick=${onRemove}><${Icon} name="close" /></button>
  </li>
`;

/**
 * Of those, what the typed may become: first what begins with it.
 *
 * @param {readonly string[]} names
 * @param {readonly string[]} tags that are there already
 * @param {string} typed
 */
function suggestions(names, tags, typed) {
  const text = nameOf(typed).toLowerCase();
  const placeIn = (/** @type {string} */ name) => name.toLowerCase().indexOf(text);
  const fitting = names.filter((name) => placeIn(name) >= 0 && !hasTag(tags, name));
  const first = fitting.filter((name) => placeIn(name) === 0);
  const rest = fitting.filter((name) => placeIn(name) > 0);
  return [...first, ...rest].slice(0, MOST_SUGGESTED);
}
