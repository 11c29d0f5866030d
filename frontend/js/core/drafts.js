/**
 * What the form holds. It is kept for each model, and the prompt apart from it.
 *
 * @import {Model, Settings, Metadata} from "../types.js"
 */
import { useMemo } from "../../vendor/htm-preact.js";
import { createStore, useStore } from "./store.js";
import { keep, recall } from "./kept.js";
import { drawSeed, snap, stepsRange } from "./limits.js";

/**
 * @typedef {object} Draft
 * @property {number} width
 * @property {number} height
 * @property {number} steps
 * @property {number} guidance
 * @property {number} count
 * @property {number} frames
 * @property {number} fps
 * @property {number} seed
 * @property {boolean} seedLocked
 * @property {string} negativePrompt
 */

/** The prompt that is being written, and the model it is for; "" for the default one. */
export const prompt = createStore(recall("prompt", ""));
export const modelName = createStore(recall("model", ""));
export const keepsPrompt = createStore(recall("keepPrompt", true));

prompt.watch((text) => keep("prompt", text));
modelName.watch((name) => keep("model", name));
keepsPrompt.watch((kept) => keep("keepPrompt", kept));

/** Drafts by model, so that every component shows the same one. */
const drafts = createStore(/** @type {Readonly<Record<string, Draft>>} */ ({}));
export { drafts };

/**
 * @param {Model} model
 * @returns {Draft}
 */
export const defaultsOf = ({ step_config: c, default_negative_prompt }) => ({
  width: c.width.default,
  height: c.height.default,
  steps: stepsRange(c).default,
  guidance: c.guidance.default,
  count: 1,
  frames: c.frames?.default ?? 0,
  fps: c.fps?.default ?? 0,
  seed: drawSeed(),
  seedLocked: false,
  negativePrompt: default_negative_prompt,
});

/**
 * The model's draft: of this visit, else what was last chosen, made legal again.
 *
 * @param {Model} model
 * @param {Readonly<Record<string, Draft>>} held
 */
export const draftOf = (model, held) => held[model.name] ?? restore(model);

/**
 * The model's draft; the component is drawn again when it changes.
 *
 * @param {Model} model
 */
export function useDraft(model) {
  const held = useStore(drafts, (all) => all[model.name]);
  const restored = useMemo(() => restore(model), [model.name]);
  return held ?? restored;
}

/** @param {Model} model */
function restore(model) {
  const draft = legal(model, { ...defaultsOf(model), ...recall(`draft.${model.name}`, {}) });
  return draft.seedLocked ? draft : { ...draft, seed: drawSeed() };
}

/**
 * @param {Model} model
 * @param {Draft} draft
 * @returns {Draft}
 */
export function legal({ step_config: c }, draft) {
  return {
    ...draft,
    width: snap(c.width, draft.width),
    height: snap(c.height, draft.height),
    steps: snap(stepsRange(c), draft.steps),
    guidance: snap(c.guidance, draft.guidance),
    count: snap(c.num_images, draft.count),
    frames: c.frames ? snap(c.frames, draft.frames) : 0,
    fps: c.fps ? snap(c.fps, draft.fps) : 0,
  };
}

/**
 * @param {Model} model
 * @param {Partial<Draft>} changes
 */
export function changeDraft(model, changes) {
  const draft = { ...draftOf(model, drafts.get()), ...changes };
  drafts.set((held) => ({ ...held, [model.name]: draft }));
  keep(`draft.${model.name}`, draft);
}

/**
 * @param {Model} model
 * @param {Draft} draft
 * @returns {Settings}
 */
export function settingsOf(model, draft) {
  const { width, height, seed, frames, fps, count } = legal(model, draft);
  const shared = { width, height, seed, num_inference_steps: draft.steps, guidance_scale: draft.guidance };
  return model.type === "image" ? { ...shared, num_images: count } : { ...shared, num_frames: frames, fps };
}

/**
 * The draft that makes this medium again, or something like it.
 *
 * @param {Model} model
 * @param {Metadata} made
 * @returns {Partial<Draft>}
 */
export function draftFrom(model, { settings = {}, negative_prompt, seed }) {
  const { width, height, num_inference_steps, guidance_scale, num_frames, fps } = settings;
  const given = {
    width,
    height,
    steps: num_inference_steps,
    guidance: guidance_scale,
    frames: num_frames,
    fps,
  };
  const known = Object.fromEntries(Object.entries(given).filter(([, value]) => typeof value === "number"));
  const used = typeof seed === "number" ? { seed, seedLocked: true } : {};
  const text = typeof negative_prompt === "string" ? { negativePrompt: negative_prompt } : {};
  return legal(model, { ...defaultsOf(model), count: 1, ...known, ...used, ...text });
}
