/** The person's lists, which wildcards in prompts are drawn from. They are kept in this browser. */
import { keep, recall, whenKeptElsewhere } from "./kept.js";
import { createStore } from "./store.js";
import { listOf } from "./wildcards.js";

/** @import {Lists} from "./wildcards.js" */

/** To begin with. The bundled demo models know these words. @type {[string, string][]} */
const STARTERS = [
  ["color", "red\ngreen\nblue\nyellow\norange\npurple\npink\ncyan\nwhite\nblack"],
  [
    "place",
    "on the left\non the right\nat the top\nat the bottom\nin the center\nin the {top|bottom} {left|right} corner",
  ],
  ["shape", "circle\nsquare\ntriangle\nstar"],
];

/** @returns {Lists} */
const recallLists = () => new Map(recall("lists", STARTERS).map(([name, text]) => [name, listOf(text)]));

export const lists = createStore(recallLists());
whenKeptElsewhere("lists", () => lists.set(recallLists()));

/**
 * Give lists these texts; null takes one away.
 *
 * @typedef {readonly (readonly [string, string | null])[]} Changes
 *
 * @param {Changes} changes
 * @returns {{undo: Changes, kept: boolean}} the changes that take these back, and whether the lists outlast the visit
 */
export function changeLists(changes) {
  const before = lists.get();
  const after = new Map(before);
  for (const [name, text] of changes)
    if (text === null) after.delete(name);
    else after.set(name, listOf(text));
  lists.set(after);
  const kept = keep(
    "lists",
    [...after].map(([name, { text }]) => [name, text]),
  );
  return { undo: changes.map(([name]) => [name, before.get(name)?.text ?? null]), kept };
}
