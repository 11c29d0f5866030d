import { html, useState } from "../../vendor/htm-preact.js";
import { snap } from "../core/limits.js";
import { Icon } from "./icon.js";

/**
 * @param {object} props
 * @param {string} props.icon
 * @param {string} props.label
 * @param {() => void} props.onClick
 * @param {boolean} [props.pressed]
 * @param {boolean} [props.compact]
 * @param {boolean} [props.danger]
 * @param {boolean} [props.disabled]
 */
export const IconButton = ({ icon, label, onClick, pressed, compact, danger, disabled, ...rest }) => html`
  <button
    type="button"
    class=${`icon-button${compact ? " compact" : ""}${danger ? " danger" : ""}`}
    aria-label=${label}
    title=${label}
    aria-pressed=${pressed}
    disabled=${disabled}
    onClick=${onClick}
    ...${rest}
  >
    <${Icon} name=${icon} small=${compact} />
  </button>
`;

/**
 * A button with its name on it. `kind` is "", "compact", "danger compact" and the like.
 *
 * @param {object} props
 * @param {string} [props.icon]
 * @param {string} props.text
 * @param {() => void} props.onClick
 * @param {string} [props.kind]
 */
export const Button = ({ icon, text, onClick, kind = "", ...rest }) => html`
  <button type="button" class=${`button ${kind}`} onClick=${onClick} ...${rest}>
    ${icon && html`<${Icon} name=${icon} />`}<span>${text}</span>
  </button>
`;

/** What is wrong, where it is. @param {{text: string}} props */
export const Problem = ({ text }) => html`
  <p class="problem" role="alert"><${Icon} name="alert" small /><span>${text}</span></p>
`;

/**
 * A number that is made legal when it is left: what is typed meanwhile is let be.
 *
 * @param {object} props
 * @param {string} props.id
 * @param {import("../types.js").Range} props.range
 * @param {number} props.value
 * @param {(value: number) => void} props.onChange
 * @param {string} [props.label] where no label element names it
 */
export function NumberInput({ id, range, value, onChange, label }) {
  const [typed, setTyped] = useState(/** @type {string | null} */ (null));
  /** @param {string} text */
  const leave = (text) => {
    if (typed === null) return;
    setTyped(null);
    if (text.trim() !== "" && Number.isFinite(Number(text))) onChange(snap(range, Number(text)));
  };
  return html`<input
    id=${id}
    class="input number"
    type="number"
    inputmode="decimal"
    min=${range.min}
    max=${range.max}
    step=${range.step ?? 1}
    aria-label=${label}
    value=${typed ?? value}
    onInput=${(/** @type {any} */ e) => setTyped(e.target.value)}
    onChange=${(/** @type {any} */ e) => leave(e.target.value)}
    onBlur=${(/** @type {any} */ e) => leave(e.target.value)}
  />`;
}

/**
 * @param {object} props
 * @param {string} props.id
 * @param {string} props.label
 * @param {import("../types.js").Range} props.range
 * @param {number} props.value
 * @param {(value: number) => void} props.onChange
 * @param {string} [props.note] what the value means
 */
export function Slider({ id, label, range, value, onChange, note }) {
  const done = range.max > range.min ? (100 * (value - range.min)) / (range.max - range.min) : 100;
  return html`
    <div class="field">
      <label class="label" for=${id}>${label}${note && html`<span class="end number">${note}</span>`}</label>
      <div class="slider">
        <input
          type="range"
          min=${range.min}
          max=${range.max}
          step=${range.step ?? 1}
          value=${value}
          aria-label=${label}
          aria-valuetext=${note ?? String(value)}
          style=${{ "--done": `${done}%` }}
          disabled=${range.min === range.max}
          onInput=${(/** @type {any} */ e) => onChange(snap(range, Number(e.target.value)))}
        />
        <${NumberInput} id=${id} range=${range} value=${value} onChange=${onChange} />
      </div>
    </div>
  `;
}

/**
 * @param {object} props
 * @param {string} props.label
 * @param {boolean} props.checked
 * @param {(checked: boolean) => void} props.onChange
 */
export const Switch = ({ label, checked, onChange }) => html`
  <label class="switch">
    <input
      type="checkbox"
      role="switch"
      checked=${checked}
      onChange=${(/** @type {any} */ e) => onChange(e.target.checked)}
    />
    ${label}
  </label>
`;

/**
 * One of a few.
 *
 * @param {object} props
 * @param {string} props.label
 * @param {{value: string, text: string, icon?: string}[]} props.options
 * @param {string} props.value
 * @param {(value: string) => void} props.onChange
 * @param {boolean} [props.wide]
 */
export const Segments = ({ label, options, value, onChange, wide }) => html`
  <div class=${wide ? "segments wide" : "segments"} role="group" aria-label=${label}>
    ${options.map(
      (option) => html`
        <button
          type="button"
          key=${option.value}
          aria-pressed=${option.value === value}
          onClick=${() => onChange(option.value)}
        >
          ${option.icon && html`<${Icon} name=${option.icon} small />`}${option.text}
        </button>
      `,
    )}
  </div>
`;
