/**
 * Shortcuts. A key is written as in "ctrl+enter", "shift+?" or "f"; ctrl is also the Mac's command key.
 * Without ctrl or alt they do nothing while somebody types, nor under an open dialog but its own.
 */
import { useLayoutEffect, useRef } from "../../vendor/htm-preact.js";

/** @typedef {Record<string, (event: KeyboardEvent) => void>} Shortcuts */

/** What goes on while its key is held. All else is done once for a press, or one would delete on and on. */
const HELD = /^(arrow(left|right)|[+=-])$/;

/** @param {EventTarget | null} target */
export const isTyping = (target) =>
  target instanceof HTMLElement &&
  (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));

/** @param {KeyboardEvent} event */
function nameOf(event) {
  const parts = [event.ctrlKey || event.metaKey ? "ctrl" : "", event.altKey ? "alt" : ""];
  if (event.shiftKey && event.key.length > 1) parts.push("shift");
  return [...parts, event.key.toLowerCase()].filter(Boolean).join("+");
}

/**
 * A key finds the shortcuts of what was rendered last, also before effects have run.
 *
 * @param {Shortcuts} shortcuts
 * @param {{inDialog?: boolean, active?: boolean}} [options]
 */
export function useShortcuts(shortcuts, { inDialog = false, active = true } = {}) {
  const latest = useRef(shortcuts);
  latest.current = shortcuts;
  useLayoutEffect(() => {
    if (!active) return;
    /** @param {KeyboardEvent} event */
    const onKey = (event) => {
      const name = nameOf(event);
      const run = latest.current[name];
      if (!run || event.defaultPrevented) return;
      if (isTyping(event.target) && !event.ctrlKey && !event.metaKey && !event.altKey) return;
      if (!inDialog && document.querySelector("dialog[open]")) return;
      if (name === "escape" && document.querySelector(":popover-open")) return; // It closes that.
      event.preventDefault();
      if (!event.repeat || HELD.test(name)) run(event);
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, [active, inDialog]);
}
