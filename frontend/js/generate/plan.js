/** Which jobs the form makes: what its prompt stands for, with lines drawn from lists. */
import { expand, MOST } from "../core/alternatives.js";
import { draftOf, drafts, legal, prompt } from "../core/drafts.js";
import { drawSeed } from "../core/limits.js";
import { lists } from "../core/lists.js";
import { createStore, useStore } from "../core/store.js";
import { dice, draw, hasWildcards } from "../core/wildcards.js";

/**
 * @import {Model} from "../types.js"
 * @import {Amiss} from "../core/wildcards.js"
 */

/** What all draws follow from, so that the jobs are those that were shown. */
const chance = createStore(drawSeed());

export const drawAgain = () => chance.set(drawSeed());

/**
 * A job to be. Pictures of a prompt with wildcards have a job each, so that each is drawn for.
 *
 * @typedef {object} PlannedJob
 * @property {string} prompt
 * @property {number} pictures
 * @property {number} place among the jobs that are drawn for the same prompt
 */

/**
 * @typedef {object} Plan
 * @property {readonly PlannedJob[]} jobs at most MOST + 1
 * @property {boolean} drawn whether another draw would give others
 * @property {Amiss} amiss
 */

/**
 * What the form stands for now.
 *
 * @param {Model | null} model
 * @returns {Plan}
 */
export function planNow(model) {
  const count = model ? legal(model, draftOf(model, drafts.get())).count : 1;
  const text = prompt.get();
  const from = { lists: lists.get(), amiss: { missing: new Set(), endless: new Set() } };
  const jobs = expand(text).flatMap((way, at) => {
    const times = hasWildcards(way, from.lists) ? count : 1;
    return Array.from({ length: times }, (_, place) => ({
      prompt: draw(way, { ...from, random: dice(chance.get() + at * MOST + place) }),
      pictures: count / times,
      place,
    }));
  });
  return { jobs: jobs.slice(0, MOST + 1), drawn: hasWildcards(text, from.lists), amiss: from.amiss };
}

/** The same; the component is drawn again when it changes. @param {Model | null} model */
export function usePlan(model) {
  useStore(prompt);
  useStore(drafts);
  useStore(lists);
  useStore(chance);
  return planNow(model);
}
