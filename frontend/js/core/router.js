import { createStore } from "./store.js";
import { ROOT } from "./api.js";

/**
 * Where the page is: `page` is "" (Generate), "gallery" or "queue"; `query` keeps filters and the open medium.
 *
 * @typedef {{page: string, query: URLSearchParams}} Place
 */

/** A key may stand in the address several times. @typedef {Record<string, string | readonly string[]>} Query */

/** @returns {Place} */
const read = () => ({
  page: location.pathname.slice(ROOT.pathname.length).replace(/\/$/, ""),
  query: new URLSearchParams(location.search),
});

/** @type {import("./store.js").Store<Place>} */
export const place = createStore(read());

/**
 * @param {string} page
 * @param {Query} [query] empty values are left out
 */
export function hrefOf(page, query = {}) {
  const pairs = Object.entries(query).flatMap(([key, values]) =>
    [values].flat().map((value) => [key, value]),
  );
  const text = new URLSearchParams(pairs.filter(([, value]) => value !== "")).toString();
  return new URL(page + (text ? `?${text}` : ""), ROOT).href;
}

/**
 * @param {string} href
 * @param {{replace?: boolean}} [options]
 */
export function go(href, { replace = false } = {}) {
  if (href === location.href) return;
  const leaves = new URL(href).pathname !== location.pathname;
  if (replace) history.replaceState(history.state, "", href);
  else history.pushState(null, "", href);
  place.set(read());
  if (leaves) window.scrollTo(0, 0);
}

/**
 * Change some of the query, and stay on the page.
 *
 * @param {Query} changes an empty value removes its key
 * @param {{replace?: boolean}} [options]
 */
export function setQuery(changes, options) {
  go(hrefWith(place.get().page, changes), options);
}

/**
 * Another page's address, or this one's, with the query as it is but for some of it.
 *
 * @param {string} page
 * @param {Query} changes
 */
export function hrefWith(page, changes) {
  const { query } = place.get();
  const now = [...query.keys()].map((key) => [key, query.getAll(key)]);
  return hrefOf(page, { ...Object.fromEntries(now), ...changes });
}

/** Links inside the page do not load it again. */
export function followLinks() {
  addEventListener("popstate", () => place.set(read()));
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
    if (!(link instanceof HTMLAnchorElement) || !("internal" in link.dataset)) return;
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey)
      return;
    event.preventDefault();
    go(link.href);
  });
}
