/**
 * Hand a file to the person's downloads.
 *
 * @param {Blob} blob
 * @param {string} name
 */
export function save(blob, name) {
  const href = URL.createObjectURL(blob);
  saveFrom(href, name);
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}

/**
 * @param {string} href
 * @param {string} name
 */
export function saveFrom(href, name) {
  const link = document.createElement("a");
  link.href = href;
  link.download = name;
  link.click();
}
