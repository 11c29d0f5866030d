import { html } from "../../vendor/htm-preact.js";
import { useStore } from "../core/store.js";
import { closeDialogue, dialogue } from "../ui/dialogues.js";
import { AnimateDialogue } from "./animate.js";
import { DroppedDialogue } from "./dropped.js";
import { HelpDialogue } from "./help.js";
import { ListsDialogue } from "./lists.js";

/** The dialogue that is open. */
export function Dialogues() {
  const open = useStore(dialogue);
  switch (open?.kind) {
    case "help":
      return html`<${HelpDialogue} onClose=${closeDialogue} />`;
    case "lists":
      return html`<${ListsDialogue} name=${open.name} onClose=${closeDialogue} />`;
    case "animate":
      return html`<${AnimateDialogue} key=${open.source.id} source=${open.source} made=${open.made} replaces=${open.replaces} onClose=${closeDialogue} />`;
    case "dropped":
      return html`<${DroppedDialogue} file=${open.file} made=${open.made} onClose=${closeDialogue} />`;
    default:
      return null;
  }
}
