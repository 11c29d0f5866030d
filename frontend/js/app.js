import { html, useEffect, useErrorBoundary } from "../vendor/htm-preact.js";
import { ASSETS } from "./core/api.js";
import { language, t } from "./core/i18n.js";
import { useShortcuts } from "./core/keys.js";
import { connection, queue } from "./core/live.js";
import { announced, setPageTitle } from "./core/notices.js";
import { go, hrefOf, place } from "./core/router.js";
import { useStore } from "./core/store.js";
import { GeneratePage } from "./generate/page.js";
import { Icon } from "./ui/icon.js";
import { IconButton } from "./ui/controls.js";
import { later } from "./ui/later.js";
import { SettingsMenu } from "./ui/settings.js";
import { Toasts } from "./ui/toasts.js";
import { DropZone } from "./ui/drop.js";
import { dialogue, showDialogue } from "./ui/dialogues.js";

const GalleryPage = later(() => import("./later/gallery/page.js"), "GalleryPage");
const QueuePage = later(() => import("./later/queue/page.js"), "QueuePage");
const Dialogues = later(() => import("./later/dialogues.js"), "Dialogues");

const PAGES = /** @type {const} */ ([
  { path: "", key: "1", icon: "spark", name: "nav.generate", component: GeneratePage },
  { path: "gallery", key: "2", icon: "gallery", name: "nav.gallery", component: GalleryPage },
  { path: "queue", key: "3", icon: "queue", name: "nav.queue", component: QueuePage },
]);

/** The frame around the pages. Drawn anew as a whole when the language changes. */
export function App() {
  const tag = useStore(language);
  return html`<${Frame} key=${tag} />`;
}

function Frame() {
  const { page } = useStore(place);
  const open = useStore(dialogue);
  const { component, name } = PAGES.find(({ path }) => path === page) ?? PAGES[0];
  useEffect(() => setPageTitle(t(name)), [name]);
  useShortcuts({
    "?": () => showDialogue({ kind: "help" }),
    ...Object.fromEntries(PAGES.map(({ key, path }) => [key, () => go(hrefOf(path))])),
  });
  return html`
    <a class="skip" href="#main">${t("skip")}</a>
    <${Bar} page=${page} />
    <${Banner} />
    <main id="main" class="main" tabindex="-1"><${Guarded} key=${page} page=${component} /></main>
    <${Announcer} />
    <div class="frame-toasts"><${Toasts} /></div>
    <${DropZone} />
    ${open && html`<${Dialogues} />`}
  `;
}

/** @param {{page: string}} props */
const Bar = ({ page }) => html`
  <header class="bar">
    <a class="brand" href=${hrefOf("")} data-internal>
      <img src=${new URL("favicons/idle.svg", ASSETS).href} alt="" width="26" height="26" />CyberImage
    </a>
    <nav class="tabs" aria-label=${t("nav")}>
      ${PAGES.map(
        ({ path, icon, name }) => html`
          <a href=${hrefOf(path)} key=${path} data-internal aria-current=${path === page ? "page" : undefined}>
            <${Icon} name=${icon} />${t(name)}${path === "queue" && html`<${OpenJobs} />`}
          </a>
        `,
      )}
    </nav>
    <div class="bar-end">
      <${IconButton} icon="help" label=${t("help")} onClick=${() => showDialogue({ kind: "help" })} />
      <${SettingsMenu} />
    </div>
  </header>
`;

function OpenJobs() {
  const count = useStore(queue, (state) => (state ? state.pending + state.processing : 0));
  if (count === 0) return null;
  return html`<span class="badge" aria-label=${t("queue.open", { count })}>${count > 999 ? "999+" : count}</span>`;
}

function Banner() {
  const state = useStore(connection);
  const paused = useStore(queue, (told) => told?.paused ?? false);
  if (state === "away") {
    return html`<div class="banner" role="alert"><${Icon} name="away" small />${t("away")}</div>`;
  }
  if (!paused) return null;
  return html`<div class="banner notice" role="status"><${Icon} name="pause" small />${t("queue.isPaused")}</div>`;
}

const Announcer = () => html`<p class="visually-hidden" role="status">${useStore(announced)}</p>`;

/** @param {{page: import("../vendor/htm-preact.js").Component}} props */
function Guarded({ page }) {
  const [error, reset] = useErrorBoundary((broken) => console.error(broken));
  if (!error) return html`<${page} />`;
  return html`
    <div class="empty" role="alert">
      <${Icon} name="alert" />
      <h2>${t("broken")}</h2>
      <p>${error.message}</p>
      <button class="button" type="button" onClick=${reset}>${t("again")}</button>
    </div>
  `;
}
