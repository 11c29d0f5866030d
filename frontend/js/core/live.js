/**
 * Keeps the page true: server-sent events say which jobs have changed; where they do not come through, asking does.
 *
 * @import {Queue} from "../types.js"
 */
import * as api from "./api.js";
import { afterDrawing } from "./drawing.js";
import { openEvents } from "./events.js";
import { createStore } from "./store.js";
import { drop, hasEnded, isActive, jobs, receive, submitsSettled } from "./jobs.js";

/** @typedef {"starting" | "live" | "polling" | "away"} Connection */

/** @type {import("./store.js").Store<Connection>} */
export const connection = createStore(/** @type {Connection} */ ("starting"));

/** The queue as the server last told it; null before that. */
export const queue = createStore(/** @type {Queue | null} */ (null));

/** How many jobs the page holds from the start. */
export const RECENT = 24;
/** Above so many changed jobs, one list costs less than a request for each. */
const MANY = 8;
const QUEUE_EVERY_MS = 400;
const POLL_ACTIVE_MS = 1500;
const POLL_IDLE_MS = 10_000;
/** A connection that was lost for less is not worth a word. */
const GRACE_MS = 1200;

/** @type {Set<string>} */
const changed = new Set();
let asking = false;
let queueWanted = false;
let queueAsking = false;
/** Whether the connection of the events stands. */
let streaming = false;
/** Numbers of the questions about the queue: the last one, and that of the answer that is shown. */
let asked = 0;
let shown = 0;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let poll;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let grace;
/** @type {Set<() => void>} */
const onResync = new Set();

/** @param {() => void} listener called when events may have been missed */
export function whenResynced(listener) {
  onResync.add(listener);
  return () => void onResync.delete(listener);
}

export function start() {
  void refresh();
  // A worker takes time to start. What happens until then, the first event asks for.
  afterDrawing(() => openEvents(hear));
  addEventListener("online", () => void refresh());
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && connection.get() !== "live") void refresh();
  });
}

/** @param {import("./event_stream.js").News} news */
function hear(news) {
  switch (news.kind) {
    case "job":
      return noteChange(news.id);
    case "resync":
      return void refresh();
    case "lost":
      return lost();
    default:
      return opened();
  }
}

function opened() {
  streaming = true;
  const away = connection.get() === "away";
  live();
  if (away) void refresh();
}

function live() {
  clearTimeout(grace);
  clearTimeout(poll);
  grace = poll = undefined;
  connection.set("live");
}

function lost() {
  streaming = false;
  if (connection.get() === "live") grace ??= setTimeout(() => void pollOnce(), GRACE_MS);
  else if (!poll) void pollOnce();
}

/** @param {number} ms */
function pollIn(ms) {
  clearTimeout(poll);
  poll = setTimeout(() => void pollOnce(), ms);
}

async function pollOnce() {
  clearTimeout(poll);
  const due = poll;
  try {
    await refresh();
  } finally {
    if (poll === due) goOnPolling(); // Else the next one is set: what was asked for was refused.
  }
}

function goOnPolling() {
  poll = undefined;
  if (grace === undefined && connection.get() === "live") return;
  const busy = [...jobs.get().values()].some(isActive) || connection.get() === "away";
  pollIn(busy ? POLL_ACTIVE_MS : POLL_IDLE_MS);
}

/** Ask for everything that is shown: after a start, a gap in the events, or instead of them. */
export async function refresh() {
  try {
    const [active, waiting, recent] = await Promise.all([
      api.jobs({ status: "processing" }),
      api.jobs({ status: "pending", limit: RECENT }),
      api.jobs({ limit: RECENT }),
      askQueue(),
    ]);
    const told = [...waiting.jobs, ...active.jobs, ...recent.jobs];
    receive(told);
    await lookAfterStragglers(new Set(told.map(({ id }) => id)));
    if (connection.get() !== "live" || grace !== undefined) answered();
    for (const listener of onResync) listener();
  } catch (error) {
    if (error instanceof api.ApiError) return pollIn(error.waitMs);
    if (!(error instanceof api.Unreachable)) throw error;
    connection.set("away");
    pollIn(POLL_ACTIVE_MS);
  }
}

const answered = () => {
  if (streaming) live();
  else if (grace !== undefined || poll !== undefined || connection.get() === "away")
    connection.set("polling");
};

/**
 * Jobs that the page holds as not ended and that no list named: ask for each.
 *
 * @param {Set<string>} told
 */
async function lookAfterStragglers(told) {
  const known = [...jobs.get().values()];
  const open = known.filter((job) => !hasEnded(job) && !job.id.startsWith("local-") && !told.has(job.id));
  await Promise.all(open.map(({ id }) => look(id)));
}

/** @param {string} id */
async function look(id) {
  try {
    receive([await api.job(id)]);
  } catch (error) {
    if (error instanceof api.ApiError && error.status === 404) drop(id);
    else throw error;
  }
}

/** @param {string} id */
function noteChange(id) {
  changed.add(id);
  wantQueue();
  if (!asking) void askForChanged();
}

/** One round at a time: what changes meanwhile is asked for in the next, once for each job. */
async function askForChanged() {
  asking = true;
  try {
    while (changed.size > 0) {
      await submitsSettled();
      const ids = [...changed];
      changed.clear();
      if (ids.length > MANY) await refresh();
      else await lookAtEach(ids);
    }
  } catch (error) {
    if (!(error instanceof api.Unreachable)) throw error;
    lost();
  } finally {
    asking = false;
  }
}

/**
 * What the server refuses to tell now is asked for again after a while.
 *
 * @param {readonly string[]} ids
 */
async function lookAtEach(ids) {
  let waitMs = 0;
  /** @param {string} id */
  const tryOne = async (id) => {
    try {
      await look(id);
    } catch (error) {
      if (!(error instanceof api.ApiError)) throw error;
      changed.add(id);
      waitMs = Math.max(waitMs, error.waitMs);
    }
  };
  await Promise.all(ids.map(tryOne));
  if (waitMs > 0) await pause(waitMs);
}

/** @param {number} ms */
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** Ask for the queue. Answers can overtake each other: an older one than that shown is not wanted. */
export async function askQueue() {
  const number = ++asked;
  const state = await api.queue();
  if (number < shown) return;
  shown = number;
  queue.set(state);
}

/** Positions and estimates of those who wait change with every start and end. */
export function wantQueue() {
  queueWanted = true;
  if (!queueAsking) void askForQueue();
}

async function askForQueue() {
  queueAsking = true;
  try {
    while (queueWanted) {
      queueWanted = false;
      await pause(await tryQueue());
    }
  } catch (error) {
    if (!(error instanceof api.Unreachable)) throw error;
  } finally {
    queueAsking = false;
  }
}

/** @returns {Promise<number>} milliseconds until it may be asked for again */
async function tryQueue() {
  try {
    await askQueue();
    return QUEUE_EVERY_MS;
  } catch (error) {
    if (!(error instanceof api.ApiError)) throw error;
    queueWanted = true;
    return error.waitMs;
  }
}

/**
 * Older jobs than those held, for the end of the list.
 *
 * @param {string | null} cursor
 * @returns {Promise<string | null>} where to go on
 */
export async function loadOlder(cursor) {
  const page = await api.jobs({ cursor, limit: RECENT });
  receive(page.jobs);
  return page.next_cursor;
}
