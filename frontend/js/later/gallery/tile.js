import { html, useMemo, useState } from "../../../vendor/htm-preact.js";
import * as api from "../../core/api.js";
import { t } from "../../core/i18n.js";
import { toastError } from "../../core/toasts.js";
import { Clip } from "../../ui/clip.js";
import { showDialogue } from "../../ui/dialogues.js";
import { Icon } from "../../ui/icon.js";

/** @import {Medium} from "../../types.js" */

/**
 * What is on a tile.
 *
 * @param {object} props
 * @param {number} props.at its place among those shown
 * @param {Medium} props.medium
 * @param {boolean} props.tabbable
 * @param {boolean} props.selecting
 * @param {boolean} props.selected
 * @param {import("./collection.js").Opened} props.collection
 * @param {(at: number) => void} props.onFocus
 * @param {(event: MouseEvent, at: number, id: string) => void} props.onOpen the same function every time
 */
export function Tile(props) {
  const [near, setNear] = useState(TOUCHED);
  // Scrolling draws the grid anew for every row: a tile that stays as it was costs next to nothing.
  return useMemo(() => draw(props, near, setNear), [...CHANGING.map((name) => props[name]), near]);
}

const CHANGING = /** @type {const} */ (["at", "medium", "tabbable", "selecting", "selected", "collection"]);
/** Where nothing can be pointed at, a tile's tools are always to be seen. */
const TOUCHED = matchMedia("(hover: none)").matches;

/**
 * @param {Parameters<typeof Tile>[0]} props
 * @param {boolean} near whether the tile is pointed at, or has the focus
 * @param {(near: boolean) => void} setNear
 */
function draw(props, near, setNear) {
  const { at, medium, tabbable, selecting, selected, onFocus, onOpen } = props;
  const prompt = medium.metadata.prompt || t("prompt.none");
  const approach = () => setNear(true);
  return html`
    <button
      type="button"
      class="tile-open"
      onPointerEnter=${approach}
      tabindex=${tabbable ? 0 : -1}
      aria-label=${t(medium.media_type === "video" ? "tile.clip" : "tile.picture", { prompt })}
      aria-pressed=${selecting ? (selected ? "true" : "false") : undefined}
      onClick=${(/** @type {MouseEvent} */ event) => onOpen(event, at, medium.id)}
      onFocus=${() => (approach(), onFocus(at))}
    >
      ${
        medium.media_type === "video"
          ? html`<${Clip} medium=${medium} />`
          : html`<img src=${api.thumbnailUrl(medium.id)} alt="" decoding="async" draggable="false" />`
      }
      ${selecting && html`<span class="tile-check" aria-hidden="true">${selected && html`<${Icon} name="check" small />`}</span>`}
    </button>
    ${!selecting && html`<${Tools} ...${props} near=${near} onApproach=${approach} />`}
  `;
}

/** The buttons on a tile. Their icons, costly to scroll, are drawn where they are seen. @param {any} props */
const Tools = ({ medium, tabbable, collection, near, onApproach }) => html`
  <div class="tile-tools" onPointerEnter=${onApproach} onfocusin=${onApproach}>
    ${
      medium.media_type === "image" &&
      html`
      <button
        type="button"
        tabindex=${tabbable ? 0 : -1}
        class="tile-tool"
        aria-label=${t("animate")}
        title=${t("animate")}
        onClick=${() => showDialogue({ kind: "animate", source: medium, made: medium.metadata })}
      >
        ${near && html`<${Icon} name="animate" small />`}
      </button>
    `
    }
    <button
      type="button"
      tabindex=${tabbable ? 0 : -1}
      class=${`tile-tool${medium.favorite ? " on" : ""}`}
      aria-label=${t("favourite")}
      title=${t("favourite")}
      aria-pressed=${medium.favorite ? "true" : "false"}
      onClick=${() => toggleFavorite(medium, collection.update)}
    >
      ${(near || medium.favorite) && html`<${Icon} name=${medium.favorite ? "hearted" : "heart"} small />`}
    </button>
  </div>
`;

/**
 * Shown at once, and taken back if the server refuses.
 *
 * @param {Medium} medium
 * @param {(medium: Medium) => void} update
 */
export async function toggleFavorite(medium, update) {
  const changed = { ...medium, favorite: !medium.favorite };
  update(changed);
  try {
    await api.setFavorite(medium.id, changed.favorite);
  } catch (error) {
    update(medium);
    toastError(error);
  }
}
