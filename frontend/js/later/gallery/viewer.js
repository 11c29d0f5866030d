import { html, useEffect, useState } from "../../../vendor/htm-preact.js";
import * as api from "../../core/api.js";
import { deleteMedia } from "../../core/deletion.js";
import { t } from "../../core/i18n.js";
import { hidden } from "../../core/jobs.js";
import { useShortcuts } from "../../core/keys.js";
import { recall, keep } from "../../core/kept.js";
import { place, setQuery } from "../../core/router.js";
import { dialogue, showDialogue } from "../../ui/dialogues.js";
import { useStore } from "../../core/store.js";
import { IconButton } from "../../ui/controls.js";
import { toastError } from "../../core/toasts.js";
import { Toasts } from "../../ui/toasts.js";
import { useModal } from "../../ui/sheet.js";
import { Compare } from "./compare.js";
import { Details } from "./details.js";
import { saveFrom } from "../save.js";
import { changed, changeTags } from "./tags.js";
import { toggleFavorite } from "./tile.js";
import { Stage } from "./stage.js";

/** @import {Medium} from "../../types.js" */

/**
 * @param {object} props
 * @param {string} props.id
 * @param {import("./collection.js").Opened} props.collection
 * @param {import("./collection.js").Collection} props.state
 */
export function Viewer({ id, collection, state }) {
  const close = () => setQuery({ view: "", compare: "" });
  const dialog = useModal(close);
  const covered = useStore(dialogue) !== null;
  const gone = useStore(hidden);
  const [informed, setInformed] = useState(recall("viewer.info", matchMedia("(min-width: 900px)").matches));
  const raw = state.at.findIndex((item) => item?.id === id);
  const [medium, setMedium] = useMedium(id, state.at[raw]);
  const otherId = useStore(place).query.get("compare") ?? "";
  const [other] = useMedium(
    otherId,
    state.at.find((item) => item?.id === otherId),
  );
  const neighbour = (/** @type {number} */ by) => {
    if (raw < 0) return undefined;
    for (let to = raw + by; to >= 0 && to < (state.total ?? 0); to += by) {
      const item = state.at[to];
      if (!item) return void collection.want("viewer", to, to);
      if (!gone.has(item.id)) return item;
    }
  };
  const step = (/** @type {number} */ by) => {
    const item = neighbour(by);
    if (item) setQuery({ view: item.id }, { replace: true });
  };
  const picture = (/** @type {number} */ by) => {
    const item = neighbour(by);
    return item?.media_type === "image" ? item : undefined;
  };
  const compare = () =>
    setQuery({ compare: otherId ? "" : (picture(1)?.id ?? picture(-1)?.id ?? "") }, { replace: true });
  useEffect(() => {
    if (raw >= 0) collection.want("viewer", raw - 2, raw + 2);
    return () => collection.wantNoMore("viewer");
  }, [raw, collection]);
  const remove = () => {
    const next = neighbour(1) ?? neighbour(-1);
    deleteMedia([id]);
    setQuery({ view: next?.id ?? "", compare: "" }, { replace: true });
  };
  const inform = () => {
    setInformed(!informed);
    keep("viewer.info", !informed);
  };
  /** @param {Medium} now */
  const change = (now) => (collection.update(now), setMedium(now));
  const like = () => medium && toggleFavorite(medium, change);
  /** @param {import("./tags.js").TagChanges} changes shown at once, and taken back if the server refuses */
  const tag = async (changes) => {
    if (!medium) return;
    change({ ...medium, tags: changed(medium.tags ?? [], changes) });
    try {
      await changeTags([medium.id], changes);
    } catch (error) {
      change(medium);
      toastError(error);
    }
  };
  const toTags = () => {
    const focus = () => dialog.current.querySelector(".tag-input")?.focus();
    focus(); // At once, so that what is typed next is a tag and not more shortcuts.
    if (informed) return;
    setInformed(true);
    requestAnimationFrame(focus);
  };
  const animate = () => medium && showDialogue({ kind: "animate", source: medium, made: medium.metadata });
  const download = () => medium && saveFrom(api.mediumUrl(medium), fileName(medium));
  useShortcuts(
    {
      arrowleft: () => step(-1),
      arrowright: () => step(1),
      c: () => medium?.media_type === "image" && compare(),
      i: inform,
      f: like,
      t: toTags,
      d: download,
      a: () => medium?.media_type === "image" && animate(),
      delete: remove,
      backspace: remove,
    },
    { inDialog: true, active: !covered },
  );
  return html`
    <dialog class=${informed ? "viewer informed" : "viewer"} ref=${dialog} tabindex="-1" aria-label=${t("viewer")}>
      ${
        medium
          ? html`
            ${other && medium.media_type === "image" ? html`<${Compare} medium=${medium} other=${other} />` : html`<${Stage} key=${medium.id} medium=${medium} />`}
            <div class="viewer-top">
              <span class="viewer-count number">${raw >= 0 ? t("viewer.place", { at: raw + 1, of: state.total ?? 0 }) : ""}</span>
              ${medium.media_type === "image" && html`<${IconButton} icon="animate" label=${t("animate")} onClick=${animate} />`}
              ${medium.media_type === "image" && html`<${IconButton} icon="compare" label=${t("compare")} pressed=${otherId !== ""} onClick=${compare} />`}
              <${IconButton}
                icon=${medium.favorite ? "hearted" : "heart"}
                label=${t("favourite")}
                pressed=${medium.favorite}
                onClick=${like}
              />
              <${IconButton} icon="download" label=${t("download")} onClick=${download} />
              <${IconButton} icon="trash" danger label=${t("delete")} onClick=${remove} />
              <${IconButton} icon="info" label=${t("viewer.info")} pressed=${informed} onClick=${inform} />
              <${IconButton} icon="close" label=${t("close")} onClick=${close} />
            </div>
            ${raw > 0 && html`<div class="viewer-step previous"><${IconButton} icon="left" label=${t("previous")} onClick=${() => step(-1)} /></div>`}
            ${raw >= 0 && raw < (state.total ?? 0) - 1 && html`<div class="viewer-step next"><${IconButton} icon="right" label=${t("next")} onClick=${() => step(1)} /></div>`}
            ${informed && html`<${Details} medium=${medium} onTags=${tag} />`}
          `
          : html`<div class="viewer-top"><${IconButton} icon="close" label=${t("close")} onClick=${close} /></div>
            <p class="viewer-missing" role="status">${medium === null ? t("viewer.gone") : ""}</p>`
      }
      <${Toasts} />
    </dialog>
  `;
}

/**
 * The medium: from the list, else asked for, since a link may lead anywhere. Null when there is none.
 *
 * @param {string} id
 * @param {Medium | undefined} listed
 * @returns {[Medium | null | undefined, (medium: Medium) => void]} it, and what changes it where it is not listed
 */
function useMedium(id, listed) {
  const [found, setFound] = useState(/** @type {{id: string, medium: Medium | null} | null} */ (null));
  useEffect(() => {
    if (listed || found?.id === id || !id) return;
    lookUp(id).then(
      (medium) => setFound({ id, medium }),
      () => setFound({ id, medium: null }),
    );
  }, [id, listed]);
  const medium = listed ?? (found?.id === id ? found.medium : undefined);
  return [
    medium,
    (now) => setFound((before) => (before?.id === now.id ? { id: now.id, medium: now } : before)),
  ];
}

/**
 * @param {string} id
 * @returns {Promise<Medium>}
 */
async function lookUp(id) {
  const [metadata, tags] = await Promise.all([api.metadata(id), api.tagsOf(id)]);
  const { width = 1, height = 1 } = metadata.settings ?? {};
  return {
    id,
    media_type: metadata.type ?? "image",
    width,
    height,
    created_at: "",
    favorite: false,
    tags,
    metadata,
  };
}

/** @param {Medium} medium */
function fileName({ id, media_type, metadata }) {
  const words = (metadata.prompt ?? "").toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
  const stem = [...words.slice(0, 6), metadata.seed ?? id.slice(0, 8)].join("-");
  return `${stem}.${media_type === "video" ? "mp4" : "png"}`;
}
