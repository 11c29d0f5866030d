import { html, useEffect, useRef } from "../../vendor/htm-preact.js";
import { t } from "../core/i18n.js";
import { IconButton } from "./controls.js";
import { Toasts } from "./toasts.js";

/**
 * A modal dialogue. Escape and a click beside it close it; the focus then goes back to where it was.
 *
 * @param {object} props
 * @param {string} props.title
 * @param {() => void} props.onClose
 * @param {unknown} props.children
 * @param {unknown} [props.foot]
 * @param {boolean} [props.wide]
 */
export function Sheet({ title, onClose, children, foot, wide }) {
  const dialog = useModal(onClose);
  return html`
    <dialog class=${wide ? "sheet wide" : "sheet"} ref=${dialog} tabindex="-1" aria-label=${title}>
      <div class="sheet-head">
        <h2>${title}</h2>
        <${IconButton} icon="close" label=${t("close")} onClick=${onClose} />
      </div>
      <div class="sheet-body">${children}</div>
      ${foot && html`<div class="sheet-foot">${foot}</div>`}
      <${Toasts} />
    </dialog>
  `;
}

/**
 * Opens the dialog element that the returned ref is put on, as a modal one.
 *
 * @param {() => void} onClose
 * @returns {import("../../vendor/htm-preact.js").Ref<any>}
 */
export function useModal(onClose) {
  const dialog = useRef(/** @type {any} */ (null));
  const close = useRef(onClose);
  close.current = onClose;
  useEffect(() => {
    /** @type {HTMLDialogElement} */
    const element = dialog.current;
    const before = document.activeElement;
    /** @param {Event} event */
    const onCancel = (event) => (event.preventDefault(), close.current());
    /** @param {MouseEvent} event */
    const onPress = (event) => event.target === element && close.current();
    element.addEventListener("cancel", onCancel);
    element.addEventListener("mousedown", onPress);
    element.showModal();
    element.focus();
    return () => {
      element.close();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return dialog;
}
