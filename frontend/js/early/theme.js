// Before the first paint, so that a chosen theme does not flash in the other one.
"use strict";
try {
  const theme = localStorage.getItem("cyberimage.theme");
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch {
  // Storage is blocked: the system's theme it is.
}
