import { html, useEffect, useState } from "../../vendor/htm-preact.js";
import { t } from "../core/i18n.js";

const WHEN_QUIET_MS = 1500;

/**
 * A component whose module is fetched when it is first shown, or before that when the page has been quiet for a while.
 *
 * @template {string} K
 * @param {() => Promise<Record<K, any>>} load
 * @param {K} name
 */
export function later(load, name) {
  /** @type {any} */
  let component = null;
  setTimeout(() => void load().catch(() => {}), WHEN_QUIET_MS);
  /** @param {object} props */
  return function Later(props) {
    const [, setFailed] = useState(/** @type {Error | null} */ (null));
    const [ready, setReady] = useState(component !== null);
    useEffect(() => {
      if (ready) return;
      load().then((module) => {
        component = module[name];
        setReady(true);
      }, setFailed);
    }, []);
    return ready ? html`<${component} ...${props} />` : html`<p class="visually-hidden">${t("loading")}</p>`;
  };
}
