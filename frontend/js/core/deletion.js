/** Deleting with a way back: for a few seconds the media are only hidden, then the server is told. */
import * as api from "./api.js";
import { hideMedia } from "./jobs.js";
import { t } from "./i18n.js";
import { toast, toastError } from "./toasts.js";

const REGRET_MS = 6000;
/** The most that the server deletes at once. */
const AT_ONCE = 1000;

/** Deletions that can be taken back. @type {Map<readonly string[], ReturnType<typeof setTimeout>>} */
const waiting = new Map();
/** @type {Set<(ids: ReadonlySet<string>) => void>} */
const onDeleted = new Set();

/** @param {(ids: ReadonlySet<string>) => void} listener */
export function whenDeleted(listener) {
  onDeleted.add(listener);
  return () => void onDeleted.delete(listener);
}

/** @param {readonly string[]} ids */
export function deleteMedia(ids) {
  hideMedia(ids, true);
  waiting.set(
    ids,
    setTimeout(() => void carryOut(ids), REGRET_MS),
  );
  const dismiss = toast(t("deleted", { count: ids.length }), {
    forMs: REGRET_MS,
    action: { label: t("undo"), run: () => (undo(ids), dismiss()) },
  });
}

/** @param {readonly string[]} ids */
function undo(ids) {
  clearTimeout(waiting.get(ids));
  if (waiting.delete(ids)) hideMedia(ids, false);
}

/** @param {readonly string[]} ids */
async function carryOut(ids) {
  waiting.delete(ids);
  for (let start = 0; start < ids.length; start += AT_ONCE) {
    const some = ids.slice(start, start + AT_ONCE);
    try {
      await api.deleteMedia(some);
    } catch (error) {
      hideMedia(ids.slice(start), false);
      toastError(error);
      return;
    }
    for (const listener of onDeleted) listener(new Set(some));
  }
}

/** Whoever leaves the page meant it. A browser sends some 64 KB on behalf of a page that is gone, not more. */
addEventListener("pagehide", () => {
  for (const [ids, timer] of waiting) {
    clearTimeout(timer);
    void carryOut(ids);
  }
});
