import { html, useState } from "../../../vendor/htm-preact.js";
import { t } from "../../core/i18n.js";
import { place } from "../../core/router.js";
import { toast, toastError } from "../../core/toasts.js";
import { Button } from "../../ui/controls.js";
import { Sheet } from "../../ui/sheet.js";
import { TagField } from "./tag_field.js";
import { changed, changeTags, nameOf } from "./tags.js";

/**
 * Adds tags to all that are selected, and removes others.
 *
 * @param {object} props
 * @param {readonly string[]} props.ids
 * @param {import("./collection.js").Opened} props.collection
 * @param {() => void} props.onClose
 */
export function TagDialogue({ ids, collection, onClose }) {
  const [add, setAdd] = useState(/** @type {string[]} */ ([]));
  const [remove, setRemove] = useState(/** @type {string[]} */ ([]));
  const [busy, setBusy] = useState(false);
  const wanted = new Set(ids);
  const media = collection.state
    .get()
    .at.flatMap((medium) => (medium && wanted.has(medium.id) ? [medium] : []));
  const theirs = media.reduce(
    (all, medium) => changed(all, { add: medium.tags }),
    /** @type {string[]} */ ([]),
  );
  /** @param {any} event */
  const apply = async (event) => {
    event.preventDefault();
    const changes = withTyped({ add, remove }, event.target.elements);
    if (changes.add.length === 0 && changes.remove.length === 0) return onClose();
    setBusy(true);
    try {
      await changeTags(ids, changes);
    } catch (error) {
      toastError(error);
      return setBusy(false);
    }
    for (const medium of media) collection.update({ ...medium, tags: changed(medium.tags ?? [], changes) });
    if (place.get().query.has("tag")) void collection.renew();
    toast(t("tags.changed", { count: ids.length }));
    onClose();
  };
  return html`
    <${Sheet}
      title=${t("tags.ofSelected", { count: ids.length })}
      onClose=${onClose}
      foot=${html`<${Button} kind="primary" type="submit" form="tags-form" icon="check" text=${t("tags.apply")} disabled=${busy} />`}
    >
      <form id="tags-form" class="tags-form" onSubmit=${apply}>
        <${TagField}
          id="tags-add"
          steady
          label=${t("tags.add")}
          tags=${add}
          onAdd=${(/** @type {string} */ name) => {
            setAdd(changed(add, { add: [name] }));
            setRemove(changed(remove, { remove: [name] }));
          }}
          onRemove=${(/** @type {string} */ name) => setAdd(changed(add, { remove: [name] }))}
        />
        <${TagField}
          id="tags-remove"
          steady
          label=${t("tags.takeAway")}
          tags=${remove}
          known=${media.length === ids.length ? theirs : undefined}
          onAdd=${(/** @type {string} */ name) => {
            setRemove(changed(remove, { add: [name] }));
            setAdd(changed(add, { remove: [name] }));
          }}
          onRemove=${(/** @type {string} */ name) => setRemove(changed(remove, { remove: [name] }))}
        />
      </form>
    <//>
  `;
}

/**
 * The changes, and what is typed and was not entered.
 *
 * @param {{add: string[], remove: string[]}} changes
 * @param {Record<string, HTMLInputElement>} inputs by name
 */
function withTyped({ add, remove }, inputs) {
  const typed = (/** @type {string} */ name) => [nameOf(inputs[name].value)].filter(Boolean);
  return {
    add: changed(add, { add: typed("tags-add") }),
    remove: changed(remove, { add: typed("tags-remove") }),
  };
}
