"use strict";
// What a mark says, at the pointer or, by the arrow keys, at the mark; and series that come and go.
(() => {
  const tip = document.getElementById("tip");
  let marked = null;
  let byKey = false;

  function say(mark, x, y) {
    if (marked) marked.classList.remove("on");
    marked = mark;
    tip.hidden = !mark;
    if (!mark) return;
    mark.classList.add("on");
    if (tip.textContent !== mark.dataset.tip) tip.textContent = mark.dataset.tip;
    const left = Math.min(x + 14, document.documentElement.clientWidth - tip.offsetWidth - 8);
    const above = y - tip.offsetHeight - 14;
    tip.style.left = Math.max(8, left) + "px";
    tip.style.top = (above < 8 ? y + 18 : above) + "px";
  }

  function sayAtMark(mark) {
    const box = mark.getBoundingClientRect();
    say(mark, box.x + box.width / 2, box.y + Math.min(box.height / 2, 60));
    byKey = true;
  }

  function sayAtPointer(event) {
    say(event.target.closest("[data-tip]"), event.clientX, event.clientY);
    byKey = false;
  }

  for (const picture of document.querySelectorAll(".picture")) {
    picture.addEventListener("pointermove", sayAtPointer);
    picture.addEventListener("pointerdown", sayAtPointer);
    picture.addEventListener("pointerleave", () => byKey || say(null));
    picture.addEventListener("blur", () => say(null));
    picture.addEventListener("keydown", (event) => {
      const marks = [...picture.querySelectorAll("[data-tip]")].filter((mark) => !mark.closest(".off"));
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") say(null);
      if (!step || !marks.length) return;
      event.preventDefault();
      const at = marks.indexOf(marked);
      const first = step > 0 ? 0 : marks.length - 1;
      sayAtMark(marks[at < 0 ? first : (at + step + marks.length) % marks.length]);
    });
  }
  const follow = () => marked && (byKey ? sayAtMark(marked) : say(null));
  addEventListener("scroll", follow, { passive: true, capture: true });

  // A table that fits need not be stopped at on the way by the tabulator key.
  const scrollable = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const fits = target.scrollWidth <= target.clientWidth && target.scrollHeight <= target.clientHeight;
      target.tabIndex = fits ? -1 : 0;
    }
  });
  for (const box of document.querySelectorAll(".scroll, pre")) scrollable.observe(box);

  for (const button of document.querySelectorAll(".legend button")) {
    button.addEventListener("click", () => {
      const shown = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(shown));
      for (const mark of button.closest("figure").querySelectorAll(".picture ." + button.dataset.series)) {
        mark.classList.toggle("off", !shown);
      }
    });
  }
})();
