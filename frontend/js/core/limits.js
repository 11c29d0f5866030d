/**
 * Arithmetic on a model's limits.
 *
 * @import {Range, StepConfig} from "../types.js"
 */

/**
 * The legal value nearest to this one.
 *
 * @param {Range} range
 * @param {number} value
 */
export function snap(range, value) {
  const step = range.step || 1;
  const within = Math.min(range.max, Math.max(range.min, Number.isFinite(value) ? value : range.default));
  const snapped = range.min + Math.round((within - range.min) / step) * step;
  return tidy(snapped > range.max ? snapped - step : snapped);
}

/** @param {number} value */
const tidy = (value) => Number(value.toFixed(4));

/** Aspects offered as presets, as width : height. */
export const ASPECTS = [
  [1, 1],
  [4, 3],
  [3, 4],
  [3, 2],
  [2, 3],
  [16, 9],
  [9, 16],
];

/**
 * The legal size of that aspect with about so many pixels, and no more than the model makes.
 *
 * @param {StepConfig} config
 * @param {number} aspect width / height
 * @param {number} pixels
 * @returns {{width: number, height: number}}
 */
export function sizeOf(config, aspect, pixels) {
  const wanted = Math.min(pixels, config.max_pixels);
  let width = snap(config.width, Math.sqrt(wanted * aspect));
  let height = snap(config.height, width / aspect);
  while (width * height > config.max_pixels) {
    if (width > height && width > config.width.min) width -= config.width.step || 1;
    else if (height > config.height.min) height -= config.height.step || 1;
    else break;
  }
  return { width, height };
}

/** @param {StepConfig} config */
export const defaultPixels = (config) => config.width.default * config.height.default;

/**
 * Whether two sizes have the same shape, as near as multiples allow.
 *
 * @param {{width: number, height: number}} a
 * @param {{width: number, height: number}} b
 */
export const sameSize = (a, b) => a.width === b.width && a.height === b.height;

/** @param {StepConfig} config */
export const stepsRange = (config) =>
  config.steps ?? {
    min: config.fixed_steps ?? 1,
    max: config.fixed_steps ?? 1,
    default: config.fixed_steps ?? 1,
  };

/** Seeds that are drawn: 32 bits, as the server draws them. */
export const drawSeed = () => crypto.getRandomValues(new Uint32Array(1))[0];
