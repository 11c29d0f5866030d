/** The jobs that run and those that wait, in running order, to be moved and cancelled. */
import { html, useEffect, useLayoutEffect, useRef, useState } from "../../../vendor/htm-preact.js";
import * as api from "../../core/api.js";
import { about } from "../../core/format.js";
import { t } from "../../core/i18n.js";
import { hasEnded, jobs, receive, stopping } from "../../core/jobs.js";
import { cancelJobs, cancelWaiting, inLine, move, wanted } from "../../core/line.js";
import { queue } from "../../core/live.js";
import { reasonOf } from "../../core/reasons.js";
import { useStore } from "../../core/store.js";
import { toastError } from "../../core/toasts.js";
import { editJob } from "../../generate/reuse.js";
import { phase } from "../../generate/job_card.js";
import { Button, IconButton } from "../../ui/controls.js";
import { Preview } from "../../ui/preview.js";
import { StepBar } from "../../ui/step_bar.js";

/** @import {Job, WaitingJob} from "../../types.js" */

export function OpenJobs() {
  const known = useStore(jobs);
  const told = useStore(queue);
  const waiting = inLine(known.values(), told?.waiting, useStore(wanted));
  const running = [...known.values()].filter((job) => job.status === "processing");
  const [chosen, setChosen] = useState(/** @type {ReadonlySet<string>} */ (new Set()));
  useEffect(() => void fetchUnknown(told?.waiting ?? []), [told]);
  const picked = waiting.filter(({ id }) => chosen.has(id));
  const list = useRef(/** @type {any} */ (null));
  useKeptFocus(list);
  /** @param {string} id */
  const toggle = (id) => {
    const next = new Set(chosen);
    if (!next.delete(id)) next.add(id);
    setChosen(next);
  };
  return html`
    <section class="panel">
      <div class="panel-head">
        <h2>${t("queue.open.title")}</h2>
        ${
          picked.length > 0 &&
          html`<${Button}
            kind="compact danger"
            text=${t("queue.cancelSome", { count: picked.length })}
            onClick=${() => cancelJobs(picked)}
          />`
        }
        ${(told?.pending ?? 0) > 0 && html`<${Button} kind="compact" text=${t("queue.clear")} onClick=${() => cancelWaiting().catch(toastError)} />`}
        ${
          running.length > 0 &&
          html`<${Button}
            kind="compact danger"
            text=${t("queue.cancelAll")}
            onClick=${() => cancelEverything(running).catch(toastError)}
          />`
        }
      </div>
      ${running.length + waiting.length === 0 && html`<p class="panel-empty">${t("queue.empty")}</p>`}
      <ol class="rows" aria-label=${t("queue.running")}>${running.map((job) => html`<${RunningRow} key=${job.id} job=${job} />`)}</ol>
      <ol class="rows" ref=${list} aria-label=${t("queue.waiting")}>
        ${waiting.map(
          (job, at) => html`
          <${WaitingRow}
            key=${job.id}
            job=${job}
            at=${at}
            last=${at === waiting.length - 1}
            place=${told?.waiting?.find(({ id }) => id === job.id)}
            chosen=${chosen.has(job.id)}
            onChoose=${() => toggle(job.id)}
            onMove=${(/** @type {number} */ to) => move(job.id, to)}
            onDrop=${(/** @type {string} */ id) => move(id, at)}
          />
        `,
        )}
      </ol>
      ${(told?.pending ?? 0) > waiting.length && html`<p class="panel-empty">${t("queue.more", { count: (told?.pending ?? 0) - waiting.length })}</p>`}
    </section>
  `;
}

/**
 * Rows that change places lose the focus: the one that had it gets it back.
 *
 * @param {{current: HTMLElement | null}} list
 */
function useKeptFocus(list) {
  const before = document.activeElement;
  const held = list.current?.contains(before) ? before : null;
  useLayoutEffect(() => {
    if (held instanceof HTMLElement && held !== document.activeElement && held.isConnected)
      held.focus({ preventScroll: true });
  });
}

/** @param {WaitingJob[]} waiting */
async function fetchUnknown(waiting) {
  const missing = waiting.filter(({ id }) => !jobs.get().has(id)).slice(0, 40);
  if (missing.length === 0) return;
  const found = await Promise.allSettled(missing.map(({ id }) => api.job(id)));
  receive(found.flatMap((result) => (result.status === "fulfilled" ? [result.value] : [])));
}

/** @param {{job: Job}} props */
function RunningRow({ job }) {
  const stops = useStore(stopping, (ids) => ids.has(job.id));
  const text = stops ? t("state.stopping") : phase(job);
  return html`
    <li class="row running" data-job=${job.id}>
      <span class="row-lead">
        ${
          job.progress.preview
            ? html`<span class="row-thumb"><${Preview} job=${job} alt=${t("preview", { prompt: job.prompt })} /></span>`
            : html`<i class="pulse" aria-hidden="true"></i>`
        }
      </span>
      <div class="row-text">
        <p class="row-prompt">${job.prompt}</p>
        <p class="row-note number">${job.model_id} · ${text}${job.eta_seconds != null && !stops ? ` · ${t("eta.left", { time: about(job.eta_seconds) })}` : ""}</p>
        <${StepBar} job=${job} label=${text} />
      </div>
      <${IconButton} compact icon="close" label=${t("cancel")} disabled=${stops} onClick=${() => cancelJobs([job])} />
    </li>
  `;
}

/**
 * @param {object} props
 * @param {Job} props.job
 * @param {number} props.at
 * @param {boolean} props.last
 * @param {WaitingJob | undefined} props.place
 * @param {boolean} props.chosen
 * @param {() => void} props.onChoose
 * @param {(to: number) => void} props.onMove
 * @param {(id: string) => void} props.onDrop
 */
function WaitingRow({ job, at, last, place, chosen, onChoose, onMove, onDrop }) {
  const [over, setOver] = useState(false);
  const eta = place?.eta_start_seconds;
  const ends = place?.eta_seconds ?? job.eta_seconds;
  const when =
    eta != null
      ? t("eta.starts", { when: about(eta) })
      : ends != null
        ? t("eta.done", { when: about(ends) })
        : "";
  /** @param {KeyboardEvent} event */
  const onKey = (event) => {
    if (!event.altKey) return;
    /** @type {Record<string, number>} */
    const moves = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0 };
    if (!(event.key in moves)) return;
    event.preventDefault();
    onMove(moves[event.key]);
  };
  return html`
    <li
      class=${`row${over ? " drop-here" : ""}`}
      data-job=${job.id}
      tabindex="0"
      draggable="true"
      aria-label=${t("queue.row", { position: at + 1, prompt: job.prompt })}
      onKeyDown=${onKey}
      onDragStart=${(/** @type {DragEvent} */ e) => e.dataTransfer?.setData("text/cyberimage-job", job.id)}
      onDragOver=${(/** @type {DragEvent} */ e) => e.dataTransfer?.types.includes("text/cyberimage-job") && (e.preventDefault(), setOver(true))}
      onDragLeave=${() => setOver(false)}
      onDrop=${(/** @type {DragEvent} */ e) => {
        setOver(false);
        const id = e.dataTransfer?.getData("text/cyberimage-job");
        if (id && id !== job.id) (e.preventDefault(), onDrop(id));
      }}
    >
      <label class="row-lead">
        <input type="checkbox" class="check" checked=${chosen} aria-label=${t("queue.choose", { prompt: job.prompt })} onChange=${onChoose} />
        <span class="row-place number">${at + 1}</span>
      </label>
      <div class="row-text">
        <p class="row-prompt">${job.prompt}</p>
        <p class="row-note number">${[job.model_id, when, reasonOf(place ?? job.waiting)].filter(Boolean).join(" · ")}</p>
      </div>
      <div class="row-tools">
        <${IconButton} compact icon="first" label=${t("queue.next")} disabled=${at === 0} onClick=${() => onMove(0)} />
        <${IconButton} compact icon="arrowup" label=${t("queue.up")} disabled=${at === 0} onClick=${() => onMove(at - 1)} />
        <${IconButton} compact icon="arrowdown" label=${t("queue.down")} disabled=${last} onClick=${() => onMove(at + 1)} />
        <${IconButton} compact icon="edit" label=${t("edit")} onClick=${() => editJob(job)} />
        <${IconButton} compact icon="close" label=${t("cancel")} onClick=${() => cancelJobs([job])} />
      </div>
    </li>
  `;
}

/** @param {Job[]} running */
async function cancelEverything(running) {
  await cancelWaiting();
  await cancelJobs(running.filter((job) => !hasEnded(job)));
}
