import { html, useEffect, useRef, useState } from "../../vendor/htm-preact.js";
import { mediumUrl, thumbnailUrl } from "../core/api.js";
import { number } from "../core/format.js";
import { t } from "../core/i18n.js";
import { wantsLessMotion } from "../core/theme.js";
import { Icon } from "./icon.js";

/** A pointer that only passes by starts nothing. */
const DWELL_MS = 120;

/**
 * A clip's poster, which plays while it is pointed at or has the focus.
 *
 * @param {{medium: import("../types.js").Medium}} props
 */
export function Clip({ medium }) {
  const [playing, setPlaying] = useState(false);
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    const owner = box.current?.closest("a, button, li");
    if (!owner || wantsLessMotion()) return;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    const enter = () => void (timer = setTimeout(() => setPlaying(true), DWELL_MS));
    const leave = () => (clearTimeout(timer), setPlaying(false));
    const pairs = /** @type {const} */ ([
      ["pointerenter", enter],
      ["pointerleave", leave],
      ["focusin", enter],
      ["focusout", leave],
    ]);
    for (const [name, run] of pairs) owner.addEventListener(name, run);
    return () => {
      clearTimeout(timer);
      for (const [name, run] of pairs) owner.removeEventListener(name, run);
    };
  }, []);
  const seconds = medium.metadata.duration_seconds;
  return html`
    <span class="clip" ref=${box}>
      <img src=${thumbnailUrl(medium.id)} alt=${medium.metadata.prompt ?? ""} loading="lazy" decoding="async" />
      ${playing && html`<video src=${mediumUrl(medium)} autoplay muted loop playsinline aria-hidden="true"></video>`}
      <span class="clip-badge number" aria-hidden="true">
        <${Icon} name="play" />${seconds ? t("time.s", { s: number(seconds, 1) }) : ""}
      </span>
    </span>
  `;
}
