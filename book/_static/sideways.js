// What scrolls sideways fades at its right edge as long as there is more behind it.
(() => {
  const look = (part) => part.classList.toggle("eb-more", part.scrollWidth - part.clientWidth - part.scrollLeft > 4);
  const sizes = new ResizeObserver((changes) => changes.forEach(({ target }) => look(target)));
  const watch = (selector) => {
    for (const part of document.querySelectorAll(selector)) {
      part.addEventListener("scroll", () => look(part), { passive: true });
      sizes.observe(part);
    }
  };
  watch(".bd-article :is(.cell_output, .eb-scroll, .eb-grid-table, .pst-scrollable-table-container)");
  // Formulas are there once MathJax has set them, which is loaded after this script.
  window.addEventListener("load", async () => {
    await window.MathJax?.startup?.promise;
    watch('.bd-article mjx-container[display="true"]');
  });
})();
