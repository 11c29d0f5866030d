/**
 * The server's events for this tab. A browser opens only six connections to a server, so all tabs share one
 * where shared workers exist; elsewhere each has its own.
 *
 * @import {News} from "./event_stream.js"
 */
import { address, ASSETS } from "./api.js";
import { follow } from "./event_stream.js";

/** @param {(news: News) => void} hear */
export function openEvents(hear) {
  const url = address("api/events");
  const alone = () => follow(url, hear);
  if (!("SharedWorker" in window)) return alone();
  try {
    join(hear, alone);
  } catch {
    alone(); // Blocked by the browser's settings.
  }
}

/**
 * @param {(news: News) => void} hear
 * @param {() => void} alone
 */
function join(hear, alone) {
  const worker = new SharedWorker(new URL("js/later/shared_events.js", ASSETS), { type: "module" });
  worker.addEventListener("error", alone, { once: true });
  worker.port.onmessage = ({ data }) => hear(data);
  worker.port.postMessage("here");
  addEventListener("pagehide", () => worker.port.postMessage("gone"));
  addEventListener("pageshow", ({ persisted }) => persisted && worker.port.postMessage("here"));
}
