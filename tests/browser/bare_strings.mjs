/**
 * Words that people see belong into the message files: finds those that stand in the page's templates, and
 * messages that nothing uses.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const FOLDER = fileURLToPath(new URL("../../frontend/js", import.meta.url));
const MESSAGES = "messages/en.js";
/** Names that are the same in every language. */
const NAMES = new Set(["CyberImage", "Ctrl ↵"]);
/** Attributes that are read out or shown. */
const SPOKEN = /\s(?:aria-label|aria-valuetext|alt|placeholder|title|text|label)="([^"$]*\p{L}[^"$]*)"/gu;

const sources = readdirSync(FOLDER, { recursive: true })
  .filter((path) => path.endsWith(".js") && path !== MESSAGES && path !== "later/de.js")
  .map((path) => ({ path, text: readFileSync(join(FOLDER, path), "utf8") }));

const troubles = [...sources.flatMap(bareStrings), ...unusedMessages()];
for (const trouble of troubles) console.error(trouble);
process.exit(troubles.length === 0 ? 0 : 1);

function bareStrings({ path, text }) {
  return templatesOf(text).flatMap((template) => {
    const between = [...template.matchAll(/>([^<>]*\p{L}[^<>]*)</gu)].map(([, words]) => words.trim());
    const spoken = [...template.matchAll(SPOKEN)].map(([, words]) => words);
    const bare = [...between, ...spoken].filter((words) => !NAMES.has(words));
    return bare.map((words) => `${relative(".", join(FOLDER, path))}: "${words}" bypasses the message files`);
  });
}

/** The templates, each without what it fills in; those inside others are found, too. */
function templatesOf(text) {
  const found = [];
  for (const { index } of text.matchAll(/html`/g)) found.push(templateAt(text, index + "html`".length));
  return found;
}

function templateAt(text, from) {
  let kept = "";
  for (let at = from; text[at] !== "`"; at += 1) {
    if (text.startsWith("${", at)) at = endOfHole(text, at + 2);
    else kept += text[at];
  }
  return kept;
}

/** Where the brace closes that was opened before `from`, past strings and templates. */
function endOfHole(text, from) {
  for (let at = from; ; at += 1) {
    if (text[at] === "}") return at;
    if (text[at] === "{") at = endOfHole(text, at + 1);
    else if (text[at] === '"') at = text.indexOf('"', at + 1);
    else if (text[at] === "`") at = endOfTemplate(text, at + 1);
  }
}

function endOfTemplate(text, from) {
  for (let at = from; ; at += 1) {
    if (text[at] === "`") return at;
    if (text.startsWith("${", at)) at = endOfHole(text, at + 2);
  }
}

/** A key counts as used where it, or its beginning before a filled-in part, stands in the code. */
function unusedMessages() {
  const code = sources.map(({ text }) => text).join("\n");
  const messages = readFileSync(join(FOLDER, MESSAGES), "utf8");
  const keys = [...messages.matchAll(/^ {2}"?([\w.-]+)"?:/gm)].map(([, key]) => key);
  const begun = [...code.matchAll(/`([\w-]+\.)\$\{/g)].map(([, prefix]) => prefix);
  return keys
    .filter((key) => !code.includes(`"${key}"`) && !begun.some((prefix) => key.startsWith(prefix)))
    .map((key) => `${MESSAGES}: nothing says "${key}"`);
}
