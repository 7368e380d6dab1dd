"use strict";
// What a mark says, at the pointer or, by the arrow keys, at the mark; and series that come and go.
(() => {
  const tip = document.getElementById("tip");
  let marked = null;

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

  for (const picture of document.querySelectorAll(".picture")) {
    const point = (event) => say(event.target.closest("[data-tip]"), event.clientX, event.clientY);
    picture.addEventListener("pointermove", point);
    picture.addEventListener("pointerdown", point);
    picture.addEventListener("pointerleave", () => say(null));
    picture.addEventListener("blur", () => say(null));
    picture.addEventListener("keydown", (event) => {
      const marks = [...picture.querySelectorAll("[data-tip]")].filter((mark) => !mark.closest(".off"));
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") say(null);
      if (!step || !marks.length) return;
      event.preventDefault();
      const at = marks.indexOf(marked);
      const mark = marks[at < 0 ? (step > 0 ? 0 : marks.length - 1) : (at + step + marks.length) % marks.length];
      const box = mark.getBoundingClientRect();
      say(mark, box.x + box.width / 2, box.y + Math.min(box.height / 2, 60));
    });
  }
  addEventListener("scroll", () => say(null), { passive: true });

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
