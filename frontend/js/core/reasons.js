import { t } from "./i18n.js";

const KNOWN = /** @type {const} */ ([
  "paused",
  "too_large",
  "cannot_start",
  "starting",
  "gpu_busy",
  "deployment_busy",
  "overtaken",
  "in_line",
]);

/**
 * Why a job waits, in the page's language; what the server says where the page knows no better.
 *
 * @param {import("../types.js").Waiting | null | undefined} waiting
 */
export function reasonOf(waiting) {
  const known = KNOWN.find((name) => name === waiting?.reason);
  return known ? t(`reason.${known}`) : (waiting?.message ?? "");
}
