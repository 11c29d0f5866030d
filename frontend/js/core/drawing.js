const FIRST_FRAME_MS = 100;

/**
 * For what takes time and need not be there when the page can first be used.
 *
 * @param {() => void} run
 */
export const afterDrawing = (run) => void setTimeout(run, FIRST_FRAME_MS);
