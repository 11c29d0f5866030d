import { createStore } from "./store.js";

/**
 * A short message at the edge of the page.
 *
 * @typedef {object} Toast
 * @property {number} id
 * @property {string} text
 * @property {"info" | "error"} tone
 * @property {{label: string, run: () => void}} [action]
 */

/** @type {import("./store.js").Store<readonly Toast[]>} */
export const toasts = createStore(/** @type {readonly Toast[]} */ ([]));

const SHOWN_MS = 6000;
/** So many are shown at once, and however many more that still offer to do something. */
const MOST = 3;
let last = 0;

/**
 * @param {string} text
 * @param {{tone?: "info" | "error", action?: Toast["action"], forMs?: number}} [options]
 * @returns {() => void} takes it away
 */
export function toast(text, { tone = "info", action, forMs = SHOWN_MS } = {}) {
  const id = ++last;
  const dismiss = () => toasts.set((shown) => shown.filter((other) => other.id !== id));
  toasts.set((shown) => {
    const stay = shown.filter((other, at) => other.action || at > shown.length - MOST);
    return [...stay, { id, text, tone, action }];
  });
  setTimeout(dismiss, forMs);
  return dismiss;
}

/** @param {unknown} error */
export const toastError = (error) =>
  toast(error instanceof Error ? error.message : String(error), { tone: "error" });
