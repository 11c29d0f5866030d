import { createStore } from "./store.js";
import { ROOT } from "./api.js";

/**
 * Where the page is: `page` is "" (Generate), "gallery" or "queue"; `query` keeps filters and the open medium.
 *
 * @typedef {{page: string, query: URLSearchParams}} Place
 */

/** @returns {Place} */
const read = () => ({
  page: location.pathname.slice(ROOT.pathname.length).replace(/\/$/, ""),
  query: new URLSearchParams(location.search),
});

/** @type {import("./store.js").Store<Place>} */
export const place = createStore(read());

/**
 * @param {string} page
 * @param {Record<string, string>} [query] empty values are left out
 */
export function hrefOf(page, query = {}) {
  const kept = Object.entries(query).filter(([, value]) => value !== "");
  const text = new URLSearchParams(kept).toString();
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
 * @param {Record<string, string>} changes an empty value removes its key
 * @param {{replace?: boolean}} [options]
 */
export function setQuery(changes, options) {
  const { page, query } = place.get();
  go(hrefOf(page, { ...Object.fromEntries(query), ...changes }), options);
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
