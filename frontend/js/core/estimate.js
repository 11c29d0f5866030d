/**
 * How long a job will take, from the model's last completed ones: as long as the one nearest in size, by steps
 * times pixels.
 *
 * @import {Job, Model, Settings} from "../types.js"
 */
import { useEffect, useState } from "../../vendor/htm-preact.js";
import * as api from "./api.js";
import { onJobChange } from "./jobs.js";

const KEPT = 12;

/** @type {Map<string, Job[]>} */
const ended = new Map();

/**
 * Seconds of the run alone; null while nothing is known.
 *
 * @param {Model} model
 * @param {Settings} settings
 */
export function useEstimate(model, settings) {
  const [known, setKnown] = useState(ended.get(model.name) ?? []);
  useEffect(() => {
    let here = true;
    /** @param {readonly Job[]} news */
    const add = (news) => {
      const held = ended.get(model.name) ?? [];
      const ids = new Set(held.map(({ id }) => id));
      ended.set(model.name, [...news.filter(({ id }) => !ids.has(id)), ...held].slice(0, KEPT));
      if (here) setKnown(ended.get(model.name) ?? []);
    };
    setKnown(ended.get(model.name) ?? []);
    if (!ended.has(model.name))
      api.jobs({ status: "completed", model: model.name, limit: KEPT }).then(
        ({ jobs }) => add(jobs),
        () => {}, // The banner tells that the server is away.
      );
    const stop = onJobChange(
      (job) => job.model_id === model.name && job.status === "completed" && add([job]),
    );
    return () => {
      here = false;
      stop();
    };
  }, [model.name]);
  return secondsOf(known, settings);
}

/**
 * @param {readonly Job[]} known
 * @param {Settings} settings
 */
function secondsOf(known, settings) {
  const wanted = workOf(settings);
  const measured = known.flatMap(({ settings: made, run_seconds, batch_size }) =>
    run_seconds ? [{ work: workOf(made) * (batch_size ?? 1), seconds: run_seconds }] : [],
  );
  if (measured.length === 0) return null;
  const apart = (/** @type {number} */ work) => Math.abs(Math.log(work / wanted));
  const nearest = measured.reduce((best, one) => (apart(one.work) < apart(best.work) ? one : best));
  return (nearest.seconds * wanted) / nearest.work;
}

/** @param {Settings} settings */
const workOf = ({ width = 1, height = 1, num_inference_steps = 1, num_frames = 1, num_images = 1 }) =>
  width * height * num_inference_steps * num_frames * num_images;
