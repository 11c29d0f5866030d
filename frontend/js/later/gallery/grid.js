/** Only the tiles near the window are in the page, whatever the number of media. */
import {
  html,
  useCallback,
  useEffect,
  useLayoutEffect,
  useRef,
  useState,
} from "../../../vendor/htm-preact.js";
import { t } from "../../core/i18n.js";
import { go, hrefWith } from "../../core/router.js";
import { useLongPress } from "../../ui/long_press.js";
import { select } from "./selection.js";
import { Tile } from "./tile.js";

const GAP = 10;
/** Rows kept on either side of the window. */
const OVERSCAN = 3;
/** So many media before and after those that are drawn are fetched, too. */
const AHEAD = 50;
/** Scrolling on faster than this asks for nothing in between. */
const SETTLE_MS = 60;

/**
 * @param {object} props
 * @param {import("./collection.js").Opened} props.collection
 * @param {import("./collection.js").Collection} props.state
 * @param {{count: number, rawOf: (place: number) => number}} props.shown
 * @param {import("./selection.js").Selection} props.selection
 * @param {(selection: import("./selection.js").Selection) => void} props.onSelection
 */
export function Grid({ collection, state, shown, selection, onSelection }) {
  const box = useRef(/** @type {any} */ (null));
  const layout = useLayout(box);
  const rows = Math.ceil(shown.count / layout.columns);
  const range = useRange(box, layout, shown.count);
  const [current, setCurrent] = useState(0);
  const wantsFocus = useRef(false);
  const openNow = useRef(openOrSelect);
  openNow.current = openOrSelect;
  const open = useCallback(
    (/** @type {Parameters<typeof openOrSelect>} */ ...which) => openNow.current(...which),
    [],
  );
  const { first } = range;
  const last = Math.min(shown.count - 1, range.last);

  useEffect(() => {
    const timer = setTimeout(
      () => collection.want("grid", shown.rawOf(first) - AHEAD, shown.rawOf(last) + AHEAD),
      state.at[shown.rawOf(first)] ? 0 : SETTLE_MS,
    );
    return () => clearTimeout(timer);
  });
  useLayoutEffect(() => {
    if (!wantsFocus.current) return;
    wantsFocus.current = false;
    box.current.querySelector(`[data-place="${current}"] .tile-open`)?.focus({ preventScroll: true });
  });

  const idAt = (/** @type {number} */ at) => state.at[shown.rawOf(at)]?.id;
  useLongPress(box, (target) => {
    const at = Number(/** @type {HTMLElement | null} */ (target.closest("[data-place]"))?.dataset.place);
    const id = idAt(at);
    if (id) onSelection(select(selection, at, id, { range: false, idAt }));
  });
  /** @param {number} to */
  const moveTo = (to) => {
    const next = Math.max(0, Math.min(shown.count - 1, to));
    wantsFocus.current = true;
    setCurrent(next);
    bringIntoView(box.current, layout, Math.floor(next / layout.columns));
  };
  /** @param {KeyboardEvent} event */
  const onKey = (event) => {
    const { columns } = layout;
    const page = columns * Math.max(1, Math.floor(innerHeight / layout.pitch) - 1);
    /** @type {Record<string, number>} */
    const moves = {
      ArrowLeft: -1,
      ArrowRight: 1,
      ArrowUp: -columns,
      ArrowDown: columns,
      PageUp: -page,
      PageDown: page,
      Home: -Infinity,
      End: Infinity,
    };
    if (!(event.key in moves) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    moveTo(current + moves[event.key]);
  };
  const anchor = current >= first && current <= last ? current : first;
  const tiles = [];
  for (let at = first; at <= last; at += 1) {
    const medium = state.at[shown.rawOf(at)];
    const style = placeOf(at, layout);
    if (!medium) {
      tiles.push(
        html`<li key=${`place-${at}`} class="tile ghost" style=${style} aria-hidden="true" data-place=${at}></li>`,
      );
      continue;
    }
    const selected = selection.ids.has(medium.id);
    // Were this a component's element, Preact would move all that stay in the page whenever some leave it.
    tiles.push(html`
      <li
        key=${medium.id}
        class=${selected ? "tile selected" : "tile"}
        style=${style}
        data-place=${at}
        aria-setsize=${shown.count}
        aria-posinset=${at + 1}
      >
        <${Tile}
          at=${at}
          medium=${medium}
          tabbable=${at === anchor}
          selecting=${selection.active}
          selected=${selected}
          collection=${collection}
          onFocus=${setCurrent}
          onOpen=${open}
        />
      </li>
    `);
  }
  /**
   * @param {MouseEvent} event
   * @param {number} at
   * @param {string} id
   */
  function openOrSelect(event, at, id) {
    if (selection.active || event.ctrlKey || event.metaKey || event.shiftKey) {
      onSelection(select(selection, at, id, { range: event.shiftKey, idAt }));
    } else {
      go(hrefWith("gallery", { view: id }));
    }
  }
  return html`
    <ul
      class="grid"
      ref=${box}
      aria-label=${t("nav.gallery")}
      aria-busy=${state.total === null ? "true" : "false"}
      style=${{ height: `${Math.max(0, rows * layout.pitch - GAP)}px` }}
      onKeyDown=${onKey}
    >
      ${tiles}
    </ul>
  `;
}

/** @typedef {{columns: number, side: number, pitch: number}} Layout */

/**
 * Where a tile is, as its style. Text, which costs less to compare than an object's entries.
 *
 * @param {number} at
 * @param {Layout} layout
 */
function placeOf(at, { columns, side, pitch }) {
  const x = Math.round((at % columns) * pitch);
  const y = Math.round(Math.floor(at / columns) * pitch);
  return `transform:translate(${x}px,${y}px);width:${side}px;height:${side}px`;
}

/** @param {{current: HTMLElement}} box */
function useLayout(box) {
  const [layout, setLayout] = useState(/** @type {Layout} */ ({ columns: 1, side: 200, pitch: 210 }));
  useLayoutEffect(() => {
    const measure = () => {
      const { width } = box.current.getBoundingClientRect();
      if (width === 0) return;
      const wanted = width < 500 ? 104 : width < 900 ? 160 : 216;
      const columns = Math.max(1, Math.floor((width + GAP) / (wanted + GAP)));
      const side = (width - GAP * (columns - 1)) / columns;
      setLayout((old) =>
        old.columns === columns && old.side === side ? old : { columns, side, pitch: side + GAP },
      );
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  return layout;
}

/**
 * The first and the last tile to draw. A row comes in two parts, so that no frame has all of its work.
 *
 * @param {{current: HTMLElement}} box
 * @param {Layout} layout
 * @param {number} count of all tiles
 */
function useRange(box, { columns, pitch }, count) {
  const [range, setRange] = useState({ first: 0, last: 0 });
  useLayoutEffect(() => {
    let frame = 0;
    const part = Math.ceil(columns / 2);
    /** @param {number} rows from the top, with a fraction */
    const tileAt = (rows) => Math.floor((rows * columns) / part) * part;
    const look = () => {
      frame = 0;
      const above = -box.current.getBoundingClientRect().top / pitch;
      const first = Math.max(0, Math.min(count - columns, tileAt(above - OVERSCAN)));
      const last = Math.min(count, tileAt(above + innerHeight / pitch + OVERSCAN + 1)) - 1;
      setRange((old) => (old.first === first && old.last === last ? old : { first, last }));
    };
    const onScroll = () => void (frame ||= requestAnimationFrame(look));
    look();
    addEventListener("scroll", onScroll, { passive: true });
    addEventListener("resize", onScroll);
    return () => {
      cancelAnimationFrame(frame);
      removeEventListener("scroll", onScroll);
      removeEventListener("resize", onScroll);
    };
  }, [columns, pitch, count]);
  return range;
}

/**
 * @param {HTMLElement} box
 * @param {Layout} layout
 * @param {number} row
 */
function bringIntoView(box, { pitch, side }, row) {
  const top = box.getBoundingClientRect().top + scrollY + row * pitch;
  const margin = 80;
  if (top - margin < scrollY) window.scrollTo({ top: top - margin });
  else if (top + side + margin > scrollY + innerHeight)
    window.scrollTo({ top: top + side + margin - innerHeight });
}
