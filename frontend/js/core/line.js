/**
 * The waiting jobs in running order, and the ways to change it.
 *
 * @import {Job, WaitingJob} from "../types.js"
 * @import {Submission} from "./api.js"
 * @import {Submitted} from "./jobs.js"
 */
import * as api from "./api.js";
import { t } from "./i18n.js";
import { cancel, discard, drop, jobs, keepRefused, readAgain, submit } from "./jobs.js";
import { askQueue, queue } from "./live.js";
import { createStore } from "./store.js";
import { toast, toastError } from "./toasts.js";

/** Requests under way at once when many jobs are cancelled. */
const ABREAST = 6;
const REGRET_MS = 8000;

/** The order that the server is being asked for; null while nothing is under way. */
export const wanted = createStore(/** @type {readonly string[] | null} */ (null));

/**
 * @param {Iterable<Job>} known
 * @param {readonly WaitingJob[] | undefined} told
 * @param {readonly string[] | null} order
 */
export function inLine(known, told, order) {
  const places = order
    ? new Map(order.map((id, at) => [id, at]))
    : new Map(told?.map(({ id, position }) => [id, position]));
  const at = (/** @type {Job} */ job) => places.get(job.id) ?? job.queue_position ?? Infinity;
  return [...known].filter((job) => job.status === "pending").sort((a, b) => at(a) - at(b));
}

const line = () => inLine(jobs.get().values(), queue.get()?.waiting, wanted.get()).map(({ id }) => id);

/** @type {Promise<unknown>} */
let moved = Promise.resolve();
let moves = 0;

/**
 * Shown at once; the server is asked for one move after another.
 *
 * @param {string} id
 * @param {number} to its place among the waiting
 */
export function move(id, to) {
  const others = line().filter((other) => other !== id);
  const place = Math.max(0, Math.min(others.length, to));
  const before = others[place] ?? null;
  wanted.set(others.toSpliced(place, 0, id));
  moves += 1;
  moved = moved
    .then(() => api.move(id, before))
    .then(askQueue)
    .catch(toastError)
    .finally(() => {
      moves -= 1;
      if (moves === 0) wanted.set(null);
    });
}

/**
 * Submit jobs, and put those that the server took where they belong.
 *
 * @param {readonly Submission[]} submissions
 * @returns {Promise<Submitted>}
 */
export async function enqueue(submissions) {
  const submitted = await submit(submissions);
  await place(submissions, submitted.ids).catch(toastError);
  return submitted;
}

/** @param {string} localId of a card that could not be sent */
export async function sendAgain(localId) {
  const submission = discard(localId);
  if (!submission) return;
  const { refusal } = await enqueue([submission]);
  if (refusal) keepRefused(submission, refusal);
}

/**
 * @param {readonly Submission[]} submissions
 * @param {readonly (string | null)[]} ids
 */
async function place(submissions, ids) {
  const first = [];
  for (const [at, id] of ids.entries()) {
    const { replaces, first: goesFirst } = submissions[at];
    if (id && replaces) await replaceWaiting(replaces, id);
    else if (id && goesFirst) first.push(id);
  }
  if (first.length > 0) await putFirst(first);
}

/**
 * To the front of those that wait, in this order.
 *
 * @param {readonly string[]} ids
 */
async function putFirst(ids) {
  await askQueue();
  const told = queue.get()?.waiting?.map(({ id }) => id) ?? [];
  const first = [...told, ...line()].find((id) => !ids.includes(id));
  if (first) for (const id of ids) await placeBefore(id, first);
  await askQueue();
}

/**
 * A waiting job makes way for another, which takes its place. One that has started meanwhile goes on.
 *
 * @param {string} id
 * @param {string} newId
 */
async function replaceWaiting(id, newId) {
  await tryMove(newId, id);
  if ((await api.job(id)).status === "pending") {
    await api.cancel(id);
    await forget(id);
  } else toast(t("edit.tooLate"));
  await askQueue();
}

/**
 * Cancel jobs. Those that waited can be brought back for a moment.
 *
 * @param {readonly Job[]} list
 */
export async function cancelJobs(list) {
  const places = placesOf(list.filter(({ status }) => status === "pending"));
  const left = list.map(({ id }) => id);
  const cancelled = new Set();
  const worker = async () => {
    for (let id = left.shift(); id; id = left.shift()) if (await cancel(id)) cancelled.add(id);
  };
  await Promise.all(Array.from({ length: ABREAST }, worker));
  offerUndo(places.filter((place) => cancelled.has(place.id) && mayComeBack(place)));
}

/** Cancel every waiting job. They can be brought back if all are known here. */
export async function cancelWaiting() {
  const { pending } = await api.queue();
  const open = inLine(jobs.get().values(), queue.get()?.waiting, null);
  const places = placesOf(open);
  const { cleared } = await api.clearQueue();
  await Promise.all(open.slice(0, 60).map(({ id }) => readAgain(id)));
  if (pending === open.length) offerUndo(places.filter(mayComeBack));
  else toast(t("queue.cleared", { count: cleared }));
  await askQueue();
}

/**
 * Whether it was cancelled, as far as is known here: not all are read anew, and one may have started before.
 *
 * @param {Place} place
 */
function mayComeBack({ id }) {
  const status = jobs.get().get(id)?.status;
  return status === "cancelled" || status === "pending";
}

/**
 * @typedef {{id: string, next: string | null}} Place  A waiting job, and the one that ran after it.
 *
 * @param {readonly Job[]} leaving
 * @returns {Place[]} in running order
 */
function placesOf(leaving) {
  const ids = new Set(leaving.map(({ id }) => id));
  const order = line();
  return order.flatMap((id, at) =>
    ids.has(id) ? [{ id, next: order.slice(at).find((other) => !ids.has(other)) ?? null }] : [],
  );
}

/** @param {readonly Place[]} places */
function offerUndo(places) {
  if (places.length === 0) return;
  const dismiss = toast(t("queue.cleared", { count: places.length }), {
    forMs: REGRET_MS,
    action: { label: t("undo"), run: () => (dismiss(), bringBack(places).catch(toastError)) },
  });
}

/**
 * What the server does not take back now, as when the queue is full, may be brought back once more.
 *
 * @param {readonly Place[]} places
 */
async function bringBack(places) {
  /** @type {Place[]} */
  const left = [];
  /** @type {Place[]} those left that the next one to come back is to follow */
  let ahead = [];
  let problem;
  for (const place of places.filter(mayComeBack)) {
    try {
      const next = await bringOneBack(place);
      left.push(...ahead.map(({ id }) => ({ id, next })));
      ahead = [];
    } catch (error) {
      if (isOver(error)) continue;
      problem = error;
      ahead.push(place);
    }
  }
  if (problem) toastError(problem);
  offerUndo([...left, ...ahead]);
  await askQueue();
}

/**
 * A cancelled job stays so; another like it is queued where it was. The key keeps a second try from queueing two.
 *
 * @param {Place} place
 * @returns {Promise<string>} the other's id
 */
async function bringOneBack({ id, next }) {
  const { job_id } = await api.retry(id, `undo-${id}`);
  if (next) await placeBefore(job_id, next);
  await forget(id);
  await readAgain(job_id);
  return job_id;
}

/**
 * Before that one; first of all where that one has started.
 *
 * @param {string} id
 * @param {string} next
 */
async function placeBefore(id, next) {
  if (await tryMove(id, next)) return;
  await askQueue();
  for (const first of queue.get()?.waiting ?? [])
    if (first.id === id || (await tryMove(id, first.id))) return;
}

/**
 * @param {string} id
 * @param {string} before
 * @returns {Promise<boolean>} false where one of the two waits no more
 */
async function tryMove(id, before) {
  try {
    await api.move(id, before);
    return true;
  } catch (error) {
    if (isOver(error)) return false;
    throw error;
  }
}

/**
 * Whether a job waits no more, has started after all, or is gone.
 *
 * @param {unknown} error
 */
const isOver = (error) => error instanceof api.ApiError && (error.status === 409 || error.status === 404);

/** @param {string} id */
async function forget(id) {
  await api.forget(id);
  drop(id);
}
