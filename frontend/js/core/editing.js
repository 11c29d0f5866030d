import { createStore } from "./store.js";

/** The waiting job whose settings are in the form: what is submitted next takes its place. */
export const edited = createStore(/** @type {string | null} */ (null));
