/**
 * Reads how a file was made out of it: CyberImage's JSON in PNG or MP4, or AUTOMATIC1111's text in PNG.
 *
 * PNG chunks: PNG specification, sections 5.3 and 11.3.3. MP4 boxes: ISO/IEC 14496-12, 4.2; the comment is
 * the iTunes tag `©cmt` under moov/udta/meta/ilst.
 *
 * @import {Metadata, Settings} from "../types.js"
 */

/**
 * @param {Blob} file
 * @returns {Promise<Metadata | null>}
 */
export async function readMetadata(file) {
  const view = new DataView(await file.arrayBuffer());
  const texts = isPng(view) ? pngTexts(view) : isMp4(view) ? mp4Texts(view) : {};
  return fromJson(texts.cyberimage) ?? fromJson(texts.comment) ?? fromInfotext(texts.parameters);
}

/** @param {string | undefined} text */
function fromJson(text) {
  if (!text) return null;
  try {
    const value = JSON.parse(text);
    return value && typeof value === "object" && "prompt" in value ? /** @type {Metadata} */ (value) : null;
  } catch {
    return null; // Another program's comment.
  }
}

// -- PNG

/** @param {DataView} view */
const isPng = (view) => view.byteLength > 8 && view.getUint32(0) === 0x89504e47;

/** @param {DataView} view */
function pngTexts(view) {
  /** @type {Record<string, string>} */
  const texts = {};
  for (let at = 8; at + 12 <= view.byteLength; ) {
    const length = view.getUint32(at);
    const kind = ascii(view, at + 4, 4);
    if (at + 12 + length > view.byteLength) break;
    const data = new Uint8Array(view.buffer, at + 8, length);
    if (kind === "tEXt" || kind === "iTXt") addText(texts, kind, data);
    at += 12 + length;
  }
  return texts;
}

/**
 * @param {Record<string, string>} texts
 * @param {"tEXt" | "iTXt"} kind
 * @param {Uint8Array} data
 */
function addText(texts, kind, data) {
  const end = data.indexOf(0);
  if (end < 0) return;
  const key = new TextDecoder("latin1").decode(data.subarray(0, end));
  if (kind === "tEXt") {
    texts[key] = new TextDecoder("latin1").decode(data.subarray(end + 1));
  } else if (data[end + 1] === 0) {
    // Not compressed; then come language and translated keyword, each ended by a zero.
    const language = data.indexOf(0, end + 3);
    const translated = data.indexOf(0, language + 1);
    texts[key] = new TextDecoder().decode(data.subarray(translated + 1));
  }
}

// -- MP4

/** @param {DataView} view */
const isMp4 = (view) => view.byteLength > 8 && ascii(view, 4, 4) === "ftyp";

/** @param {DataView} view */
function mp4Texts(view) {
  /** @type {Record<string, string>} */
  const texts = {};
  const meta = find(view, ["moov", "udta", "meta"], { from: 0, to: view.byteLength });
  const list = meta && find(view, ["ilst"], { from: meta.from + 4, to: meta.to });
  const comment = list && find(view, ["\u00a9cmt", "data"], list);
  // The value follows its type and locale, 8 bytes.
  if (comment)
    texts.comment = new TextDecoder().decode(
      new Uint8Array(view.buffer, comment.from + 8, comment.to - comment.from - 8),
    );
  return texts;
}

/**
 * @typedef {{from: number, to: number}} Span
 *
 * @param {DataView} view
 * @param {string[]} path
 * @param {Span} within
 * @returns {Span | null}
 */
function find(view, [name, ...rest], { from, to }) {
  for (let at = from; at + 8 <= to; ) {
    const short = view.getUint32(at);
    const head = short === 1 ? 16 : 8;
    const size = short === 1 ? Number(view.getBigUint64(at + 8)) : short === 0 ? to - at : short;
    if (size < head || at + size > to) return null;
    const inside = { from: at + head, to: at + size };
    if (ascii(view, at + 4, 4) === name) return rest.length === 0 ? inside : find(view, rest, inside);
    at += size;
  }
  return null;
}

/**
 * @param {DataView} view
 * @param {number} at
 * @param {number} length
 */
const ascii = (view, at, length) => new TextDecoder("latin1").decode(new Uint8Array(view.buffer, at, length));

// -- AUTOMATIC1111

/**
 * Prompt, then perhaps "Negative prompt: ...", then a line "Steps: 20, Sampler: Euler, CFG scale: 7, ...".
 *
 * @param {string | undefined} text
 * @returns {Metadata | null}
 */
function fromInfotext(text) {
  if (!text) return null;
  const lines = text.trim().split("\n");
  const last = /^Steps: \d+/.test(lines[lines.length - 1]) ? (lines.pop() ?? "") : "";
  const body = lines.join("\n");
  const [prompt, negative] = body.split(/\n?Negative prompt: /);
  /** @param {string} name */
  const value = (name) => last.match(new RegExp(`(?:^|, )${name}: ([^,]+)`))?.[1];
  const size = value("Size")?.match(/(\d+)x(\d+)/);
  /** @type {Settings} */
  const settings = {};
  if (value("Steps")) settings.num_inference_steps = Number(value("Steps"));
  if (value("CFG scale")) settings.guidance_scale = Number(value("CFG scale"));
  if (size) [settings.width, settings.height] = [Number(size[1]), Number(size[2])];
  const seed = Number(value("Seed") ?? NaN);
  return {
    prompt: prompt.trim(),
    negative_prompt: negative?.trim() ?? "",
    model_id: value("Model"),
    settings,
    ...(Number.isFinite(seed) ? { seed } : {}),
  };
}
