/** Tells of progress and ends: title, icon in the tab, words for screen readers, notification, sound. */
import { ASSETS } from "./api.js";
import { t } from "./i18n.js";
import { keep, recall } from "./kept.js";
import { percent } from "./format.js";
import { createStore } from "./store.js";
import { hasEnded, isActive, jobs, onJobChange } from "./jobs.js";

export const notifies = createStore(
  recall("notify", false) && "Notification" in window && Notification.permission === "granted",
);

export const sounds = createStore(recall("sound", false));

/** @param {boolean} wanted */
export function setSounds(wanted) {
  sounds.set(wanted);
  keep("sound", wanted);
  if (wanted) void chime("completed");
}

/** Whether to wait with both until no job runs or waits. */
export const onlyAtLast = createStore(recall("onlyAtLast", false));

/** @param {boolean} wanted */
export function setOnlyAtLast(wanted) {
  onlyAtLast.set(wanted);
  keep("onlyAtLast", wanted);
}

/** What has just ended, in words. */
export const announced = createStore("");

/** @param {boolean} wanted */
export async function setNotifies(wanted) {
  const granted =
    wanted && "Notification" in window && (await Notification.requestPermission()) === "granted";
  notifies.set(granted);
  keep("notify", granted);
  return granted === wanted;
}

/** Jobs that ended while nobody looked. */
let missed = 0;
let failed = 0;
let pageTitle = "";

/** @param {string} title of the page that is shown */
export function setPageTitle(title) {
  pageTitle = title;
  show();
}

export function startNotices() {
  jobs.watch(show);
  onJobChange((job, before) => {
    if (!before || hasEnded(before) || !hasEnded(job) || job.status === "cancelled") return;
    announced.set(`${titleOf(job)} · ${job.status === "failed" ? job.message : job.prompt}`);
    if (document.hidden) {
      missed += 1;
      if (job.status === "failed") failed += 1;
    }
    if (onlyAtLast.get() && [...jobs.get().values()].some(isActive)) return;
    if (sounds.get()) void chime(job.status);
    if (document.hidden && notifies.get()) notify(job);
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    missed = failed = 0;
    show();
  });
}

/** @param {import("../types.js").Job} job */
const titleOf = ({ status, model_id }) =>
  t(status === "failed" ? "notice.failed" : "notice.done", { model: model_id });

/** @param {import("../types.js").JobState} status */
const chime = async (status) => (await import("../later/chime.js")).chime(status === "failed");

/** @param {import("../types.js").Job} job */
function notify(job) {
  try {
    const notification = new Notification(titleOf(job), {
      body: job.status === "failed" ? job.message : job.prompt,
      tag: job.id,
      icon: icon(job.status === "failed" ? "failed" : "done"),
    });
    notification.onclick = () => (window.focus(), notification.close());
  } catch {
    // Chrome on Android lets no page notify, whatever was allowed.
  }
}

function show() {
  const active = [...jobs.get().values()].filter(isActive);
  const running = active.find((job) => job.status === "processing");
  const share = running ? running.progress.percent : 0;
  const before = running ? `${percent(share)} · ` : active.length ? "… · " : missed ? `(${missed}) ` : "";
  document.title = `${before}${pageTitle ? `${pageTitle} · ` : ""}CyberImage`;
  setIcon(
    running
      ? `p${Math.round(share / 12.5)}`
      : active.length
        ? "p0"
        : failed
          ? "failed"
          : missed
            ? "done"
            : "idle",
  );
}

/** @param {string} name */
const icon = (name) => new URL(`favicons/${name}.svg`, ASSETS).href;

/** @param {string} name */
function setIcon(name) {
  const link = /** @type {HTMLLinkElement} */ (document.querySelector("link[rel=icon]"));
  if (link.href !== icon(name)) link.href = icon(name);
}
