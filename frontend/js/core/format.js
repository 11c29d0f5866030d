import { language, t } from "./i18n.js";

/** @type {Map<string, Intl.NumberFormat | Intl.DateTimeFormat>} */
const formats = new Map();

/**
 * Intl objects are slow to make.
 *
 * @template {Intl.NumberFormat | Intl.DateTimeFormat} T
 * @param {string} key
 * @param {(tag: string) => T} make
 * @returns {T}
 */
function cached(key, make) {
  const full = `${language.get()} ${key}`;
  if (!formats.has(full)) formats.set(full, make(language.get()));
  return /** @type {T} */ (formats.get(full));
}

/**
 * @param {number} value
 * @param {number} [digits] behind the point, at most
 */
export const number = (value, digits = 0) =>
  value >= 0 && value < 999
    ? short(value, digits)
    : cached(`n${digits}`, (tag) => new Intl.NumberFormat(tag, { maximumFractionDigits: digits })).format(
        value,
      );

/**
 * The first Intl object takes some 15 ms, a twentieth of the page's start, which needs short numbers only.
 *
 * @param {number} value
 * @param {number} digits
 */
const short = (value, digits) => String(Number(value.toFixed(digits))).replace(".", t("number.point"));

/** @param {number} share 0 to 100 */
export const percent = (share) =>
  cached("p", (tag) => new Intl.NumberFormat(tag, { style: "percent" })).format(share / 100);

/**
 * "0.4 s", "12 s", "3 min 20 s", "2 h 5 min".
 *
 * @param {number} seconds
 */
export function duration(seconds) {
  if (seconds < 10) return t("time.s", { s: number(seconds, seconds < 9.95 ? 1 : 0) });
  const whole = Math.round(seconds);
  if (whole < 90) return t("time.s", { s: number(whole) });
  if (whole < 3600) return t("time.minS", { min: number(Math.floor(whole / 60)), s: number(whole % 60) });
  return t("time.hMin", {
    h: number(Math.floor(whole / 3600)),
    min: number(Math.floor((whole % 3600) / 60)),
  });
}

/**
 * A guess about the future, so in round numbers.
 *
 * @param {number} seconds
 */
export function about(seconds) {
  if (seconds < 1.5) return t("time.moment");
  if (seconds < 60)
    return t("time.aboutS", { s: number(seconds < 15 ? Math.round(seconds) : Math.round(seconds / 5) * 5) });
  if (seconds < 5400) return t("time.aboutMin", { min: number(Math.round(seconds / 60)) });
  return t("time.aboutH", { h: number(seconds / 3600, 1) });
}

/** @param {string} iso */
export function moment(iso) {
  const date = new Date(iso);
  const today = date.toDateString() === new Date().toDateString();
  /** @type {Intl.DateTimeFormatOptions} */
  const style = today ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" };
  return cached(today ? "dt" : "dd", (tag) => new Intl.DateTimeFormat(tag, style)).format(date);
}

/** @param {string} date a day here, as YYYY-MM-DD */
export const day = (date) =>
  cached("day", (tag) => new Intl.DateTimeFormat(tag, { dateStyle: "medium" })).format(
    new Date(`${date}T00:00`),
  );

/** @param {string} iso */
export const longMoment = (iso) =>
  cached("dl", (tag) => new Intl.DateTimeFormat(tag, { dateStyle: "long", timeStyle: "medium" })).format(
    new Date(iso),
  );
