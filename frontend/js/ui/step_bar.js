import { html } from "../../vendor/htm-preact.js";

/** @param {{job: import("../types.js").Job, label: string}} props */
export function StepBar({ job, label }) {
  const { generating, saving, percent } = job.progress;
  const known = generating || saving;
  return html`
    <div
      class=${known ? "progress" : "progress unknown"}
      role="progressbar"
      aria-label=${job.model_id}
      aria-valuemin="0"
      aria-valuemax="100"
      aria-valuenow=${known ? Math.round(percent) : undefined}
      aria-valuetext=${label}
    >
      <div style=${{ width: `${percent}%` }}></div>
    </div>
  `;
}
