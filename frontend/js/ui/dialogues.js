import { createStore } from "../core/store.js";

/**
 * The dialogue that is open, if one is.
 *
 * @typedef {{kind: "help"}
 *   | {kind: "lists", name?: string}
 *   | {kind: "animate", source: {id: string, width: number, height: number}, made?: import("../types.js").Metadata, replaces?: string}
 *   | {kind: "dropped", file: File, made: import("../types.js").Metadata}} Dialogue
 */

/** @type {import("../core/store.js").Store<Dialogue | null>} */
export const dialogue = createStore(/** @type {Dialogue | null} */ (null));

/** @param {Dialogue} open */
export const showDialogue = (open) => dialogue.set(open);
export const closeDialogue = () => dialogue.set(null);
