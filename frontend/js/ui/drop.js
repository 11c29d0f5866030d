/** A picture dropped or pasted anywhere: to animate it, or to make it again. */
import { html, useEffect, useRef, useState } from "../../vendor/htm-preact.js";
import * as api from "../core/api.js";
import { t } from "../core/i18n.js";
import { isTyping } from "../core/keys.js";
import { toast, toastError } from "../core/toasts.js";
import { Button } from "./controls.js";
import { dialogue, showDialogue } from "./dialogues.js";
import { Icon } from "./icon.js";

const ACCEPTED = /^(image\/(png|jpeg|webp)|video\/mp4)$/;

export function DropZone() {
  const [over, setOver] = useState(false);
  useEffect(() => listen(setOver), []);
  if (!over) return null;
  return html`
    <div class="drop-veil">
      <${Icon} name="upload" />
      <h2>${t("drop.title")}</h2>
      <p class="muted">${t("drop.text")}</p>
    </div>
  `;
}

/** For those who cannot drop, on a phone for one. */
export function FileButton() {
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  /** @param {any} event */
  const pick = (event) => {
    const [file] = event.target.files;
    event.target.value = ""; // Or the same file could not be picked again.
    if (file) void take(file);
  };
  return html`
    <${Button}
      kind="compact file-button"
      icon="upload"
      text=${t("file.pick")}
      title=${t("drop.text")}
      onClick=${() => input.current?.click()}
    />
    <input
      ref=${input}
      class="visually-hidden"
      type="file"
      tabindex="-1"
      aria-hidden="true"
      accept="image/png,image/jpeg,image/webp,video/mp4"
      onChange=${pick}
    />
  `;
}

/** @param {(over: boolean) => void} setOver */
function listen(setOver) {
  const control = new AbortController();
  const options = { signal: control.signal };
  /** @param {DragEvent} event */
  const carriesFile = (event) => event.dataTransfer?.types.includes("Files") ?? false;
  addEventListener(
    "dragover",
    (event) => carriesFile(event) && (event.preventDefault(), setOver(true)),
    options,
  );
  addEventListener("dragleave", (event) => event.relatedTarget === null && setOver(false), options);
  addEventListener(
    "drop",
    (event) => {
      setOver(false);
      const file = event.dataTransfer?.files[0];
      if (!file) return;
      event.preventDefault();
      void take(file);
    },
    options,
  );
  addEventListener(
    "paste",
    (event) => {
      const file = event.clipboardData?.files[0];
      if (!file || bringsText(event, file)) return;
      event.preventDefault();
      void take(file);
    },
    options,
  );
  return () => control.abort();
}

/**
 * Office programs copy text along with a picture of it: who types means the text. File managers copy a file's
 * name along with it: there the file is meant.
 *
 * @param {ClipboardEvent} event
 * @param {File} file
 */
function bringsText({ target, clipboardData }, { name }) {
  const text = clipboardData?.getData("text/plain") ?? "";
  return isTyping(target) && text !== "" && !text.includes(name);
}

/** Nothing while a dialogue is open: it may hold what was typed. @param {File} file */
export async function take(file) {
  if (dialogue.get()) return;
  if (!ACCEPTED.test(file.type)) return void toast(t("drop.unknown"), { tone: "error" });
  try {
    const { readMetadata } = await import("../later/file_metadata.js");
    const made = await readMetadata(file);
    if (made) open({ kind: "dropped", file, made });
    else if (file.type === "video/mp4") toast(t("drop.plainVideo"), { tone: "error" });
    else await animateFile(file);
  } catch (error) {
    toastError(error);
  }
}

/** @param {File} file */
export async function animateFile(file) {
  const source = await api.upload(file);
  open({ kind: "animate", source });
}

/** Unless another was opened meanwhile. @param {import("./dialogues.js").Dialogue} next */
function open(next) {
  if (!dialogue.get()) showDialogue(next);
}
