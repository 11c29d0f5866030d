/**
 * Reads how a file was made out of it: CyberImage's JSON in PNG or MP4, AUTOMATIC1111's text in PNG, JPEG or
 * WebP, and ComfyUI's nodes in PNG.
 *
 * PNG chunks: PNG specification, sections 5.3 and 11.3.3. MP4 boxes: ISO/IEC 14496-12, 4.2; the comment is
 * the iTunes tag `©cmt` under moov/udta/meta/ilst. A JPEG or WebP has the text as the user comment of its EXIF
 * block.
 *
 * @import {Metadata, Settings} from "../types.js"
 */

/**
 * @param {Blob} file
 * @returns {Promise<Metadata | null>}
 */
export async function readMetadata(file) {
  const view = new DataView(await file.arrayBuffer());
  /** @type {Record<string, string | undefined>} */
  const texts = isPng(view)
    ? pngTexts(view)
    : isMp4(view)
      ? mp4Texts(view)
      : { parameters: userComment(view) };
  return (
    fromJson(texts.cyberimage) ??
    fromJson(texts.comment) ??
    fromInfotext(texts.parameters) ??
    fromNodes(texts.prompt)
  );
}

/** @param {string | undefined} text */
function fromJson(text) {
  const value = text ? parsed(text) : null;
  return value && typeof value === "object" && "prompt" in value ? /** @type {Metadata} */ (value) : null;
}

/**
 * @param {string} text
 * @returns {any} null where it is no JSON, but another program's words
 */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
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
const ascii = (view, at, length) =>
  new TextDecoder("latin1").decode(new Uint8Array(view.buffer, view.byteOffset + at, length));

// -- ComfyUI

/**
 * A graph of nodes: {"3": {"class_type", "inputs"}}, an input being a value or [node, output]. The node with a
 * seed and steps is the sampler; prompts are the texts that its inputs `positive` and `negative` lead to.
 *
 * @param {string | undefined} text
 * @returns {Metadata | null}
 */
function fromNodes(text) {
  if (!text) return null;
  const graph = parsed(text);
  const nodes = Object.values(graph ?? {}).map((node) => node?.inputs ?? {});
  const sampler = nodes.find((inputs) => "steps" in inputs && ("seed" in inputs || "noise_seed" in inputs));
  if (!sampler) return null;
  const size = nodes.find(({ width, height }) => typeof width === "number" && typeof height === "number");
  const seed = sampler.seed ?? sampler.noise_seed;
  const numbers = {
    num_inference_steps: sampler.steps,
    guidance_scale: sampler.cfg,
    width: size?.width,
    height: size?.height,
  };
  return {
    prompt: textOf(graph, sampler.positive),
    negative_prompt: textOf(graph, sampler.negative),
    settings: Object.fromEntries(Object.entries(numbers).filter(([, value]) => typeof value === "number")),
    ...(typeof seed === "number" ? { seed } : {}),
  };
}

/**
 * @param {any} graph
 * @param {unknown} link
 * @param {number} [most] links on the way; a graph may run in circles
 * @returns {string}
 */
function textOf(graph, link, most = 8) {
  if (!Array.isArray(link) || most === 0) return "";
  const inputs = graph[link[0]]?.inputs ?? {};
  if (typeof inputs.text === "string") return inputs.text;
  const links = Object.values(inputs).filter(Array.isArray);
  return links.map((next) => textOf(graph, next, most - 1)).find(Boolean) ?? "";
}

// -- JPEG and WebP: EXIF 2.32, sections 4.5.4 and 4.6

const EXIF_BLOCK = 0x8769;
const USER_COMMENT = 0x9286;

/** @param {DataView} view */
function userComment(view) {
  const block = view.byteLength < 16 ? null : isWebp(view) ? webpExif(view) : jpegExif(view);
  try {
    return block ? commentOf(block) : undefined;
  } catch (error) {
    if (error instanceof RangeError) return undefined; // It points beyond its own end.
    throw error;
  }
}

/** @param {DataView} view */
const isWebp = (view) => ascii(view, 0, 4) === "RIFF" && ascii(view, 8, 4) === "WEBP";

/** @param {DataView} view */
function webpExif(view) {
  for (let at = 12; at + 8 <= view.byteLength; ) {
    const size = view.getUint32(at + 4, true);
    if (ascii(view, at, 4) === "EXIF") return part(view, at + 8, size);
    at += 8 + size + (size % 2);
  }
  return null;
}

/** @param {DataView} view */
function jpegExif(view) {
  if (view.getUint16(0) !== 0xffd8) return null;
  for (let at = 2; at + 4 <= view.byteLength && view.getUint8(at) === 0xff; ) {
    const [marker, size] = [view.getUint8(at + 1), view.getUint16(at + 2)];
    if (marker === 0xe1 && ascii(view, at + 4, 4) === "Exif") return part(view, at + 4, size - 2);
    if (marker === 0xda) return null; // The picture itself begins.
    at += 2 + size;
  }
  return null;
}

/**
 * The TIFF structure of an EXIF block, without the name that may stand before it.
 *
 * @param {DataView} view
 * @param {number} at
 * @param {number} size
 */
function part(view, at, size) {
  const named = ascii(view, at, 4) === "Exif" ? 6 : 0;
  const end = Math.min(view.byteLength, at + size);
  return new DataView(view.buffer, at + named, Math.max(0, end - at - named));
}

/** @param {DataView} tiff */
function commentOf(tiff) {
  const little = tiff.getUint16(0) === 0x4949;
  const block = entry(tiff, tiff.getUint32(4, little), EXIF_BLOCK, little);
  const comment = block && entry(tiff, tiff.getUint32(block + 8, little), USER_COMMENT, little);
  if (!comment) return undefined;
  const length = tiff.getUint32(comment + 4, little);
  const at = length > 4 ? tiff.getUint32(comment + 8, little) : comment + 8;
  const code = ascii(tiff, at, 8);
  const bytes = new Uint8Array(tiff.buffer, tiff.byteOffset + at + 8, length - 8);
  if (!code.startsWith("UNICODE")) return new TextDecoder().decode(bytes);
  // The byte order is that of the file or not, as the program liked: of English text, one half is zeros.
  const zeros = bytes.reduce((sum, byte, index) => sum + (byte === 0 ? (index % 2 ? 1 : -1) : 0), 0);
  return new TextDecoder(zeros > 0 ? "utf-16le" : "utf-16be").decode(bytes);
}

/**
 * Where the entry with that tag lies in a directory; null if it has none.
 *
 * @param {DataView} tiff
 * @param {number} directory
 * @param {number} tag
 * @param {boolean} little
 */
function entry(tiff, directory, tag, little) {
  const count = tiff.getUint16(directory, little);
  for (let at = directory + 2; at < directory + 2 + 12 * count; at += 12)
    if (tiff.getUint16(at, little) === tag) return at;
  return null;
}

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
