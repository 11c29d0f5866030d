/** The tags of pictures and clips: what names are, which are in use, and changing them. */
import * as api from "../../core/api.js";
import { createStore } from "../../core/store.js";
import { toastError } from "../../core/toasts.js";

/** The longest that the server takes, in characters. */
export const LONGEST = 40;
/** The most media that the server tags at once. */
const AT_ONCE = 1000;

/** @typedef {{name: string, count: number}} TagUse */
/** @typedef {{add?: readonly string[], remove?: readonly string[]}} TagChanges */

/** The most used first. @type {import("../../core/store.js").Store<readonly TagUse[]>} */
export const tagsInUse = createStore(/** @type {readonly TagUse[]} */ ([]));

/** Ask the server which are in use. */
export async function refreshTags() {
  try {
    tagsInUse.set(await api.tagsInUse());
  } catch (error) {
    if (!(error instanceof api.Unreachable)) toastError(error);
  }
}

/** The name that the server will make of what someone types. @param {string} text */
export const nameOf = (text) => text.normalize("NFC").trim().replace(/\s+/gu, " ");

/** @param {string} name */
export const isName = (name) => name !== "" && [...name].length <= LONGEST;

/** Capitals make no other tag. @param {string} name */
const keyOf = (name) => name.toLowerCase();

/**
 * @param {readonly string[]} tags
 * @param {string} name
 */
export const hasTag = (tags, name) => tags.some((tag) => keyOf(tag) === keyOf(name));

/**
 * @param {readonly string[]} tags
 * @param {TagChanges} changes
 * @returns {string[]} as the server will have them: without some, then with others, in order
 */
export function changed(tags, { add = [], remove = [] }) {
  const left = tags.filter((tag) => !hasTag(remove, tag));
  for (const name of add) if (!hasTag(left, name)) left.push(name);
  return left.sort((one, other) => (keyOf(one) < keyOf(other) ? -1 : 1));
}

/**
 * Change the tags of these media, however many.
 *
 * @param {readonly string[]} ids
 * @param {TagChanges} changes
 */
export async function changeTags(ids, changes) {
  for (let start = 0; start < ids.length; start += AT_ONCE)
    await api.changeTags(ids.slice(start, start + AT_ONCE), changes);
  void refreshTags();
}
