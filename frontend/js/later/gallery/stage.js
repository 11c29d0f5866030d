/** The picture or clip itself. A picture can be enlarged and moved with the wheel, keys, fingers or the mouse. */
import { html, useEffect, useRef, useState } from "../../../vendor/htm-preact.js";
import { mediumUrl, thumbnailUrl } from "../../core/api.js";
import { useShortcuts } from "../../core/keys.js";
import { wantsLessMotion } from "../../core/theme.js";

/** @import {Medium} from "../../types.js" */

const MOST = 8;

/** @typedef {{scale: number, x: number, y: number}} View */

/** @type {View} */
const WHOLE = { scale: 1, x: 0, y: 0 };

/** @param {{medium: Medium}} props */
export function Stage({ medium }) {
  return medium.media_type === "video"
    ? html`<${Film} medium=${medium} />`
    : html`<${Picture} medium=${medium} />`;
}

/** @param {{medium: Medium}} props */
const Film = ({ medium }) => html`
  <div class="stage">
    <video
      class="stage-medium"
      src=${mediumUrl(medium)}
      poster=${thumbnailUrl(medium.id)}
      style=${fit(medium)}
      controls
      loop
      playsinline
      muted
      autoplay=${!wantsLessMotion()}
      aria-label=${medium.metadata.prompt}
    ></video>
  </div>
`;

/** @param {{medium: Medium}} props */
function Picture({ medium }) {
  const box = useRef(/** @type {any} */ (null));
  const [view, setView] = useState(WHOLE);
  /**
   * @param {number} factor
   * @param {number} [x] kept in place, from the middle
   * @param {number} [y]
   */
  const zoom = (factor, x = 0, y = 0) =>
    setView((old) => {
      const scale = Math.min(MOST, Math.max(1, old.scale * factor));
      if (scale === 1) return WHOLE;
      const grown = scale / old.scale;
      return { scale, x: x - (x - old.x) * grown, y: y - (y - old.y) * grown };
    });
  useShortcuts(
    { "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), 0: () => setView(WHOLE) },
    { inDialog: true },
  );
  useEffect(() => followPointer(box.current, zoom, setView), []);
  return html`
    <div class=${view.scale > 1 ? "stage zoomed" : "stage"} ref=${box}>
      <img
        class=${medium.width * medium.height < 200_000 ? "stage-medium pixels" : "stage-medium"}
        src=${mediumUrl(medium)}
        alt=${medium.metadata.prompt ?? ""}
        draggable=${view.scale === 1}
        style=${{ ...fit(medium), transform: `translate(${view.x}px, ${view.y}px) scale(${view.scale})` }}
      />
    </div>
  `;
}

/**
 * As large as there is room, small pictures at most three times their size.
 *
 * @param {Medium} medium
 */
export const fit = ({ width, height }) => ({
  aspectRatio: `${width} / ${height}`,
  maxWidth: `min(100%, ${Math.max(width * 3, 512)}px)`,
  "--ratio": width / height,
});

/**
 * @param {HTMLElement} box
 * @param {(factor: number, x?: number, y?: number) => void} zoom
 * @param {(change: (view: View) => View) => void} setView
 */
function followPointer(box, zoom, setView) {
  /** @type {Map<number, PointerEvent>} */
  const down = new Map();
  const fromMiddle = (/** @type {MouseEvent} */ event) => {
    const { left, top, width, height } = box.getBoundingClientRect();
    return /** @type {[number, number]} */ ([
      event.clientX - left - width / 2,
      event.clientY - top - height / 2,
    ]);
  };
  const spread = () => {
    const [a, b] = [...down.values()];
    return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
  };
  /** @type {Record<string, (event: any) => void>} */
  const handlers = {
    wheel: (event) => (event.preventDefault(), zoom(Math.exp(-event.deltaY / 300), ...fromMiddle(event))),
    dblclick: (event) => zoom(box.classList.contains("zoomed") ? 0 : 2.5, ...fromMiddle(event)),
    pointerdown: (event) => {
      down.set(event.pointerId, event);
      if (box.classList.contains("zoomed")) box.setPointerCapture(event.pointerId);
    },
    pointermove: (event) => {
      const last = down.get(event.pointerId);
      if (!last) return;
      const before = down.size === 2 ? spread() : 0;
      down.set(event.pointerId, event);
      if (down.size === 2) zoom(spread() / (before || 1), ...fromMiddle(event));
      else if (box.classList.contains("zoomed")) {
        setView((old) => ({
          ...old,
          x: old.x + event.clientX - last.clientX,
          y: old.y + event.clientY - last.clientY,
        }));
      }
    },
    pointerup: (event) => void down.delete(event.pointerId),
    pointercancel: (event) => void down.delete(event.pointerId),
  };
  const names = Object.keys(handlers);
  for (const name of names) box.addEventListener(name, handlers[name], { passive: false });
  return () => names.forEach((name) => box.removeEventListener(name, handlers[name]));
}
