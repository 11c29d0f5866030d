import { useEffect, useRef } from "../../vendor/htm-preact.js";

const HELD_MS = 450;
/** A finger that moves farther scrolls. */
const STILL_PX = 10;

/**
 * A finger that rests on the element; the click that follows is not one.
 *
 * @param {{current: HTMLElement | null}} box
 * @param {(target: Element) => void} onPress
 */
export function useLongPress(box, onPress) {
  const press = useRef(onPress);
  press.current = onPress;
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    let from = { x: 0, y: 0 };
    let pressed = false;
    const control = new AbortController();
    const options = { signal: control.signal, capture: true };
    const stop = () => clearTimeout(timer);
    /** @param {PointerEvent} event */
    const down = ({ pointerType, target, clientX, clientY }) => {
      stop();
      pressed = false;
      if (pointerType !== "touch" || !(target instanceof Element)) return;
      from = { x: clientX, y: clientY };
      timer = setTimeout(() => {
        pressed = true;
        press.current(target);
      }, HELD_MS);
    };
    /** @param {PointerEvent} event */
    const move = ({ clientX, clientY }) =>
      Math.hypot(clientX - from.x, clientY - from.y) > STILL_PX && stop();
    /** @param {Event} event */
    const swallow = (event) => {
      if (!pressed) return;
      pressed = event.type !== "click";
      event.preventDefault();
      event.stopPropagation();
    };
    element.addEventListener("pointerdown", down, options);
    element.addEventListener("pointermove", move, options);
    element.addEventListener("pointerup", stop, options);
    element.addEventListener("pointercancel", stop, options);
    element.addEventListener("click", swallow, options);
    element.addEventListener("contextmenu", swallow, options);
    return () => {
      stop();
      control.abort();
    };
  }, []);
}
