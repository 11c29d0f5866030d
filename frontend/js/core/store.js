import { useLayoutEffect, useState } from "../../vendor/htm-preact.js";

/**
 * A value that can be watched. It is replaced, never changed in place.
 *
 * @template T
 * @typedef {object} Store
 * @property {() => T} get
 * @property {(change: T | ((before: T) => T)) => void} set
 * @property {(listener: (value: T) => void) => () => void} watch
 */

/**
 * @template T
 * @param {T} initial
 * @returns {Store<T>}
 */
export function createStore(initial) {
  let value = initial;
  /** @type {Set<(value: T) => void>} */
  const listeners = new Set();
  return {
    get: () => value,
    set(change) {
      const next = typeof change === "function" ? /** @type {(before: T) => T} */ (change)(value) : change;
      if (Object.is(next, value)) return;
      value = next;
      for (const listener of [...listeners]) listener(value);
    },
    watch(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}

/**
 * The store's value, or the part of it that `select` picks; the component is drawn again when that changes.
 *
 * @template T
 * @template [U=T]
 * @param {Store<T>} store
 * @param {(value: T) => U} [select]
 * @returns {U}
 */
export function useStore(store, select = (value) => /** @type {any} */ (value)) {
  const selected = select(store.get());
  const [, redraw] = useState(0);
  useLayoutEffect(() => {
    let last = selected;
    const look = () => {
      const now = select(store.get());
      if (Object.is(now, last)) return;
      last = now;
      redraw((n) => n + 1);
    };
    look();
    return store.watch(look);
  });
  return selected;
}
