import { html } from "../../../vendor/htm-preact.js";
import * as api from "../../core/api.js";
import { t } from "../../core/i18n.js";
import { toastError } from "../../core/toasts.js";
import { Clip } from "../../ui/clip.js";
import { showDialogue } from "../../ui/dialogues.js";
import { Icon } from "../../ui/icon.js";

/** @import {Medium} from "../../types.js" */

/**
 * @param {object} props
 * @param {number} props.at its place among those shown
 * @param {number} props.x
 * @param {number} props.y
 * @param {number} props.side
 * @param {number} props.count
 * @param {Medium | undefined} props.medium undefined until it is fetched
 * @param {boolean} props.tabbable
 * @param {boolean} props.selecting
 * @param {boolean} props.selected
 * @param {import("./collection.js").Opened} props.collection
 * @param {(at: number) => void} props.onFocus
 * @param {(event: MouseEvent) => void} props.onOpen
 */
export function Tile({
  at,
  x,
  y,
  side,
  count,
  medium,
  tabbable,
  selecting,
  selected,
  collection,
  onFocus,
  onOpen,
}) {
  const style = { transform: `translate(${x}px, ${y}px)`, width: `${side}px`, height: `${side}px` };
  if (!medium) return html`<li class="tile ghost" style=${style} aria-hidden="true" data-place=${at}></li>`;
  const prompt = medium.metadata.prompt || t("prompt.none");
  const tab = tabbable ? 0 : -1;
  return html`
    <li class=${`tile${selected ? " selected" : ""}`} style=${style} data-place=${at} aria-setsize=${count} aria-posinset=${at + 1}>
      <button
        type="button"
        class="tile-open"
        tabindex=${tab}
        aria-label=${t(medium.media_type === "video" ? "tile.clip" : "tile.picture", { prompt })}
        aria-pressed=${selecting ? (selected ? "true" : "false") : undefined}
        onClick=${onOpen}
        onFocus=${() => onFocus(at)}
      >
        ${
          medium.media_type === "video"
            ? html`<${Clip} medium=${medium} />`
            : html`<img src=${api.thumbnailUrl(medium.id)} alt="" decoding="async" draggable="false" />`
        }
        ${selecting && html`<span class="tile-check" aria-hidden="true">${selected && html`<${Icon} name="check" small />`}</span>`}
      </button>
      ${
        !selecting &&
        html`
        <div class="tile-tools">
          ${
            medium.media_type === "image" &&
            html`
            <button
              type="button"
              tabindex=${tab}
              class="tile-tool"
              aria-label=${t("animate")}
              title=${t("animate")}
              onClick=${() => showDialogue({ kind: "animate", source: medium, made: medium.metadata })}
            >
              <${Icon} name="animate" small />
            </button>
          `
          }
          <button
            type="button"
            tabindex=${tab}
            class=${`tile-tool${medium.favorite ? " on" : ""}`}
            aria-label=${t("favourite")}
            title=${t("favourite")}
            aria-pressed=${medium.favorite ? "true" : "false"}
            onClick=${() => toggleFavorite(medium, collection)}
          >
            <${Icon} name=${medium.favorite ? "hearted" : "heart"} small />
          </button>
        </div>
      `
      }
    </li>
  `;
}

/**
 * Shown at once, and taken back if the server refuses.
 *
 * @param {Medium} medium
 * @param {import("./collection.js").Opened} collection
 */
export async function toggleFavorite(medium, collection) {
  const changed = { ...medium, favorite: !medium.favorite };
  collection.update(changed);
  try {
    await api.setFavorite(medium.id, changed.favorite);
  } catch (error) {
    collection.update(medium);
    toastError(error);
  }
}
