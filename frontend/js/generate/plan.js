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

/** The plan whose first jobs the server has, and how many, since it refused the next. */
const begun = createStore({ name: "", taken: 0 });

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
 * @property {readonly PlannedJob[]} jobs at most MOST + 1, without those that were taken
 * @property {number} taken of its jobs by the server before
 * @property {boolean} drawn whether another draw would give others
 * @property {Amiss} amiss
 * @property {number} chance that it was drawn with
 * @property {string} name the same for the same plan
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
  const name = JSON.stringify([chance.get(), model?.name, text, count, jobs.length]);
  const taken = begun.get().name === name ? begun.get().taken : 0;
  return {
    jobs: jobs.slice(taken, MOST + 1),
    taken,
    drawn: hasWildcards(text, from.lists),
    amiss: from.amiss,
    chance: chance.get(),
    name,
  };
}

/**
 * The server took some of the plan's jobs and refused the next: what follows is the rest of the same draw.
 *
 * @param {Plan} plan
 * @param {number} more that it took this time
 */
export function keepRest({ chance: drawn, name, taken }, more) {
  chance.set(drawn);
  begun.set({ name, taken: taken + more });
}

/** The same; the component is drawn again when it changes. @param {Model | null} model */
export function usePlan(model) {
  useStore(prompt);
  useStore(drafts);
  useStore(lists);
  useStore(chance);
  useStore(begun);
  return planNow(model);
}
