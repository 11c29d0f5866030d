/** The tags that the gallery's media must have. */
import { html, useState } from "../../../vendor/htm-preact.js";
import { number } from "../../core/format.js";
import { t } from "../../core/i18n.js";
import { setQuery } from "../../core/router.js";
import { useStore } from "../../core/store.js";
import { Icon } from "../../ui/icon.js";
import { hasTag, refreshTags, tagsInUse } from "./tags.js";

/** With more than these, there is a field to find one. */
const AT_A_GLANCE = 12;

/** @param {{tags: readonly string[]}} props */
export function TagFilter({ tags }) {
  const inUse = useStore(tagsInUse);
  const [typed, setTyped] = useState("");
  /** @param {any} event */
  const onToggle = (event) => event.newState === "open" && (setTyped(""), void refreshTags());
  const text = typed.trim().toLowerCase();
  const shown = inUse.filter(({ name }) => name.toLowerCase().includes(text));
  return html`
    <button class="button tags-button" type="button" popovertarget="tags-menu" aria-pressed=${tags.length > 0 ? "true" : "false"}>
      <${Icon} name="tag" />${t("tags")}
    </button>
    <div id="tags-menu" class="menu tags-menu" popover="auto" role="group" aria-label=${t("tags")} onToggle=${onToggle}>
      ${
        inUse.length > AT_A_GLANCE &&
        html`
          <input
            class="input"
            type="search"
            aria-label=${t("tags.find")}
            placeholder=${t("tags.find")}
            value=${typed}
            onInput=${(/** @type {any} */ e) => setTyped(e.target.value)}
          />
        `
      }
      ${
        inUse.length === 0
          ? html`<p class="small muted">${t("tags.none")}</p>`
          : html`<div class="tags">${shown.map((use) => html`<${Choice} key=${use.name} use=${use} tags=${tags} />`)}</div>`
      }
    </div>
  `;
}

/** @param {{use: import("./tags.js").TagUse, tags: readonly string[]}} props */
function Choice({ use: { name, count }, tags }) {
  const chosen = hasTag(tags, name);
  const left = tags.filter((tag) => !hasTag([name], tag));
  return html`
    <button
      class="chip tag choice"
      type="button"
      aria-pressed=${chosen ? "true" : "false"}
      onClick=${() => setQuery({ tag: chosen ? left : [...tags, name] })}
    >
      <span>${name}</span><span class="number">${number(count)}</span>
    </button>
  `;
}
