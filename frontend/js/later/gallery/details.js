import { html } from "../../../vendor/htm-preact.js";
import { duration, longMoment, number } from "../../core/format.js";
import { t } from "../../core/i18n.js";
import { hrefOf } from "../../core/router.js";
import { toast } from "../../core/toasts.js";
import { copyText } from "../../generate/job_card.js";
import { useAllSettings, usePrompt, useSeed } from "../../generate/reuse.js";
import { Button } from "../../ui/controls.js";
import { Icon } from "../../ui/icon.js";
import { TagField } from "./tag_field.js";

/** @import {Medium} from "../../types.js" */

/**
 * How the medium was made, the ways to make more like it, and its tags.
 *
 * @param {{medium: Medium, onTags: (changes: import("./tags.js").TagChanges) => void}} props
 */
export function Details({ medium, onTags }) {
  const made = medium.metadata;
  const copy = async () => {
    await copyText(made.prompt ?? "");
    toast(t("copied"));
  };
  return html`
    <aside class="details" aria-label=${t("viewer.info")}>
      <div class="field">
        <h2 class="label">${t("prompt")}</h2>
        <p class="details-prompt">${made.prompt || t("prompt.none")}</p>
      </div>
      <div class="details-actions">
        <${Button} kind="compact" icon="copy" text=${t("copy.prompt")} onClick=${copy} />
        <${Button} kind="compact" icon="spark" text=${t("use.prompt")} onClick=${() => usePrompt(made.prompt ?? "")} />
        <${Button} kind="compact" icon="settings" text=${t("use.all")} onClick=${() => useAllSettings(made)} />
        <${Button}
          kind="compact"
          icon="dice"
          text=${t("use.remix")}
          onClick=${() => useAllSettings(made, { seed: false })}
        />
        <${Button} kind="compact" icon="lock" text=${t("use.seed")} onClick=${() => useSeed(made)} />
      </div>
      <${TagField}
        id="tags"
        linked
        key=${medium.id}
        label=${t("tags")}
        tags=${medium.tags ?? []}
        onAdd=${(/** @type {string} */ name) => onTags({ add: [name] })}
        onRemove=${(/** @type {string} */ name) => onTags({ remove: [name] })}
      />
      ${
        made.negative_prompt &&
        html`
          <div class="field">
            <h2 class="label">${t("negative")}</h2>
            <p class="small">${made.negative_prompt}</p>
          </div>
        `
      }
      <dl class="facts">
        ${factsOf(medium).map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd class="number">${value}</dd></div>`)}
      </dl>
      ${
        made.source_image_id &&
        html`
          <a class="button compact" href=${hrefOf("gallery", { view: made.source_image_id })} data-internal>
            <${Icon} name="image" />${t("viewer.source")}
          </a>
        `
      }
    </aside>
  `;
}

/** @param {{seed: number}} props */
const Seed = ({ seed }) => html`
  <a href=${hrefOf("gallery", { search: `seed:${seed}` })} data-internal aria-label=${t("seed.same", { seed })}>${seed}</a>
`;

/**
 * @param {Medium} medium
 * @returns {[string, unknown][]} each with what is shown of it
 */
function factsOf({ metadata: made, width, height, created_at }) {
  const s = made.settings ?? {};
  /** @type {[string, unknown][]} */
  const facts = [
    [t("model"), made.model_id],
    [t("size"), `${width} × ${height}`],
    [t("seed"), made.seed === undefined ? undefined : html`<${Seed} seed=${made.seed} />`],
    [t("steps"), s.num_inference_steps],
    [t("guidance"), s.guidance_scale === undefined ? undefined : number(s.guidance_scale, 2)],
    [t("frames"), made.frame_count],
    [t("fps"), made.fps],
    [
      t("length"),
      made.duration_seconds === undefined ? undefined : t("time.s", { s: number(made.duration_seconds, 1) }),
    ],
    [t("took"), made.generation_time === undefined ? undefined : duration(made.generation_time)],
    [t("made"), created_at ? longMoment(created_at) : undefined],
  ];
  return facts.filter(([, value]) => value !== undefined && value !== null);
}
