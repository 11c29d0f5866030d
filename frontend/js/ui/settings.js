import { html } from "../../vendor/htm-preact.js";
import { LANGUAGES, language, setLanguage, t } from "../core/i18n.js";
import { notifies, onlyAtLast, setNotifies, setOnlyAtLast, setSounds, sounds } from "../core/notices.js";
import { useStore } from "../core/store.js";
import { setTheme, theme } from "../core/theme.js";
import { toast } from "../core/toasts.js";
import { Segments, Switch } from "./controls.js";
import { Icon } from "./icon.js";

/** The button of the page's own settings, with their menu. */
export function SettingsMenu() {
  return html`
    <button class="icon-button" type="button" popovertarget="settings-menu" aria-label=${t("settings")} title=${t("settings")}>
      <${Icon} name="settings" />
    </button>
    <div id="settings-menu" class="menu settings-menu" popover="auto" role="group" aria-label=${t("settings")}>
      <${ThemeChoice} />
      <${LanguageChoice} />
      <${NotifyChoice} />
    </div>
  `;
}

function ThemeChoice() {
  const chosen = useStore(theme);
  const options = [
    { value: "system", text: t("theme.system"), icon: "screen" },
    { value: "light", text: t("theme.light"), icon: "sun" },
    { value: "dark", text: t("theme.dark"), icon: "moon" },
  ];
  return html`
    <div class="field">
      <span class="label">${t("theme")}</span>
      <${Segments} wide label=${t("theme")} options=${options} value=${chosen} onChange=${setTheme} />
    </div>
  `;
}

function LanguageChoice() {
  const chosen = useStore(language);
  const options = Object.entries(LANGUAGES).map(([value, text]) => ({ value, text }));
  return html`
    <div class="field">
      <span class="label">${t("language")}</span>
      <${Segments}
        wide
        label=${t("language")}
        options=${options}
        value=${chosen}
        onChange=${(/** @type {string} */ tag) => setLanguage(tag, { remember: true })}
      />
    </div>
  `;
}

function NotifyChoice() {
  const on = useStore(notifies);
  /** @param {boolean} wanted */
  const change = async (wanted) => {
    if (!(await setNotifies(wanted))) toast(t("notify.denied"), { tone: "error" });
  };
  const sound = useStore(sounds);
  const last = useStore(onlyAtLast);
  return html`
    <${Switch} label=${t("notify")} checked=${on} onChange=${change} />
    <${Switch} label=${t("sound")} checked=${sound} onChange=${setSounds} />
    ${(on || sound) && html`<${Switch} label=${t("notify.last")} checked=${last} onChange=${setOnlyAtLast} />`}
  `;
}
