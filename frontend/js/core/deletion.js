/** Deleting with a way back: for a few seconds the medium is only hidden, then the server is told. */
import * as api from "./api.js";
import { hideMedium } from "./jobs.js";
import { t } from "./i18n.js";
import { toast, toastError } from "./toasts.js";

const REGRET_MS = 6000;

/** @type {Map<string, ReturnType<typeof setTimeout>>} */
const waiting = new Map();
/** @type {Set<(id: string) => void>} */
const onDeleted = new Set();

/** @param {(id: string) => void} listener */
export function whenDeleted(listener) {
  onDeleted.add(listener);
  return () => void onDeleted.delete(listener);
}

/** @param {readonly string[]} ids */
export function deleteMedia(ids) {
  for (const id of ids) {
    hideMedium(id, true);
    waiting.set(
      id,
      setTimeout(() => void carryOut(id), REGRET_MS),
    );
  }
  const dismiss = toast(t("deleted", { count: ids.length }), {
    forMs: REGRET_MS,
    action: { label: t("undo"), run: () => (undo(ids), dismiss()) },
  });
}

/** @param {readonly string[]} ids */
function undo(ids) {
  for (const id of ids) {
    clearTimeout(waiting.get(id));
    if (waiting.delete(id)) hideMedium(id, false);
  }
}

/** @param {string} id */
async function carryOut(id) {
  waiting.delete(id);
  try {
    await api.deleteMedium(id);
  } catch (error) {
    if (!(error instanceof api.ApiError && error.status === 404)) {
      hideMedium(id, false);
      toastError(error);
      return;
    }
  }
  for (const listener of onDeleted) listener(id);
}

/** Whoever leaves the page meant it. */
addEventListener("pagehide", () => {
  for (const [id, timer] of waiting) {
    clearTimeout(timer);
    void carryOut(id);
  }
});
