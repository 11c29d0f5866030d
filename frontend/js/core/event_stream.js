/**
 * The server's events over one connection, opened again whenever it is lost.
 *
 * @typedef {{kind: "open" | "lost" | "resync"} | {kind: "job", id: string}} News
 *   "resync": ask for everything, as events may have been missed.
 */

const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 15_000;

/**
 * @param {string} url
 * @param {(news: News) => void} hear
 */
export function follow(url, hear) {
  let wait = FIRST_WAIT_MS;
  const open = () => {
    const source = new EventSource(url);
    const resync = () => hear({ kind: "resync" });
    source.addEventListener("hello", resync);
    source.addEventListener("resync", resync);
    source.addEventListener("job", (event) => hear({ kind: "job", id: JSON.parse(event.data).id }));
    source.onopen = () => {
      wait = FIRST_WAIT_MS;
      hear({ kind: "open" });
    };
    source.onerror = () => {
      hear({ kind: "lost" });
      if (source.readyState !== EventSource.CLOSED) return;
      // The browser gives up after an HTTP error, such as a proxy's 502.
      setTimeout(open, wait);
      wait = Math.min(wait * 2, LONGEST_WAIT_MS);
    };
  };
  open();
}
