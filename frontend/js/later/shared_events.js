/** A shared worker: one connection to the server's events, for every tab that is here. */
import { address } from "../core/api.js";
import { follow } from "../core/event_stream.js";

/** @import {News} from "../core/event_stream.js" */

/** @type {Set<MessagePort>} */
const tabs = new Set();
/** @type {"open" | "lost" | null} null before the first answer */
let state = null;

/** @param {News} news */
function tell(news) {
  if (news.kind === "open" || news.kind === "lost") state = news.kind;
  for (const tab of tabs) tab.postMessage(news);
}

/** @param {MessagePort} tab */
function welcome(tab) {
  tabs.add(tab);
  if (state === null) return;
  tab.postMessage({ kind: state });
  tab.postMessage({ kind: "resync" });
}

/** @type {any} */ (self).onconnect = (/** @type {MessageEvent} */ { ports: [tab] }) => {
  tab.onmessage = ({ data }) => (data === "here" ? welcome(tab) : tabs.delete(tab));
};
follow(address("api/events"), tell);
