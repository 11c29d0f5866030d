import { html } from "../../vendor/htm-preact.js";
import { t } from "../core/i18n.js";
import { Composer } from "./composer.js";
import { Feed } from "./feed.js";

export const GeneratePage = () => html`
  <h1 class="visually-hidden">${t("nav.generate")}</h1>
  <div class="generate">
    <${Composer} />
    <${Feed} />
  </div>
`;
