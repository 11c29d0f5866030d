/** Two soft notes when a job is done, a low one when it has failed. */
import { keep, recall } from "../core/kept.js";

const DONE_HZ = [659.3, 987.8];
const FAILED_HZ = [220];
const NOTE_S = 0.16;
/** Several tabs hear of the same end: one of them sounds. So many ends at once sound once. */
const APART_MS = 1200;

/** @type {AudioContext | undefined} */
let context;

/** @param {boolean} failed */
export function chime(failed) {
  const now = Date.now();
  if (now - recall("chimed", 0) < APART_MS) return;
  keep("chimed", now);
  context ??= new AudioContext();
  void context.resume(); // Browsers hold it until the page has been used.
  (failed ? FAILED_HZ : DONE_HZ).forEach(note);
}

/**
 * @param {number} hertz
 * @param {number} place
 */
function note(hertz, place) {
  if (!context) return;
  const from = context.currentTime + place * NOTE_S;
  const tone = new OscillatorNode(context, { frequency: hertz });
  const volume = new GainNode(context, { gain: 0 });
  volume.gain.setValueAtTime(0, from);
  volume.gain.linearRampToValueAtTime(0.12, from + 0.02);
  volume.gain.exponentialRampToValueAtTime(0.001, from + 3 * NOTE_S);
  tone.connect(volume).connect(context.destination);
  tone.start(from);
  tone.stop(from + 3 * NOTE_S);
}
