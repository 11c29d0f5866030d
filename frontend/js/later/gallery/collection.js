/**
 * The gallery's media as a sparse list: `at[i]` is the i-th newest, once its page has been fetched.
 *
 * The server counts from its newest. Media that came since the list was begun lie before the list's first,
 * so a place here is the server's place less `unseen`.
 *
 * @import {GalleryQuery, Medium} from "../../types.js"
 */
import * as api from "../../core/api.js";
import { createStore } from "../../core/store.js";
import { toastError } from "../../core/toasts.js";

/** The most that the server gives at once. */
const PAGE = 50;

/**
 * @typedef {object} Collection
 * @property {readonly (Medium | undefined)[]} at
 * @property {number | null} total null until the first answer
 * @property {number} unseen
 */

/** @param {GalleryQuery} query */
export function openCollection(query) {
  const state = createStore(/** @type {Collection} */ ({ at: [], total: null, unseen: 0 }));
  /** @type {Map<number, AbortController>} */
  const underWay = new Map();
  let generation = 0;

  /** @param {number} page of the server, from 0 */
  async function fetchPage(page) {
    if (underWay.has(page)) return;
    const control = new AbortController();
    const begun = generation;
    underWay.set(page, control);
    try {
      const found = await api.gallery(query, { page: page + 1, limit: PAGE }, control.signal);
      if (begun === generation) place(page * PAGE, found);
    } catch (error) {
      if (!(error instanceof DOMException) && !(error instanceof api.Unreachable)) toastError(error);
    } finally {
      if (underWay.get(page) === control) underWay.delete(page);
    }
  }

  /**
   * @param {number} start the server's place of the first
   * @param {{media: Medium[], total: number}} found
   */
  function place(start, { media, total }) {
    state.set((before) => {
      const unseen = before.total === null ? 0 : Math.max(0, total - before.total);
      const at = before.at.slice();
      media.forEach((medium, index) => {
        const here = start + index - unseen;
        if (here >= 0) at[here] = medium;
      });
      return { at, total: total - unseen, unseen };
    });
  }

  return {
    state,

    /**
     * Have the media of these places fetched, and no others.
     *
     * @param {number} first
     * @param {number} last
     */
    want(first, last) {
      const { at, total, unseen } = state.get();
      const end = Math.min(last, (total ?? PAGE) - 1);
      const pages = new Set();
      for (let i = Math.max(0, first); i <= end; i += 1)
        if (!at[i]) pages.add(Math.floor((i + unseen) / PAGE));
      for (const [page, control] of underWay) if (!pages.has(page) && page !== 0) control.abort();
      for (const page of pages) void fetchPage(page);
    },

    /** See how many there are now: more than before are unseen, fewer make the list be read anew. */
    async check() {
      try {
        const found = await api.gallery(query, { page: 1, limit: 1 });
        const { total, unseen } = state.get();
        if (total === null) return;
        if (found.total < total + unseen) this.renew();
        else if (found.total > total + unseen) state.set((now) => ({ ...now, unseen: found.total - total }));
      } catch (error) {
        if (!(error instanceof api.Unreachable)) throw error;
      }
    },

    /** Begin anew at the newest. What is shown stays until the answer is here. */
    async renew() {
      generation += 1;
      for (const control of underWay.values()) control.abort();
      underWay.clear();
      const begun = generation;
      try {
        const found = await api.gallery(query, { page: 1, limit: PAGE });
        if (begun === generation) state.set({ at: found.media, total: found.total, unseen: 0 });
      } catch (error) {
        if (!(error instanceof api.Unreachable)) toastError(error);
      }
    },

    /**
     * The newest, fetched where they are not yet.
     *
     * @param {number} most
     * @returns {Promise<Medium[]>}
     */
    async newest(most) {
      const count = Math.min(most, state.get().total ?? 0);
      for (let i = 0; i < count; i += 1)
        if (!state.get().at[i]) await fetchPage(Math.floor((i + state.get().unseen) / PAGE));
      return state
        .get()
        .at.slice(0, count)
        .filter((medium) => medium !== undefined);
    },

    /** @param {string} id deleted on the server */
    remove(id) {
      state.set((before) => {
        const index = before.at.findIndex((medium) => medium?.id === id);
        if (index < 0) return before;
        const at = before.at.slice();
        at.splice(index, 1);
        return { ...before, at, total: Math.max(0, (before.total ?? 1) - 1) };
      });
    },

    /** @param {Medium} changed */
    update(changed) {
      state.set((before) => {
        const at = before.at.slice();
        const index = at.findIndex((medium) => medium?.id === changed.id);
        if (index >= 0) at[index] = changed;
        return { ...before, at };
      });
    },

    close() {
      generation += 1;
      for (const control of underWay.values()) control.abort();
    },
  };
}

/** @typedef {ReturnType<typeof openCollection>} Opened */

/**
 * Places that are shown: hidden media leave no gap. There are few of them, so the list is not walked for each.
 *
 * @param {Collection} collection
 * @param {ReadonlySet<string>} hidden
 */
export function visibleOf({ at, total }, hidden) {
  const gaps =
    hidden.size === 0 ? [] : at.flatMap((medium, index) => (medium && hidden.has(medium.id) ? [index] : []));
  return {
    count: Math.max(0, (total ?? 0) - gaps.length),
    /** @param {number} place the n-th that is shown */
    rawOf(place) {
      let raw = place;
      for (const gap of gaps) if (gap <= raw) raw += 1;
      return raw;
    },
  };
}
