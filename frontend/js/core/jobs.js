/**
 * The jobs that the page knows: what the server said last, and what it has not heard of yet.
 *
 * @import {Job, JobState} from "../types.js"
 * @import {Submission} from "./api.js"
 */
import * as api from "./api.js";
import { createStore } from "./store.js";
import { toastError } from "./toasts.js";

/** @type {import("./store.js").Store<ReadonlyMap<string, Job>>} */
export const jobs = createStore(/** @type {ReadonlyMap<string, Job>} */ (new Map()));

/** @type {Set<(job: Job, before: Job | undefined) => void>} */
const watchers = new Set();

/**
 * Be told of each change that the server reports. `before` is undefined for a job seen for the first time.
 *
 * @param {(job: Job, before: Job | undefined) => void} watcher
 */
export function onJobChange(watcher) {
  watchers.add(watcher);
  return () => void watchers.delete(watcher);
}

/** @param {{status: JobState}} job */
export const hasEnded = ({ status }) =>
  status === "completed" || status === "failed" || status === "cancelled";

/** @param {{status: JobState}} job */
export const isActive = ({ status }) =>
  status === "pending" || status === "processing" || status === "sending";

/** @param {ReadonlyMap<string, Job>} known */
export const newestFirst = (known) =>
  [...known.values()].sort((a, b) =>
    a.created_at < b.created_at ? 1 : a.created_at > b.created_at ? -1 : 0,
  );

/** @param {readonly Job[]} news */
export function receive(news) {
  const before = jobs.get();
  const after = new Map(before);
  for (const job of news) after.set(job.id, truest(before.get(job.id), job));
  jobs.set(after);
  for (const job of news) for (const watcher of watchers) tell(watcher, job, before.get(job.id));
}

/**
 * One that breaks keeps nothing from the others.
 *
 * @param {(job: Job, before: Job | undefined) => void} watcher
 * @param {Job} job
 * @param {Job | undefined} before
 */
function tell(watcher, job, before) {
  try {
    watcher(job, before);
  } catch (error) {
    reportError(error);
  }
}

/**
 * Read it anew. Where that fails, events and polling tell the same a little later.
 *
 * @param {string} id
 */
export const readAgain = (id) =>
  api.job(id).then(
    (job) => receive([job]),
    () => {},
  );

/**
 * Answers can overtake each other: an ended job stays ended.
 *
 * @param {Job | undefined} known
 * @param {Job} told
 */
const truest = (known, told) => (known && hasEnded(known) && !hasEnded(told) ? known : told);

/** @param {string} id */
export function drop(id) {
  const after = new Map(jobs.get());
  if (after.delete(id)) jobs.set(after);
}

/**
 * Media are gone: their jobs show them no more.
 *
 * @param {readonly string[]} mediumIds
 * @param {boolean} gone false brings them back
 */
export function hideMedia(mediumIds, gone) {
  hidden.set((before) => {
    const after = new Set(before);
    for (const id of mediumIds)
      if (gone) after.add(id);
      else after.delete(id);
    return after;
  });
}

/** Media that were deleted a moment ago, perhaps to come back. */
export const hidden = createStore(/** @type {ReadonlySet<string>} */ (new Set()));

// -- submitting

/** Sends under way: events about jobs not known yet wait for them, so that no job shows twice. */
const sending = new Set();

export const submitsSettled = () => Promise.allSettled([...sending]);

/** @type {Map<string, Submission>} */
const unsent = new Map();

/**
 * @typedef {object} Submitted
 * @property {(string | null)[]} ids of those before the refusal; null where the server was away
 * @property {Error | null} refusal
 */

/**
 * Show the jobs at once and send them one after another, so that they wait in this order. A refusal ends it; a
 * server that is away leaves the cards, to send again.
 *
 * @param {readonly Submission[]} submissions
 * @returns {Promise<Submitted>}
 */
export async function submit(submissions) {
  const cards = submissions.map(draftJob);
  cards.forEach(receiveLocal);
  /** @type {Submitted} */
  const submitted = { ids: [], refusal: null };
  try {
    for (const [at, submission] of submissions.entries())
      submitted.ids.push(await send(cards[at], submission));
  } catch (error) {
    for (const card of cards) if (jobs.get().get(card.id)?.status === "sending") drop(card.id);
    submitted.refusal = /** @type {Error} */ (error);
  }
  return submitted;
}

/**
 * @param {Job} card
 * @param {Submission} submission
 * @returns {Promise<string | null>} the job's id; null where the server is away
 */
async function send(card, submission) {
  const sent = api.submit(submission);
  sending.add(sent);
  try {
    const id = await sent;
    replace(card.id, { ...card, id, status: "pending" });
    sending.delete(sent);
    await readAgain(id);
    return id;
  } catch (error) {
    sending.delete(sent);
    if (!(error instanceof api.Unreachable)) throw error;
    if (jobs.get().has(card.id)) keepUnsent(card, submission);
    return null;
  }
}

/**
 * @param {Job} card
 * @param {Submission} submission
 */
function keepUnsent(card, submission) {
  unsent.set(card.id, submission);
  receiveLocal({ ...card, status: "unsent" });
}

/**
 * One that could not be sent at first, and was refused then.
 *
 * @param {Submission} submission
 * @param {Error} refusal
 */
export const keepRefused = (submission, refusal) =>
  keepUnsent({ ...draftJob(submission, 0), message: refusal.message }, submission);

/**
 * @param {string} localId
 * @returns {Submission | undefined} what could not be sent
 */
export function discard(localId) {
  const submission = unsent.get(localId);
  unsent.delete(localId);
  drop(localId);
  return submission;
}

/** @param {Job} job */
const receiveLocal = (job) => jobs.set((known) => new Map(known).set(job.id, job));

/**
 * @param {string} localId
 * @param {Job} job
 */
function replace(localId, job) {
  jobs.set((known) => {
    const after = new Map(known);
    after.delete(localId);
    if (!after.has(job.id)) after.set(job.id, job);
    return after;
  });
}

/**
 * @param {Submission} submission
 * @param {number} at its place among those sent together
 * @returns {Job}
 */
const draftJob = ({ type, model, prompt, negativePrompt, settings, key }, at) => ({
  id: `local-${key}`,
  status: "sending",
  type,
  model_id: model,
  prompt,
  negative_prompt: negativePrompt,
  settings,
  created_at: new Date().toISOString().replace("Z", `${String(at).padStart(3, "0")}Z`),
  started_at: null,
  completed_at: null,
  message: "",
  error: null,
  queue_position: null,
  eta_seconds: null,
  attempts: 0,
  priority: 0,
  progress: NOT_BEGUN,
  images: [],
});

const NOT_BEGUN = {
  preparing: false,
  loading_model: false,
  generating: false,
  saving: false,
  step: null,
  total_steps: null,
  percent: 0,
  preview: null,
};

// -- acting on jobs

/** Jobs that were asked to stop and have not yet. */
export const stopping = createStore(/** @type {ReadonlySet<string>} */ (new Set()));

/**
 * @param {string} id
 * @returns {Promise<boolean>} whether the server cancels it
 */
export async function cancel(id) {
  stopping.set((ids) => new Set(ids).add(id));
  try {
    await api.cancel(id);
  } catch (error) {
    settled(id);
    const ended = error instanceof api.ApiError && error.status === 409;
    if (ended) await readAgain(id);
    else toastError(error);
    return false;
  }
  await readAgain(id);
  return true;
}

/** @param {string} id */
const settled = (id) =>
  stopping.set((ids) => {
    const left = new Set(ids);
    return left.delete(id) ? left : ids;
  });

onJobChange((job) => hasEnded(job) && settled(job.id));

/** @param {string} id */
export async function retry(id) {
  try {
    const { job_id } = await api.retry(id);
    await readAgain(job_id);
  } catch (error) {
    toastError(error);
  }
}
