"use strict";
// What fits need not be stopped at on the way by the tabulator key.
const scrollable = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const fits = target.scrollWidth <= target.clientWidth && target.scrollHeight <= target.clientHeight;
    target.tabIndex = fits ? -1 : 0;
  }
});
for (const box of document.querySelectorAll(".scroll, .picture, pre")) scrollable.observe(box);
