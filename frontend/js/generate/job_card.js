import { html } from "../../vendor/htm-preact.js";
import { mediumUrl, thumbnailUrl } from "../core/api.js";
import { deleteMedia } from "../core/deletion.js";
import { edited } from "../core/editing.js";
import { about, duration, moment } from "../core/format.js";
import { t } from "../core/i18n.js";
import { discard, hasEnded, hidden, retry, stopping } from "../core/jobs.js";
import { cancelJobs, sendAgain } from "../core/line.js";
import { queue } from "../core/live.js";
import { reasonOf } from "../core/reasons.js";
import { hrefOf } from "../core/router.js";
import { useStore } from "../core/store.js";
import { toast } from "../core/toasts.js";
import { IconButton } from "../ui/controls.js";
import { Icon } from "../ui/icon.js";
import { Clip } from "../ui/clip.js";
import { Preview } from "../ui/preview.js";
import { StepBar } from "../ui/step_bar.js";
import { showDialogue } from "../ui/dialogues.js";
import { editJob, useJob } from "./reuse.js";
import { RetrySmaller } from "./smaller.js";

/** @import {Job, Medium} from "../types.js" */

/** @param {{job: Job}} props */
export function JobCard({ job }) {
  const changing = useStore(edited, (id) => id === job.id);
  return html`
    <li class=${`card is-${job.status}${changing ? " is-edited" : ""}`} data-job=${job.id} data-status=${job.status}>
      <${Face} job=${job} />
      <div class="card-text">
        <p class="card-prompt" title=${job.prompt}>${job.prompt || t("prompt.none")}</p>
        <div class="card-foot">
          <span class="card-model" title=${job.model_id}>${job.model_id}</span>
          <${When} job=${job} />
          <${Actions} job=${job} />
        </div>
      </div>
    </li>
  `;
}

/** @param {{job: Job}} props */
function Face({ job }) {
  if (job.status === "completed") return html`<${Results} job=${job} />`;
  return html`
    <div class="card-face">
      <${Preview} job=${job} alt=${t("preview", { prompt: job.prompt })} />
      <${State} job=${job} />
    </div>
  `;
}

/** @param {{job: Job}} props */
function State({ job }) {
  switch (job.status) {
    case "failed":
      return html`<${Failed} job=${job} />`;
    case "cancelled":
      return html`<div class="state faint"><${Icon} name="stop" />${t("state.cancelled")}</div>`;
    case "unsent":
      return html`<div class="state bad"><${Icon} name="away" /><p>${job.message || t("state.unsent")}</p></div>`;
    case "processing":
      return html`<${Running} job=${job} />`;
    default:
      return html`<${Waiting} job=${job} />`;
  }
}

/** @param {{job: Job}} props */
function Waiting({ job }) {
  const place = useStore(queue, (told) => told?.waiting?.find(({ id }) => id === job.id));
  const paused = useStore(queue, (told) => told?.paused ?? false);
  const position = place?.position ?? job.queue_position;
  const why = place ?? job.waiting;
  const starts = why?.eta_start_seconds;
  const ends = place?.eta_seconds ?? job.eta_seconds;
  return html`
    <div class="state waiting">
      <${Icon} name=${paused ? "pause" : "clock"} />
      <p class="state-title">${job.status === "sending" || !position ? t("state.queued") : t("state.position", { position })}</p>
      <p class="state-text">
        ${paused ? t("queue.isPausedShort") : starts != null ? t("eta.starts", { when: about(starts) }) : ends != null ? t("eta.done", { when: about(ends) }) : ""}
      </p>
      ${!paused && html`<p class="state-text">${reasonOf(why)}</p>`}
    </div>
  `;
}

/** @param {{job: Job}} props */
function Running({ job }) {
  const stops = useStore(stopping, (ids) => ids.has(job.id));
  const { progress } = job;
  const text = stops ? t("state.stopping") : phase(job);
  return html`
    <div class=${`state running${progress.preview ? " over-preview" : ""}`}>
      <div class="running-foot">
        <p class="running-line"><span>${text}</span><span class="number">${left(job)}</span></p>
        <${StepBar} job=${job} label=${text} />
      </div>
    </div>
  `;
}

/** @param {Job} job */
export function phase({ progress, message, model_id }) {
  if (progress.loading_model) return message || t("state.loading", { model: model_id });
  if (progress.saving) return t("state.saving");
  if (progress.generating && progress.total_steps) {
    return t("state.step", { step: progress.step ?? 0, total: progress.total_steps });
  }
  return t("state.preparing");
}

/** @param {Job} job */
const left = ({ eta_seconds, progress }) =>
  eta_seconds != null && progress.generating ? t("eta.left", { time: about(eta_seconds) }) : "";

/** @param {{job: Job}} props */
const Failed = ({ job }) => html`
  <div class="state bad" role="group" aria-label=${t("state.failed")}>
    <${Icon} name="alert" />
    <p class="state-title">${job.error?.message ?? job.message}</p>
    ${job.error?.hint && html`<p class="state-text">${job.error.hint}</p>`}
    <${RetrySmaller} job=${job} />
  </div>
`;

/** @param {{job: Job}} props */
function Results({ job }) {
  const gone = useStore(hidden);
  const media = job.images.filter(({ id }) => !gone.has(id));
  if (media.length === 0)
    return html`<div class="card-face"><div class="state faint">${t("state.filesGone")}</div></div>`;
  return html`
    <div class=${media.length === 1 ? "results alone" : `results n${media.length}`}>
      ${media.map((medium) => html`<${Result} key=${medium.id} medium=${medium} prompt=${job.prompt} />`)}
    </div>
  `;
}

/** @param {{medium: Medium, prompt: string}} props */
function Result({ medium, prompt }) {
  const source =
    medium.media_type === "image" && medium.width * medium.height < 400_000
      ? mediumUrl(medium)
      : thumbnailUrl(medium.id);
  return html`
    <a
      class="result"
      href=${hrefOf("gallery", { view: medium.id })}
      data-internal
      aria-label=${t("open", { prompt })}
    >
      ${
        medium.media_type === "video"
          ? html`<${Clip} medium=${medium} />`
          : html`<img src=${source} alt=${prompt} loading="lazy" decoding="async" width=${medium.width} height=${medium.height} />`
      }
    </a>
  `;
}

/** @param {{job: Job}} props */
function When({ job }) {
  if (!hasEnded(job) || !job.completed_at) return null;
  const seconds = job.started_at ? (Date.parse(job.completed_at) - Date.parse(job.started_at)) / 1000 : null;
  return html`<span class="card-when number" title=${moment(job.completed_at)}>
    ${seconds !== null && job.status === "completed" ? duration(seconds) : moment(job.completed_at)}
  </span>`;
}

/** @param {{job: Job}} props */
function Actions({ job }) {
  const stops = useStore(stopping, (ids) => ids.has(job.id));
  const picture = job.images.find(({ media_type }) => media_type === "image");
  switch (job.status) {
    case "sending":
      return null;
    case "unsent":
      return html`
        <${IconButton} compact icon="retry" label=${t("send.again")} onClick=${() => sendAgain(job.id)} />
        <${IconButton} compact icon="close" label=${t("discard")} onClick=${() => discard(job.id)} />
      `;
    case "pending":
      return html`
        <${IconButton} compact icon="edit" label=${t("edit")} disabled=${stops} onClick=${() => editJob(job)} />
        <${Cancel} job=${job} stops=${stops} />
      `;
    case "processing":
      return html`<${Cancel} job=${job} stops=${stops} />`;
    case "failed":
      return html`
        <${IconButton} compact icon="copy" label=${t("error.copy")} onClick=${() => copyError(job)} />
        <${IconButton} compact icon="retry" label=${t("retry")} onClick=${() => retry(job.id)} />
      `;
    case "cancelled":
      return html`<${IconButton} compact icon="retry" label=${t("retry")} onClick=${() => retry(job.id)} />`;
    default:
      return html`
        <${IconButton} compact icon="settings" label=${t("use.all")} onClick=${() => useJob(job)} />
        ${
          picture &&
          html`<${IconButton}
          compact
          icon="animate"
          label=${t("animate")}
          onClick=${() => showDialogue({ kind: "animate", source: picture, made: picture.metadata })}
        />`
        }
        <${IconButton} compact danger icon="trash" label=${t("delete")} onClick=${() => deleteMedia(job.images.map(({ id }) => id))} />
      `;
  }
}

/** @param {{job: Job, stops: boolean}} props */
const Cancel = ({ job, stops }) => html`
  <${IconButton} compact icon="close" label=${t("cancel")} disabled=${stops} onClick=${() => cancelJobs([job])} />
`;

/** @param {Job} job */
async function copyError(job) {
  const { code, message, hint } = job.error ?? { code: "", message: job.message, hint: "" };
  await copyText([`${job.model_id}: ${message}`, hint, code, job.id].filter(Boolean).join("\n"));
  toast(t("copied"));
}

/** @param {string} text */
export async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Clipboard access is for secure addresses only; this is not on a home network.
  const area = document.createElement("textarea");
  area.value = text;
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}
