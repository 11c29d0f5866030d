import { html, useState } from "../../vendor/htm-preact.js";
import { previewUrl } from "../core/api.js";

/**
 * What a running job is going to make, as far as that shows. The picture before stays until the next is there; one
 * that cannot be fetched, since the job has just ended, hides it.
 *
 * @param {{job: import("../types.js").Job, alt: string}} props
 */
export function Preview({ job, alt }) {
  const { preview } = job.progress;
  const [missing, setMissing] = useState(0);
  if (!preview) return null;
  return html`
    <img
      class="preview"
      src=${previewUrl(job.id, preview)}
      alt=${alt}
      hidden=${missing === preview}
      onError=${() => setMissing(preview)}
    />
  `;
}
