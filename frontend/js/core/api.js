/**
 * The only file that knows the server's addresses. They are relative to this file's own address
 * (ROOT/assets/VERSION/js/core/api.js), so the page works under any path of a proxy.
 *
 * @import {Job, Medium, Model, Queue, GalleryQuery, GalleryPage, Settings} from "../types.js"
 */

export const ROOT = new URL("../../../../", import.meta.url);
export const ASSETS = new URL("../../", import.meta.url);

/** Until what was refused is asked for again, where the server does not say how long, and the most. */
const WAIT_S = 3;
const LONGEST_WAIT_S = 30;

/** The server refused, or met an error of its own. `message` is its sentence. */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {number} status
   * @param {string} code
   * @param {string | null} retryAfter the header of this name
   */
  constructor(message, status, code, retryAfter) {
    super(message);
    this.status = status;
    this.code = code;
    this.waitMs = 1000 * Math.min(Number(retryAfter) || WAIT_S, LONGEST_WAIT_S);
  }
}

/** The server was not reached. */
export class Unreachable extends Error {}

const JSON_BODY = { "Content-Type": "application/json" };

/** @param {string} path */
export const address = (path) => new URL(path, ROOT).href;

/**
 * @param {string} path
 * @param {RequestInit} [options]
 * @returns {Promise<Response>}
 */
async function send(path, options) {
  let response;
  try {
    response = await fetch(address(path), options);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Unreachable("The server cannot be reached");
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  // What the server refuses it explains; a bare 404 or 502 comes from what stands before it while it is away.
  if (!body.message) throw new Unreachable("The server is away");
  const retryAfter = response.headers.get("Retry-After");
  throw new ApiError(body.message, response.status, body.code ?? "unknown", retryAfter);
}

/**
 * @param {string} path
 * @param {AbortSignal} [signal]
 */
const get = async (path, signal) => (await send(path, { signal })).json();

/**
 * @param {string} path
 * @param {unknown} [body]
 * @param {Record<string, string>} [headers]
 */
const post = async (path, body, headers) => {
  const json =
    body === undefined ? { headers } : { headers: { ...JSON_BODY, ...headers }, body: JSON.stringify(body) };
  return (await send(path, { method: "POST", ...json })).json();
};

/** @param {string} path */
const remove = async (path) => (await send(path, { method: "DELETE", keepalive: true })).json();

// -- submit

/**
 * What the form asks for. `key` makes a repeated send the same job.
 *
 * @typedef {object} Submission
 * @property {import("../types.js").ModelType} type
 * @property {string} model
 * @property {string} prompt
 * @property {string} negativePrompt
 * @property {Settings} settings
 * @property {string} key
 * @property {string | null} [replaces] the waiting job whose place it takes
 * @property {boolean} [first] whether it goes before all that wait
 */

/**
 * @param {Submission} submission
 * @returns {Promise<string>} the job's id
 */
export async function submit({ type, model, prompt, negativePrompt, settings, key }) {
  const { source_image_id, ...rest } = settings;
  const text = { prompt, negative_prompt: negativePrompt, model_id: model, settings: rest };
  const headers = { "Idempotency-Key": key };
  if (type === "image") return (await post("api/generate", text, headers)).job_id;
  if (type === "t2v") return (await post("api/generate_t2v", text, headers)).job_id;
  const body = {
    source_image_id,
    video_model_id: model,
    video_prompt: prompt,
    negative_prompt: negativePrompt,
    settings: rest,
  };
  return (await post("api/generate_video", body, headers)).job_id;
}

/**
 * @param {Blob} file
 * @returns {Promise<{id: string, width: number, height: number}>}
 */
export async function upload(file) {
  const body = new FormData();
  body.append("file", file, "picture");
  return (await send("api/upload", { method: "POST", body })).json();
}

/**
 * @param {string} prompt
 * @param {string} style
 * @returns {Promise<string>}
 */
export const enrich = async (prompt, style) => (await post("api/enrich", { prompt, style })).enriched_prompt;

// -- jobs

/**
 * @param {string} id
 * @returns {Promise<Job>}
 */
export const job = (id) => get(`api/jobs/${encodeURIComponent(id)}`);

/**
 * @param {{status?: string, model?: string, cursor?: string | null, limit?: number}} query
 * @returns {Promise<{jobs: Job[], next_cursor: string | null}>}
 */
export function jobs({ status, model, cursor, limit = 50 }) {
  const query = new URLSearchParams({ limit: String(limit) });
  if (status) query.set("status", status);
  if (model) query.set("model", model);
  if (cursor) query.set("cursor", cursor);
  return get(`api/jobs?${query}`);
}

/** @param {string} id */
export const cancel = (id) => post(`api/jobs/${encodeURIComponent(id)}/cancel`);

/**
 * @param {string} id
 * @param {string} [key] makes a repeated retry the same job
 * @returns {Promise<{job_id: string}>}
 */
export const retry = (id, key) =>
  post(`api/jobs/${encodeURIComponent(id)}/retry`, undefined, key ? { "Idempotency-Key": key } : {});

/**
 * @param {string} id
 * @param {string | null} before
 */
export const move = (id, before) => post(`api/jobs/${encodeURIComponent(id)}/move`, { before });

/** @param {string} id */
export const forget = (id) => remove(`api/jobs/${encodeURIComponent(id)}`);

// -- queue and models

/** @returns {Promise<Queue>} */
export const queue = () => get("api/queue?detailed=true");

/** @param {boolean} paused */
export const setPaused = (paused) => post(paused ? "api/queue/pause" : "api/queue/resume");

export const clearQueue = () => post("api/queue/clear");

/** @returns {Promise<{default: string, defaults: Record<string, string>, models: Record<string, Model>}>} */
export const models = () => get("api/models");

/** @param {string} name */
export const unload = (name) => post(`api/models/${encodeURIComponent(name)}/unload`);

/** @returns {Promise<{version: string, device: string, demo: boolean}>} */
export const health = () => get("health");

// -- media

/** @param {Pick<Medium, "id" | "media_type">} medium */
export const mediumUrl = (medium) => address(`api/${medium.media_type}/${encodeURIComponent(medium.id)}`);

/** @param {string} id */
export const thumbnailUrl = (id) => address(`api/image/${encodeURIComponent(id)}/thumbnail`);

/**
 * @param {string} jobId
 * @param {number} number of the preview: the server has only the latest, browsers fetch a new address anew
 */
export const previewUrl = (jobId, number) =>
  address(`api/jobs/${encodeURIComponent(jobId)}/preview?number=${number}`);

/** @param {string} id */
export const pictureUrl = (id) => address(`api/image/${encodeURIComponent(id)}`);

/**
 * @param {GalleryQuery} query
 * @param {{page: number, limit: number}} place
 * @param {AbortSignal} [signal]
 * @returns {Promise<GalleryPage>}
 */
export async function gallery(query, { page, limit }, signal) {
  const found = await get(`api/gallery?page=${page}&limit=${limit}&${matching(query)}`, signal);
  return { media: found.images.map(fromGallery), total: found.total };
}

/**
 * @param {GalleryQuery} query
 * @returns {Promise<string[]>} of all that match, newest first
 */
export const galleryIds = async (query) => (await get(`api/gallery/ids?${matching(query)}`)).ids;

/** @param {GalleryQuery} query */
function matching({ search, model, type, favorite, tags, from, to }) {
  const query = new URLSearchParams();
  if (search) query.set("search", search);
  if (model) query.set("model", model);
  if (type) query.set("type", type);
  if (favorite !== null) query.set("favorite", String(favorite));
  for (const tag of tags) query.append("tag", tag);
  if (from) query.set("since", startOf(from));
  if (to) query.set("until", startOf(to, 1));
  return query;
}

/**
 * @param {string} date a day here, as YYYY-MM-DD
 * @param {number} [later] so many days
 */
function startOf(date, later = 0) {
  const start = new Date(`${date}T00:00`);
  start.setDate(start.getDate() + later);
  return start.toISOString();
}

/**
 * The gallery calls the metadata `settings`.
 *
 * @param {Medium & {settings: Medium["metadata"]}} row
 * @returns {Medium}
 */
const fromGallery = ({ settings, ...row }) => ({ ...row, metadata: settings });

/**
 * @param {string} id
 * @returns {Promise<Medium["metadata"]>}
 */
export const metadata = (id) => get(`api/image/${encodeURIComponent(id)}/metadata`);

/**
 * @param {string} id
 * @param {boolean} favorite
 */
export const setFavorite = (id, favorite) => {
  const path = `api/favorite/${encodeURIComponent(id)}`;
  return favorite ? post(path) : remove(path);
};

/** @returns {Promise<{name: string, count: number}[]>} of the whole gallery, the most used first */
export const tagsInUse = async () => (await get("api/tags")).tags;

/**
 * @param {string} id
 * @returns {Promise<string[]>}
 */
export const tagsOf = async (id) => (await get(`api/media/${encodeURIComponent(id)}/tags`)).tags;

/**
 * @param {readonly string[]} ids 1000 at most
 * @param {{add?: readonly string[], remove?: readonly string[]}} changes
 */
export const changeTags = (ids, changes) => post("api/batch_tag", { ids, ...changes });

/** @param {readonly string[]} ids 1000 at most */
export const deleteMedia = (ids) =>
  send("api/batch_delete", {
    method: "POST",
    headers: JSON_BODY,
    body: JSON.stringify({ ids }),
    keepalive: true,
  });

/**
 * @param {string[]} ids
 * @returns {Promise<Blob>}
 */
export async function zip(ids) {
  const body = JSON.stringify({ ids });
  return (await send("api/batch_download", { method: "POST", headers: JSON_BODY, body })).blob();
}
