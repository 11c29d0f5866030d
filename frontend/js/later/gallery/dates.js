/** The days between which the gallery's media were made. */
import { html } from "../../../vendor/htm-preact.js";
import { t } from "../../core/i18n.js";
import { setQuery } from "../../core/router.js";
import { Button } from "../../ui/controls.js";
import { Icon } from "../../ui/icon.js";

/** Spans that end today, by their name: how many days before today they begin. */
const SPANS = /** @type {const} */ ([
  ["dates.today", 0],
  ["dates.week", 6],
  ["dates.month", 29],
]);

/** @param {{from: string, to: string}} props */
export function Dates({ from, to }) {
  return html`
    <button class="button dates-button" type="button" popovertarget="dates-menu" aria-pressed=${from || to ? "true" : "false"}>
      <${Icon} name="clock" />${t("dates")}
    </button>
    <div id="dates-menu" class="menu dates-menu" popover="auto" role="group" aria-label=${t("dates")}>
      <div class="dates-spans">
        ${SPANS.map(
          ([name, days]) => html`
            <${Button} key=${name} kind="compact" text=${t(name)} onClick=${() => setQuery({ from: daysAgo(days), to: "" })} />
          `,
        )}
      </div>
      <${Day} name="from" value=${from} max=${to || daysAgo(0)} />
      <${Day} name="to" value=${to} min=${from} max=${daysAgo(0)} />
    </div>
  `;
}

/** @param {{name: "from" | "to", value: string, min?: string, max: string}} props */
const Day = ({ name, value, min, max }) => html`
  <label class="field">
    <span class="label">${t(`dates.${name}`)}</span>
    <input
      class="input"
      type="date"
      value=${value}
      min=${min}
      max=${max}
      onChange=${(/** @type {any} */ e) => setQuery({ [name]: e.target.value })}
    />
  </label>
`;

/** @param {number} days @returns the day so long ago, here, as YYYY-MM-DD */
function daysAgo(days) {
  const day = new Date();
  day.setDate(day.getDate() - days);
  const pad = (/** @type {number} */ number) => String(number).padStart(2, "0");
  return `${day.getFullYear()}-${pad(day.getMonth() + 1)}-${pad(day.getDate())}`;
}
