/** @import {Model, ModelType} from "../types.js" */
import * as api from "./api.js";
import { createStore } from "./store.js";
import { onJobChange } from "./jobs.js";
import { queue, whenResynced } from "./live.js";

/**
 * @typedef {object} Catalogue
 * @property {Record<string, string>} defaults by type
 * @property {Record<string, Model>} models
 */

/** @type {import("./store.js").Store<Catalogue | null>} */
export const catalogue = createStore(/** @type {Catalogue | null} */ (null));

export async function loadModels() {
  const { defaults, models } = await api.models();
  catalogue.set({ defaults, models });
}

/**
 * @param {Catalogue} all
 * @param {ModelType} type
 */
export const modelsOf = (all, type) => Object.values(all.models).filter((model) => model.type === type);

/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/** Once, however many reasons there are at the moment. The server being away is told elsewhere. */
function lookAgain() {
  timer ??= setTimeout(() => {
    timer = undefined;
    loadModels().catch(() => {});
  }, 300);
}

/** Which models are warm changes when a job has loaded one, and when the server was restarted. */
export function keepWarmthTrue() {
  onJobChange((job) => {
    const model = catalogue.get()?.models[job.model_id];
    if (model && !model.loaded && job.progress.generating) lookAgain();
  });
  whenResynced(lookAgain);
  let loaded = "";
  queue.watch((state) => {
    const now = Object.values(state?.deployments ?? {}).map(({ loaded_model }) => loaded_model ?? "");
    if (loaded !== "" && loaded !== now.join()) lookAgain();
    loaded = now.join();
  });
}
