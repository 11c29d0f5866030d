import { html, useEffect, useState } from "../../../vendor/htm-preact.js";
import * as api from "../../core/api.js";
import { duration, moment } from "../../core/format.js";
import { t } from "../../core/i18n.js";
import { drop, hasEnded, onJobChange, retry } from "../../core/jobs.js";
import { whenResynced } from "../../core/live.js";
import { hrefOf } from "../../core/router.js";
import { toastError } from "../../core/toasts.js";
import { Button, IconButton, Segments } from "../../ui/controls.js";
import { Icon } from "../../ui/icon.js";

/** @import {Job} from "../../types.js" */

const PAGE = 25;

/** Ended jobs, newest first. */
export function History() {
  const [status, setStatus] = useState("");
  const [list, setList] = useState(/** @type {Job[] | null} */ (null));
  const [cursor, setCursor] = useState(/** @type {string | null} */ (null));
  const load = async (/** @type {string | null} */ from) => {
    try {
      const page = await api.jobs({ status, cursor: from, limit: PAGE });
      setList((before) => [...(from ? (before ?? []) : []), ...page.jobs.filter(hasEnded)]);
      setCursor(page.next_cursor);
    } catch (error) {
      if (!(error instanceof api.Unreachable)) toastError(error);
    }
  };
  useEffect(() => {
    void load(null);
    const stops = [
      whenResynced(() => void load(null)),
      onJobChange(
        (job) =>
          hasEnded(job) &&
          (!status || status === job.status) &&
          setList((before) => withJob(before ?? [], job)),
      ),
    ];
    return () => stops.forEach((stop) => stop());
  }, [status]);
  const failed = (list ?? []).filter((job) => job.status === "failed");
  const options = [
    { value: "", text: t("filters.all") },
    { value: "completed", text: t("state.completed") },
    { value: "failed", text: t("state.failed") },
    { value: "cancelled", text: t("state.cancelled") },
  ];
  return html`
    <section class="panel">
      <div class="panel-head">
        <h2>${t("history")}</h2>
        ${
          status === "failed" &&
          failed.length > 1 &&
          html`<${Button}
            kind="compact"
            icon="retry"
            text=${t("retry.all", { count: failed.length })}
            onClick=${() => failed.forEach(({ id }) => void retry(id))}
          />`
        }
        <${Segments} label=${t("history.filter")} options=${options} value=${status} onChange=${setStatus} />
      </div>
      ${list?.length === 0 && html`<p class="panel-empty">${t("history.empty")}</p>`}
      <ul class="rows">${(list ?? []).map((job) => html`<${Row} key=${job.id} job=${job} onForget=${() => forget(job, setList)} />`)}</ul>
      ${cursor && html`<div class="more"><${Button} kind="quiet" text=${t("older")} onClick=${() => load(cursor)} /></div>`}
    </section>
  `;
}

/**
 * @param {Job[]} list
 * @param {Job} job
 */
const withJob = (list, job) =>
  [job, ...list.filter(({ id }) => id !== job.id)].sort((a, b) => (a.created_at < b.created_at ? 1 : -1));

/**
 * @param {Job} job
 * @param {(change: (list: Job[] | null) => Job[] | null) => void} setList
 */
async function forget(job, setList) {
  try {
    await api.forget(job.id);
    drop(job.id);
    setList((before) => before?.filter(({ id }) => id !== job.id) ?? null);
  } catch (error) {
    toastError(error);
  }
}

const MARKS = /** @type {const} */ ({ completed: "check", failed: "alert", cancelled: "stop" });

/** @param {{job: Job, onForget: () => void}} props */
function Row({ job, onForget }) {
  const [first] = job.images;
  const status = /** @type {keyof typeof MARKS} */ (job.status);
  const took =
    job.started_at && job.completed_at
      ? (Date.parse(job.completed_at) - Date.parse(job.started_at)) / 1000
      : null;
  const note = [
    job.model_id,
    job.completed_at && moment(job.completed_at),
    took !== null && job.status === "completed" && duration(took),
  ];
  return html`
    <li class=${`row ended is-${job.status}`} data-job=${job.id} data-status=${job.status}>
      ${
        first
          ? html`<a class="row-thumb" href=${hrefOf("gallery", { view: first.id })} data-internal aria-label=${t("open", { prompt: job.prompt })}><img src=${api.thumbnailUrl(first.id)} alt="" loading="lazy" /></a>`
          : html`<span class="row-thumb none"><${Icon} name=${MARKS[status]} small /></span>`
      }
      <div class="row-text">
        <p class="row-prompt">${job.prompt}</p>
        <p class="row-note number">
          <span class=${job.status === "completed" ? "visually-hidden" : ""}>${t(`state.${status}`)} · </span>${note.filter(Boolean).join(" · ")}
        </p>
        ${job.error && html`<p class="row-error">${job.error.message}${job.error.hint ? ` ${job.error.hint}` : ""}</p>`}
      </div>
      <div class="row-tools">
        ${job.status !== "completed" && html`<${IconButton} compact icon="retry" label=${t("retry")} onClick=${() => retry(job.id)} />`}
        ${!first && html`<${IconButton} compact danger icon="trash" label=${t("history.forget")} onClick=${onForget} />`}
      </div>
    </li>
  `;
}
