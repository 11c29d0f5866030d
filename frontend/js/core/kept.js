import { afterDrawing } from "./drawing.js";

/**
 * What the browser remembers, under `cyberimage.NAME`. Where storage is blocked or full, nothing is kept.
 *
 * @template T
 * @param {string} name
 * @param {T} fallback
 * @returns {T}
 */
export function recall(name, fallback) {
  try {
    const text = localStorage.getItem(`cyberimage.${name}`);
    return text === null ? fallback : JSON.parse(text);
  } catch {
    return fallback;
  }
}

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {boolean} whether it is kept: a full or blocked storage costs only the memory
 */
export function keep(name, value) {
  try {
    localStorage.setItem(`cyberimage.${name}`, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

/**
 * Be told when another tab has kept something else under this name. Who listens first makes the browser open
 * what all tabs share.
 *
 * @param {string} name
 * @param {() => void} listener
 */
export const whenKeptElsewhere = (name, listener) =>
  afterDrawing(() => addEventListener("storage", ({ key }) => key === `cyberimage.${name}` && listener()));
