import { html } from "../../vendor/htm-preact.js";
import { ASSETS } from "../core/api.js";

const SPRITE = new URL("icons.svg", ASSETS).pathname;

/** @param {{name: string, small?: boolean}} props */
export const Icon = ({ name, small = false }) =>
  html`<svg class=${small ? "icon small" : "icon"} aria-hidden="true"><use href="${SPRITE}#${name}" /></svg>`;
