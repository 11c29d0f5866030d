/**
 * Prompts with alternatives: `a {red|blue} {cat|dog}` stands for four. Braces can be nested; those without a
 * bar between them are plain text.
 */

/** More than so many are refused: a slip of the keyboard should not fill the queue. */
export const MOST = 64;

/**
 * Every prompt that `text` stands for, the last alternatives changing first; itself where it has none. At most
 * MOST + 1 are given.
 *
 * @param {string} text
 * @returns {string[]}
 */
export function expand(text) {
  const bars = barsOf(text);
  if (bars.size === 0) return [text];
  return read(text, 0, text.length, bars).map(tidied);
}

/**
 * One of the prompts that `text` stands for: of each alternatives one, at random.
 *
 * @param {string} text
 * @param {() => number} random from 0 to below 1
 */
export function pickOne(text, random) {
  const bars = barsOf(text);
  if (bars.size === 0) return text;
  const [way] = read(text, 0, text.length, bars, (parts) => [parts[Math.floor(random() * parts.length)]]);
  return tidied(way);
}

/** Without the spaces that an empty alternative leaves. @param {string} way */
const tidied = (way) => way.replace(/ {2,}/g, " ").trim();

/**
 * Where the groups are: each opening brace, with its bars and its closing brace.
 *
 * @typedef {Map<number, number[]>} Bars
 *
 * @param {string} text
 * @returns {Bars}
 */
function barsOf(text) {
  /** @type {Bars} */
  const groups = new Map();
  /** @type {{from: number, ends: number[]}[]} */
  const open = [];
  for (let at = 0; at < text.length; at += 1) {
    if (text[at] === "{") open.push({ from: at, ends: [] });
    else if (text[at] === "|") open.at(-1)?.ends.push(at);
    else if (text[at] === "}") {
      const group = open.pop();
      if (group && group.ends.length > 0) groups.set(group.from, [...group.ends, at]);
    }
  }
  return groups;
}

/**
 * @param {string} text
 * @param {number} from
 * @param {number} to
 * @param {Bars} bars
 * @param {(parts: [number, number][]) => [number, number][]} [choose] those of a group's parts that are read
 * @returns {string[]}
 */
function read(text, from, to, bars, choose = (parts) => parts) {
  let ways = [""];
  for (let at = from; at < to; ) {
    const ends = bars.get(at);
    const options = ends
      ? choose(partsOf(at, ends)).flatMap((part) => read(text, ...part, bars, choose))
      : [text[at]];
    ways = ways.flatMap((way) => options.map((option) => way + option)).slice(0, MOST + 1);
    at = (ends?.at(-1) ?? at) + 1;
  }
  return ways;
}

/**
 * @param {number} open
 * @param {number[]} ends
 * @returns {[number, number][]}
 */
const partsOf = (open, ends) => ends.map((end, at) => [(ends[at - 1] ?? open) + 1, end]);
