import { html } from "../../vendor/htm-preact.js";
import { t } from "../core/i18n.js";

/**
 * Prompts that the model does well.
 *
 * @param {object} props
 * @param {import("../types.js").Model | null | undefined} props.model
 * @param {(prompt: string) => void} props.onChoose
 */
export function Examples({ model, onChoose }) {
  if (!model?.example_prompts.length) return null;
  return html`
    <div class="examples" role="group" aria-label=${t("examples")}>
      ${model.example_prompts.map(
        (each) => html`
          <button key=${each} type="button" class="chip example" onClick=${() => onChoose(each)}>${each}</button>
        `,
      )}
    </div>
  `;
}
