import { html, useEffect, useRef, useState } from "../../../vendor/htm-preact.js";
import { day } from "../../core/format.js";
import { t } from "../../core/i18n.js";
import { useShortcuts } from "../../core/keys.js";
import { catalogue } from "../../core/models.js";
import { setQuery } from "../../core/router.js";
import { useStore } from "../../core/store.js";
import { Button, Segments } from "../../ui/controls.js";
import { Icon } from "../../ui/icon.js";
import { Dates } from "./dates.js";
import { TagFilter } from "./tag_filter.js";

/** Typing is over when nothing came for so long. */
const PAUSE_MS = 220;

/** @param {{filters: import("../../types.js").GalleryQuery, selecting: boolean, onSelect: () => void}} props */
export function Filters({ filters, selecting, onSelect }) {
  const models = Object.keys(useStore(catalogue)?.models ?? {});
  const named = filters.model && !models.includes(filters.model) ? [filters.model, ...models] : models;
  return html`
    <div class="filters" role="search">
      <${SearchField} text=${filters.search} />
      <div class="filters-more">
        <select
          class="select"
          aria-label=${t("model")}
          value=${filters.model}
          onChange=${(/** @type {any} */ e) => setQuery({ model: e.target.value })}
        >
          <option value="" selected=${!filters.model}>${t("filters.allModels")}</option>
          ${named.map((name) => html`<option key=${name} value=${name} selected=${name === filters.model}>${name}</option>`)}
        </select>
        <${Segments}
          label=${t("filters.type")}
          value=${filters.type}
          onChange=${(/** @type {string} */ type) => setQuery({ type })}
          options=${[
            { value: "", text: t("filters.all") },
            { value: "image", text: t("filters.pictures"), icon: "image" },
            { value: "video", text: t("filters.clips"), icon: "film" },
          ]}
        />
        <${Dates} from=${filters.from} to=${filters.to} />
        <${TagFilter} tags=${filters.tags} />
        <button
          class="button"
          type="button"
          aria-pressed=${filters.favorite ? "true" : "false"}
          onClick=${() => setQuery({ favorite: filters.favorite ? "" : "true" })}
        >
          <${Icon} name=${filters.favorite ? "hearted" : "heart"} />${t("filters.favourites")}
        </button>
        <${Button}
          icon="select"
          text=${t("select")}
          aria-pressed=${selecting ? "true" : "false"}
          onClick=${onSelect}
        />
      </div>
    </div>
  `;
}

/** What is asked for at the moment, each with a way to leave it. @param {{filters: import("../../types.js").GalleryQuery}} props */
export function Chips({ filters }) {
  const chips = [
    ...words(filters.search).map((word, at, all) => wordChip(word, all.toSpliced(at, 1).join(" "))),
    ...filters.tags.map((tag, at, all) => ({ ...chip(tag, "tag", all.toSpliced(at, 1)), icon: "tag" })),
    chip(filters.model, "model"),
    chip(filters.type && t(filters.type === "image" ? "filters.pictures" : "filters.clips"), "type"),
    chip(filters.from && t("dates.since", { day: day(filters.from) }), "from"),
    chip(filters.to && t("dates.until", { day: day(filters.to) }), "to"),
    chip(filters.favorite ? t("filters.favourites") : "", "favorite"),
  ].filter(({ name }) => name);
  if (chips.length === 0) return null;
  return html`
    <ul class="chips" aria-label=${t("filters.active")}>
      ${chips.map(
        ({ name, key, left, icon }, at) => html`
          <li key=${`${at} ${name}`}>
            <button class="chip active" type="button" aria-label=${t("filters.without", { name })} onClick=${() => setQuery({ [key]: left })}>
              ${icon && html`<${Icon} name=${icon} />`}${name}<${Icon} name="close" />
            </button>
          </li>
        `,
      )}
      ${chips.length > 1 && html`<li><${Button} kind="compact quiet" text=${t("filters.clear")} onClick=${clearFilters} /></li>`}
    </ul>
  `;
}

/**
 * @param {string} name
 * @param {string} key of the query
 * @param {string | string[]} [left] of its value, without this
 * @returns {{name: string, key: string, left: string | string[], icon?: string}}
 */
const chip = (name, key, left = "") => ({ name, key, left });

/**
 * @param {string} word
 * @param {string} left of the search
 */
function wordChip(word, left) {
  const seed = /^seed:(\d+)$/i.exec(word)?.[1];
  return seed
    ? { ...chip(t("filters.seed", { seed }), "search", left), icon: "dice" }
    : chip(word, "search", left);
}

export const clearFilters = () =>
  setQuery({ search: "", model: "", type: "", favorite: "", tag: "", from: "", to: "" });

const words = (/** @type {string} */ text) => text.split(/\s+/).filter(Boolean);

/** @param {{text: string}} props */
function SearchField({ text }) {
  const [typed, setTyped] = useState(text);
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  const timer = useRef(/** @type {ReturnType<typeof setTimeout> | undefined} */ (undefined));
  useEffect(() => setTyped(text), [text]);
  useShortcuts({ "/": () => input.current?.focus() });
  /** @param {any} event */
  const type = (event) => {
    const search = event.target.value;
    setTyped(search);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setQuery({ search }, { replace: true }), PAUSE_MS);
  };
  return html`
    <label class="search">
      <${Icon} name="search" />
      <span class="visually-hidden">${t("search")}</span>
      <input ref=${input} class="input" type="search" placeholder=${t("search.placeholder")} value=${typed} onInput=${type} />
    </label>
  `;
}
