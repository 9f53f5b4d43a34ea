// What scrolls sideways fades at its right edge as long as there is more behind it.
(() => {
  const parts = document.querySelectorAll(
    ".bd-article :is(.cell_output, .eb-scroll, .eb-grid-table, .pst-scrollable-table-container)",
  );
  const look = (part) => part.classList.toggle("eb-more", part.scrollWidth - part.clientWidth - part.scrollLeft > 4);
  const sizes = new ResizeObserver((changes) => changes.forEach(({ target }) => look(target)));
  for (const part of parts) {
    part.addEventListener("scroll", () => look(part), { passive: true });
    sizes.observe(part);
  }
})();
