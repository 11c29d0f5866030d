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
 * @property {readonly string[]} ids of all that were listed when all were asked for, at the same places
 */

/** @param {GalleryQuery} query */
export function openCollection(query) {
  const state = createStore(/** @type {Collection} */ ({ at: [], total: null, unseen: 0, ids: [] }));
  /** @type {Map<number, AbortController>} */
  const underWay = new Map();
  /** The places that each asker wants. @type {Map<string, {first: number, last: number}>} */
  const wanted = new Map();
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
      return { at, total: total - unseen, unseen, ids: before.ids };
    });
  }

  /** @param {{first: number, last: number}} places */
  function missingPages({ first, last }) {
    const { at, total, unseen } = state.get();
    const end = Math.min(last, (total ?? PAGE) - 1);
    const pages = new Set();
    for (let i = Math.max(0, first); i <= end; i += 1) if (!at[i]) pages.add(Math.floor((i + unseen) / PAGE));
    return pages;
  }

  return {
    state,

    /**
     * Have the media of these places fetched, and no others but those that other askers want.
     *
     * @param {"grid" | "viewer"} asker
     * @param {number} first
     * @param {number} last
     */
    want(asker, first, last) {
      wanted.set(asker, { first, last });
      const pages = new Set([...wanted.values()].flatMap((places) => [...missingPages(places)]));
      for (const [page, control] of underWay) if (!pages.has(page) && page !== 0) control.abort();
      for (const page of pages) void fetchPage(page);
    },

    /** @param {"grid" | "viewer"} asker */
    wantNoMore(asker) {
      wanted.delete(asker);
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
        // The next change has it seen.
        if (!(error instanceof api.Unreachable || error instanceof api.ApiError)) throw error;
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
        if (begun === generation) state.set({ at: found.media, total: found.total, unseen: 0, ids: [] });
      } catch (error) {
        if (!(error instanceof api.Unreachable)) toastError(error);
      }
    },

    /**
     * The ids of all, or of those that are no favourites.
     *
     * @param {{favourites: boolean}} wanted
     * @returns {Promise<string[]>}
     */
    async all({ favourites }) {
      const found = await api.galleryIds(query);
      const { total, unseen } = state.get();
      const ids = found.slice(unseen);
      if (ids.length === total) state.set((now) => ({ ...now, ids }));
      if (favourites) return ids;
      const others = new Set(await api.galleryIds({ ...query, favorite: false }));
      return ids.filter((id) => others.has(id));
    },

    /** @param {ReadonlySet<string>} ids deleted on the server */
    remove(ids) {
      state.set((before) => {
        const gaps = new Set(placesOf(before, ids));
        const stays = (/** @type {unknown} */ _, /** @type {number} */ index) => !gaps.has(index);
        const at = Array.from(before.at).filter(stays);
        const total = Math.max(0, (before.total ?? 0) - gaps.size);
        return { ...before, at, total, ids: before.ids.filter(stays) };
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
 * Where those of the media are whose places are known, in order.
 *
 * @param {Collection} collection
 * @param {ReadonlySet<string>} wanted
 * @returns {number[]}
 */
function placesOf({ at, ids }, wanted) {
  const places = [];
  for (let index = 0; index < Math.max(at.length, ids.length); index += 1)
    if (wanted.has(at[index]?.id ?? ids[index])) places.push(index);
  return places;
}

/**
 * Places that are shown: hidden media leave no gap.
 *
 * @param {Collection} collection
 * @param {ReadonlySet<string>} hidden
 */
export function visibleOf(collection, hidden) {
  const gaps = hidden.size === 0 ? [] : placesOf(collection, hidden);
  return {
    count: Math.max(0, (collection.total ?? 0) - gaps.length),
    /** @param {number} place the n-th that is shown */
    rawOf(place) {
      let before = 0;
      let after = gaps.length;
      while (before < after) {
        const middle = (before + after) >> 1;
        if (gaps[middle] - middle <= place) before = middle + 1;
        else after = middle;
      }
      return place + before;
    },
  };
}
