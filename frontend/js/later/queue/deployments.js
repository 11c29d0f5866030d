import { html, useState } from "../../../vendor/htm-preact.js";
import * as api from "../../core/api.js";
import { duration, number } from "../../core/format.js";
import { t } from "../../core/i18n.js";
import { wantQueue } from "../../core/live.js";
import { toast, toastError } from "../../core/toasts.js";
import { Icon } from "../../ui/icon.js";

/** @import {Deployment, Queue} from "../../types.js" */

/** @param {{state: Queue | null}} props */
export function Deployments({ state }) {
  const gpus = state?.gpus;
  const all = Object.entries(state?.deployments ?? {});
  const busyFirst = [...all].sort(([, a], [, b]) => b.replicas + b.starting - a.replicas - a.starting);
  return html`
    <section class="panel">
      <div class="panel-head">
        <h2>${t("deployments")}</h2>
        ${gpus?.total != null && html`<span class="chip number" title=${t("gpus")}><${Icon} name="chip" />${t("gpus.used", { used: round(gpus.used ?? 0), total: round(gpus.total) })}</span>`}
      </div>
      ${all.length === 0 && html`<p class="panel-empty">${t("deployments.unknown")}</p>`}
      <ul class="deployments">${busyFirst.map(([name, one]) => html`<${Row} key=${name} name=${name} one=${one} />`)}</ul>
      ${state?.dashboard_url && html`<p class="panel-empty"><a href=${state.dashboard_url} target="_blank" rel="noreferrer">${t("dashboard")}</a></p>`}
    </section>
  `;
}

/** @param {number} value */
const round = (value) => Math.round(value * 100) / 100;

/** @param {{name: string, one: Deployment}} props */
function Row({ name, one }) {
  const [busy, setBusy] = useState(false);
  const model = one.loaded_model;
  const unload = async () => {
    setBusy(true);
    try {
      await api.unload(model ?? "");
      toast(t("unloads", { model: model ?? name }));
      wantQueue();
    } catch (error) {
      toastError(error);
    } finally {
      setBusy(false);
    }
  };
  const resting = one.replicas === 0 && one.starting === 0;
  return html`
    <li class=${resting ? "deployment resting" : "deployment"}>
      <${Icon} name=${one.running_jobs > 0 ? "flame" : resting ? "snow" : "flame"} />
      <div class="row-text">
        <p class="deployment-name">${name}</p>
        <p class="row-note number">${situation(one)}</p>
        ${one.memory && html`<${Memory} ...${one.memory} />`}
        ${one.message && html`<p class="row-error">${one.message}</p>`}
      </div>
      ${
        model &&
        one.replicas > 0 &&
        html`
        <button class="button compact" type="button" disabled=${busy || one.running_jobs > 0} title=${one.running_jobs > 0 ? t("unload.busy") : undefined} onClick=${unload}>
          <${Icon} name="eject" />${t("unload")}
        </button>
      `
      }
    </li>
  `;
}

/** @param {NonNullable<Deployment["memory"]>} props */
const Memory = ({ kind, used_gb, total_gb }) => html`
  <p class="row-note number">
    <meter class="memory" min="0" max=${total_gb} value=${used_gb} aria-hidden="true"></meter>
    ${t(kind === "gpu" ? "memory.gpu" : "memory.main", { used: number(used_gb, 1), total: number(total_gb, total_gb < 10 ? 1 : 0) })}
  </p>
`;

/** @param {Deployment} one */
function situation({ replicas, starting, running_jobs, loaded_model, idle_seconds }) {
  const parts = [
    loaded_model ?? "",
    running_jobs > 0 ? t("deployment.running", { count: running_jobs }) : "",
    starting > 0 ? t("deployment.starting") : "",
    idle_seconds != null && replicas > 0 && running_jobs === 0
      ? t("deployment.idle", { time: duration(idle_seconds) })
      : "",
    replicas === 0 && starting === 0 ? t("deployment.off") : "",
  ];
  return parts.filter(Boolean).join(" · ");
}
