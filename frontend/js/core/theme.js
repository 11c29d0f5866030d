import { createStore } from "./store.js";

/** @typedef {"system" | "dark" | "light"} Theme */

const KEY = "cyberimage.theme";

/** @type {import("./store.js").Store<Theme>} */
export const theme = createStore(/** @type {Theme} */ (document.documentElement.dataset.theme ?? "system"));

/** @param {Theme} chosen */
export function setTheme(chosen) {
  theme.set(chosen);
  if (chosen === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
  try {
    localStorage.setItem(KEY, chosen); // Plain text: js/early/theme.js reads it.
  } catch {
    // It holds for this visit.
  }
}

export const wantsLessMotion = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
