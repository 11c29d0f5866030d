import { html, useState } from "../../../vendor/htm-preact.js";
import * as api from "../../core/api.js";
import { deleteMedia } from "../../core/deletion.js";
import { number } from "../../core/format.js";
import { t } from "../../core/i18n.js";
import { useShortcuts } from "../../core/keys.js";
import { toastError } from "../../core/toasts.js";
import { go, hrefWith } from "../../core/router.js";
import { Button, IconButton } from "../../ui/controls.js";
import { save } from "../save.js";
import { TagDialogue } from "./tag_dialogue.js";

/**
 * @typedef {object} Selection
 * @property {boolean} active
 * @property {ReadonlySet<string>} ids
 * @property {number | null} anchor where a range begins
 */

/** @type {Selection} */
export const noSelection = { active: false, ids: new Set(), anchor: null };

/** The most that one archive takes. */
const ZIP_MOST = 1000;
const LIKES_AT_ONCE = 20;

/**
 * @param {Selection} selection
 * @param {number} at
 * @param {string} id
 * @param {{range: boolean, idAt: (at: number) => string | undefined}} how
 * @returns {Selection}
 */
export function select(selection, at, id, { range, idAt }) {
  const ids = new Set(selection.ids);
  if (range && selection.anchor !== null) {
    const [from, to] = [selection.anchor, at].sort((a, b) => a - b);
    for (let i = from; i <= to; i += 1) {
      const between = idAt(i);
      if (between) ids.add(between);
    }
    return { active: true, ids, anchor: selection.anchor };
  }
  if (!ids.delete(id)) ids.add(id);
  return { active: true, ids, anchor: at };
}

/** @param {{selection: Selection, collection: import("./collection.js").Opened, onSelection: (selection: Selection) => void}} props */
export function SelectionBar({ selection, collection, onSelection }) {
  const [busy, setBusy] = useState(false);
  const [tagging, setTagging] = useState(false);
  const ids = [...selection.ids];
  const none = ids.length === 0;
  const zip = async () => {
    setBusy(true);
    try {
      save(await api.zip(ids), "cyberimage.zip");
    } catch (error) {
      toastError(error);
    } finally {
      setBusy(false);
    }
  };
  const like = async () => {
    setBusy(true);
    try {
      for (let start = 0; start < ids.length; start += LIKES_AT_ONCE)
        await Promise.all(ids.slice(start, start + LIKES_AT_ONCE).map((id) => api.setFavorite(id, true)));
    } catch (error) {
      toastError(error);
    } finally {
      setBusy(false);
    }
    for (const medium of chosen) if (medium) collection.update({ ...medium, favorite: true });
  };
  const remove = () => {
    deleteMedia(ids);
    onSelection(noSelection);
  };
  const chosen = collection.state.get().at.filter((medium) => medium && selection.ids.has(medium.id));
  const pair = ids.length === 2 && chosen.every((medium) => medium?.media_type === "image");
  const compare = () => {
    onSelection(noSelection);
    const [view, other] = ids;
    go(hrefWith("gallery", { view, compare: other }));
  };
  const all = async (/** @type {boolean} */ favourites) => {
    setBusy(true);
    try {
      onSelection({ active: true, ids: new Set(await collection.all({ favourites })), anchor: null });
    } catch (error) {
      toastError(error);
    } finally {
      setBusy(false);
    }
  };
  useShortcuts({ t: () => setTagging(!none) });
  return html`
    <div class="selection" role="toolbar" aria-label=${t("selection")}>
      <${IconButton} icon="close" label=${t("selection.end")} onClick=${() => onSelection(noSelection)} />
      <span class="number" role="status">${t("selection.count", { count: ids.length })}</span>
      <${Button} kind="compact" icon="select" text=${t("selection.all")} disabled=${busy} onClick=${() => all(true)} />
      <${Button}
        kind="compact"
        icon="unloved"
        text=${t("selection.butFavourites")}
        disabled=${busy}
        onClick=${() => all(false)}
      />
      ${pair && html`<${Button} kind="compact" icon="compare" text=${t("compare")} onClick=${compare} />`}
      <${Button}
        kind="compact"
        icon="heart"
        text=${t("favourite")}
        disabled=${none || busy}
        onClick=${like}
      />
      <${Button} kind="compact" icon="tag" text=${t("tags.selected")} disabled=${none || busy} onClick=${() => setTagging(true)} />
      <${Button}
        kind="compact"
        icon="download"
        text=${t("zip")}
        disabled=${none || busy || ids.length > ZIP_MOST}
        title=${ids.length > ZIP_MOST ? t("zip.most", { n: number(ZIP_MOST) }) : undefined}
        aria-busy=${busy ? "true" : "false"}
        onClick=${zip}
      />
      <${Button}
        kind="compact danger"
        icon="trash"
        text=${t("delete")}
        disabled=${none}
        onClick=${remove}
      />
    </div>
    ${tagging && html`<${TagDialogue} ids=${ids} collection=${collection} onClose=${() => setTagging(false)} />`}
  `;
}
