import { html, render } from "../vendor/htm-preact.js";
import { preferredLanguage, setLanguage } from "./core/i18n.js";
import { start } from "./core/live.js";
import { keepWarmthTrue, loadModels } from "./core/models.js";
import { startNotices } from "./core/notices.js";
import { followLinks } from "./core/router.js";
import { App } from "./app.js";

loadModels().catch(() => {}); // The banner tells that the server is away; coming back loads them.
start();
keepWarmthTrue();
startNotices();
followLinks();
void setLanguage(preferredLanguage()).then(() =>
  render(html`<${App} />`, /** @type {Element} */ (document.getElementById("app"))),
);
