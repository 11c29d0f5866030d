import { html, useEffect } from "../../../vendor/htm-preact.js";
import * as api from "../../core/api.js";
import { number } from "../../core/format.js";
import { t } from "../../core/i18n.js";
import { Button } from "../../ui/controls.js";
import { useShortcuts } from "../../core/keys.js";
import { queue, wantQueue } from "../../core/live.js";
import { useStore } from "../../core/store.js";
import { toastError } from "../../core/toasts.js";
import { Deployments } from "./deployments.js";
import { History } from "./history.js";
import { OpenJobs } from "./open_jobs.js";

/** What runs and waits, what was, and what the machines hold. */
export function QueuePage() {
  const state = useStore(queue);
  useEffect(wantQueue, []);
  useEffect(() => {
    const wait = settlesIn(state);
    if (wait === null) return;
    const timer = setTimeout(wantQueue, wait);
    return () => clearTimeout(timer);
  }, [state]);
  const pause = async () => {
    try {
      await api.setPaused(!queue.get()?.paused);
      wantQueue();
    } catch (error) {
      toastError(error);
    }
  };
  useShortcuts({ p: pause });
  return html`
    <div class="page-head">
      <h1>${t("nav.queue")}</h1>
      <${Button}
        icon=${state?.paused ? "play" : "pause"}
        text=${t(state?.paused ? "queue.resume" : "queue.pause")}
        aria-pressed=${state?.paused ? "true" : "false"} disabled=${!state}
        onClick=${pause}
      />
    </div>
    ${state && html`<${Figures} state=${state} />`}
    <div class="queue-page">
      <div class="queue-main">
        <${OpenJobs} />
        <${History} />
      </div>
      <aside class="queue-side" aria-label=${t("deployments")}><${Deployments} state=${state} /></aside>
    </div>
  `;
}

/**
 * Models come and go without a word of any job. So while one does, or is about to, look again; else never.
 *
 * @param {import("../../types.js").Queue | null} state
 * @returns {number | null} milliseconds
 */
function settlesIn(state) {
  const up = Object.values(state?.deployments ?? {}).filter(
    ({ replicas, starting }) => replicas + starting > 0,
  );
  if (up.length === 0) return null;
  return up.some(({ starting, loaded_model }) => starting > 0 || loaded_model === null) ? 1500 : 10_000;
}

/** @param {{state: import("../../types.js").Queue}} props */
function Figures({ state }) {
  const day = state.recent_24h ?? {};
  const figures = [
    [t("queue.running"), state.processing],
    [t("queue.waiting"), state.pending],
    [t("queue.doneToday"), day.completed ?? 0],
    [t("queue.failedToday"), day.failed ?? 0],
  ];
  return html`
    <dl class="figures">
      ${figures.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd class="number">${number(Number(value))}</dd></div>`)}
    </dl>
  `;
}
