import { createStore } from "./store.js";
import { recall, keep } from "./kept.js";
import { en } from "../messages/en.js";

/**
 * Messages by key. A value with plural forms is chosen by `count`; `{name}` is filled in.
 *
 * @typedef {string | {one: string, other: string}} Message
 * @typedef {keyof typeof en} Key
 * @typedef {Record<Key, Message>} Messages
 */

export const LANGUAGES = /** @type {const} */ ({ en: "English", de: "Deutsch" });

/** @type {Messages} */
let messages = en;

/** @type {import("./store.js").Store<string>} */
export const language = createStore("en");

/** The language that was chosen, else the browser's, else English. */
export function preferredLanguage() {
  const wanted = [recall("language", ""), ...navigator.languages.map((tag) => tag.slice(0, 2))];
  return wanted.find((tag) => tag in LANGUAGES) ?? "en";
}

/** @param {string} tag */
export async function setLanguage(tag, { remember = false } = {}) {
  messages = tag === "de" ? (await import("../later/de.js")).de : en;
  document.documentElement.lang = tag;
  language.set(tag);
  if (remember) keep("language", tag);
}

/**
 * @param {Key} key
 * @param {Record<string, string | number>} [values]
 * @returns {string}
 */
export function t(key, values = {}) {
  const message = messages[key];
  const text = typeof message === "string" ? message : message[form(Number(values.count))];
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/**
 * @param {number} count
 * @returns {"one" | "other"}
 */
const form = (count) => (new Intl.PluralRules(language.get()).select(count) === "one" ? "one" : "other");
