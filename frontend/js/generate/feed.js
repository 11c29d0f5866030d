import { html, useRef, useState } from "../../vendor/htm-preact.js";
import { modelName, prompt } from "../core/drafts.js";
import { hidden, jobs, newestFirst } from "../core/jobs.js";
import { t } from "../core/i18n.js";
import { Button } from "../ui/controls.js";
import { connection, loadOlder, RECENT } from "../core/live.js";
import { catalogue } from "../core/models.js";
import { useStore } from "../core/store.js";
import { toastError } from "../core/toasts.js";
import { Examples } from "../ui/examples.js";
import { Icon } from "../ui/icon.js";
import { chosenModel } from "./composer.js";
import { JobCard } from "./job_card.js";

/** Cards that are drawn at first; more come when the end is reached. */
const SHOWN = 36;

/** The jobs, newest first, as they go. */
export function Feed() {
  const known = useStore(jobs);
  const gone = useStore(hidden);
  const state = useStore(connection);
  const [shown, setShown] = useState(SHOWN);
  const list = newestFirst(known).filter(
    (job) => job.images.length === 0 || job.images.some(({ id }) => !gone.has(id)),
  );
  if (list.length === 0 && state !== "starting") return html`<${Nothing} />`;
  return html`
    <section class="feed" aria-label=${t("feed")}>
      <ul class="cards">
        ${list.slice(0, shown).map((job) => html`<${JobCard} key=${job.id} job=${job} />`)}
      </ul>
      ${list.length >= RECENT && html`<${More} more=${list.length > shown} onMore=${() => setShown(shown + SHOWN)} />`}
    </section>
  `;
}

/** @param {{more: boolean, onMore: () => void}} props */
function More({ more, onMore }) {
  const [busy, setBusy] = useState(false);
  const [done, setDone] = useState(false);
  const cursor = useRef(/** @type {string | null} */ (null));
  const older = async () => {
    if (more) return onMore();
    setBusy(true);
    try {
      cursor.current = await loadOlder(cursor.current);
      setDone(cursor.current === null);
      onMore();
    } catch (error) {
      toastError(error);
    } finally {
      setBusy(false);
    }
  };
  if (done && !more) return null;
  return html`<div class="more"><${Button} kind="quiet" text=${t("older")} disabled=${busy} onClick=${older} /></div>`;
}

/** What to do first: the chosen model's examples go into the prompt. */
function Nothing() {
  const all = useStore(catalogue);
  useStore(modelName);
  const choose = (/** @type {string} */ example) => {
    prompt.set(example);
    document.getElementById("prompt")?.focus();
  };
  return html`
    <div class="empty">
      <${Icon} name="spark" />
      <h2>${t("feed.empty")}</h2>
      <p>${t("feed.emptyText")}</p>
      <${Examples} model=${chosenModel(all)} onChoose=${choose} />
    </div>
  `;
}
