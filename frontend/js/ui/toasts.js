import { html } from "../../vendor/htm-preact.js";
import { toasts } from "../core/toasts.js";
import { useStore } from "../core/store.js";

/** The messages. An open dialogue shows them too, as it makes the rest of the page inert. */
export function Toasts() {
  const shown = useStore(toasts);
  return html`
    <div class="toasts" role="status" aria-live="polite">
      ${shown.map(
        ({ id, text, tone, action }) => html`
          <div class=${`toast ${tone}`} key=${id}>
            <span>${text}</span>
            ${action && html`<button type="button" onClick=${action.run}>${action.label}</button>`}
          </div>
        `,
      )}
    </div>
  `;
}
