/**
 * Wildcards: `__color__` in a prompt stands for a line of the person's list "color", drawn at random. A line may
 * hold wildcards and alternatives of its own, which are drawn as well.
 */
import { pickOne } from "./alternatives.js";

/** So deep may lists name others: beyond it they name each other without an end. */
const DEEPEST = 10;
const WILDCARD = /__([\p{L}\p{M}\p{N}-]+(?:[_/][\p{L}\p{M}\p{N}-]+)*)__/gu;

/**
 * A list: its text as it was written, and those lines of it that can be drawn.
 *
 * @typedef {{text: string, lines: readonly string[]}} List
 * @typedef {ReadonlyMap<string, List>} Lists
 */

/**
 * Empty lines and those that begin with `#` are skipped.
 *
 * @param {string} text
 * @returns {List}
 */
export function listOf(text) {
  const lines = text.split("\n").map((line) => line.trim());
  return { text, lines: lines.filter((line) => line !== "" && !line.startsWith("#")) };
}

/** @param {string} name */
export const isName = (name) => `__${name}__`.match(WILDCARD)?.[0] === `__${name}__`;

/**
 * Whether there is something to draw.
 *
 * @param {string} text
 * @param {Lists} lists
 */
export const hasWildcards = (text, lists) =>
  [...text.matchAll(WILDCARD)].some(([, name]) => lists.get(name)?.lines.length);

/**
 * What was amiss while lines were drawn.
 *
 * @typedef {object} Amiss
 * @property {Set<string>} missing names of lists that are not there, or without a line; they stay as they stand
 * @property {Set<string>} endless names of lists that name each other without an end
 */

/**
 * `text` with a line in place of each wildcard.
 *
 * @param {string} text
 * @param {object} from
 * @param {Lists} from.lists
 * @param {() => number} from.random from 0 to below 1
 * @param {Amiss} from.amiss is added to
 * @param {readonly string[]} [above] the lists whose line this is
 * @returns {string}
 */
export function draw(text, from, above = []) {
  const { lists, random, amiss } = from;
  return text.replace(WILDCARD, (whole, /** @type {string} */ name) => {
    const lines = lists.get(name)?.lines ?? [];
    if (lines.length === 0) amiss.missing.add(name);
    else if (above.length === DEEPEST) for (const each of above) amiss.endless.add(each);
    if (lines.length === 0 || amiss.endless.size > 0) return whole;
    const line = lines[Math.floor(random() * lines.length)];
    return draw(pickOne(line, random), from, [...above, name]);
  });
}

/**
 * The numbers that follow from a seed (Mulberry32).
 *
 * @param {number} seed 32 bits
 * @returns {() => number} from 0 to below 1
 */
export function dice(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}
