import { html, useEffect, useMemo, useState } from "../../../vendor/htm-preact.js";
import { whenDeleted, deleteMedia } from "../../core/deletion.js";
import { number } from "../../core/format.js";
import { t } from "../../core/i18n.js";
import { Button } from "../../ui/controls.js";
import { hidden, onJobChange } from "../../core/jobs.js";
import { useShortcuts } from "../../core/keys.js";
import { whenResynced } from "../../core/live.js";
import { place } from "../../core/router.js";
import { useStore } from "../../core/store.js";
import { Icon } from "../../ui/icon.js";
import { openCollection, visibleOf } from "./collection.js";
import { Chips, clearFilters, Filters } from "./filters.js";
import { Grid } from "./grid.js";
import { noSelection, SelectionBar } from "./selection.js";
import { isName, nameOf } from "./tags.js";
import { Viewer } from "./viewer.js";

/** @import {Selection} from "./selection.js" */

/** @param {URLSearchParams} query */
const filtersOf = (query) => ({
  search: query.get("search") ?? "",
  model: query.get("model") ?? "",
  type: query.get("type") ?? "",
  favorite: query.get("favorite") === "true" || null,
  tags: query.getAll("tag").map(nameOf).filter(isName),
  from: dayOf(query.get("from")),
  to: dayOf(query.get("to")),
});

/** @param {string | null} text a day, or what someone has typed into the address */
const dayOf = (text) => (text && /^\d{4}-\d\d-\d\d$/.test(text) && !isNaN(Date.parse(text)) ? text : "");

/** Pictures and clips, newest first. Filters and the medium that is open are in the address. */
export function GalleryPage() {
  const { query } = useStore(place);
  const filters = filtersOf(query);
  const collection = useCollection(filters);
  const state = useStore(collection.state);
  const gone = useStore(hidden);
  const shown = useMemo(() => visibleOf(state, gone), [state, gone]);
  const [selection, setSelection] = useState(/** @type {Selection} */ (noSelection));
  const opened = query.get("view");
  useShortcuts(
    {
      s: () => setSelection({ ...noSelection, active: !selection.active }),
      ...(selection.active && { escape: () => setSelection(noSelection) }),
      delete: () => removeSelected(selection, setSelection),
    },
    { active: !opened },
  );
  const filtered = Object.values(filters).flat().some(Boolean);
  return html`
    <div class="page-head">
      <h1>${t("nav.gallery")}</h1>
      <p class="muted small number" role="status">${state.total === null ? "" : t("gallery.count", { count: shown.count, n: number(shown.count) })}</p>
    </div>
    <${Filters} filters=${filters} selecting=${selection.active} onSelect=${() => setSelection({ ...noSelection, active: !selection.active })} />
    <${Chips} filters=${filters} />
    ${state.unseen > 0 && html`<${NewPill} count=${state.unseen} onShow=${() => (collection.renew(), window.scrollTo({ top: 0 }))} />`}
    ${
      state.total !== null && shown.count === 0
        ? html`<${Nothing} filtered=${filtered} />`
        : html`<${Grid} collection=${collection} state=${state} shown=${shown} selection=${selection} onSelection=${setSelection} />`
    }
    ${selection.active && html`<${SelectionBar} selection=${selection} collection=${collection} onSelection=${setSelection} />`}
    ${opened && html`<${Viewer} id=${opened} collection=${collection} state=${state} />`}
  `;
}

/** @param {import("../../types.js").GalleryQuery} filters */
function useCollection(filters) {
  const key = JSON.stringify(filters);
  const collection = useMemo(() => openCollection(filters), [key]);
  useEffect(() => {
    collection.want("grid", 0, 49);
    const arrive = () =>
      void (window.scrollY < 200 && !place.get().query.get("view")
        ? renewIfGrown(collection)
        : collection.check());
    const stops = [
      onJobChange(
        (job, before) => job.status === "completed" && before?.status !== "completed" && before && arrive(),
      ),
      whenResynced(() => void collection.check()),
      whenDeleted(collection.remove),
      () => collection.close(),
    ];
    return () => stops.forEach((stop) => stop());
  }, [collection]);
  return collection;
}

/** @param {import("./collection.js").Opened} collection */
async function renewIfGrown(collection) {
  await collection.check();
  if (collection.state.get().unseen > 0) await collection.renew();
}

/**
 * @param {Selection} selection
 * @param {(selection: Selection) => void} setSelection
 */
function removeSelected(selection, setSelection) {
  if (selection.ids.size === 0) return;
  deleteMedia([...selection.ids]);
  setSelection(noSelection);
}

/** @param {{count: number, onShow: () => void}} props */
const NewPill = ({ count, onShow }) => html`
  <div class="new-pill"><${Button}
    kind="primary compact"
    icon="arrowup"
    text=${t("gallery.new", { count })}
    onClick=${onShow}
  /></div>
`;

/** @param {{filtered: boolean}} props */
const Nothing = ({ filtered }) => html`
  <div class="empty">
    <${Icon} name=${filtered ? "search" : "gallery"} />
    <h2>${t(filtered ? "gallery.noMatch" : "gallery.empty")}</h2>
    <p>${t(filtered ? "gallery.noMatchText" : "gallery.emptyText")}</p>
    ${
      filtered &&
      html`<${Button}
        text=${t("filters.clear")}
        onClick=${clearFilters}
      />`
    }
  </div>
`;
