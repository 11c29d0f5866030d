/** Two pictures over each other, with a border that is moved. */
import { html, useState } from "../../../vendor/htm-preact.js";
import { mediumUrl } from "../../core/api.js";
import { percent } from "../../core/format.js";
import { t } from "../../core/i18n.js";
import { fit } from "./stage.js";

/** @import {Medium} from "../../types.js" */

/**
 * @param {object} props
 * @param {Medium} props.medium shown to the left of the border
 * @param {Medium} props.other
 */
export function Compare({ medium, other }) {
  const [at, setAt] = useState(50);
  const promptOf = (/** @type {Medium} */ one) => one.metadata.prompt || t("prompt.none");
  return html`
    <div class="stage">
      <div class="compare stage-medium" style=${{ ...fit(medium), "--at": `${at}%` }}>
        <img src=${mediumUrl(other)} alt=${promptOf(other)} draggable="false" />
        <img class="compare-left" src=${mediumUrl(medium)} alt=${promptOf(medium)} draggable="false" />
        <i class="compare-border" aria-hidden="true"></i>
        <input
          type="range"
          min="0"
          max="100"
          step="1"
          value=${at}
          aria-label=${t("compare.border")}
          aria-valuetext=${percent(at)}
          onInput=${(/** @type {any} */ e) => setAt(Number(e.target.value))}
        />
      </div>
    </div>
  `;
}
