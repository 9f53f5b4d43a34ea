// The picture of all claims: what a tile says stands beside it while it is pointed at or has the focus.
// Without this script it is the tile's title.
(() => {
  for (const picture of document.querySelectorAll(".eb-picture")) {
    const tip = document.createElement("p");
    tip.className = "eb-tip";
    tip.id = "eb-tip";
    tip.setAttribute("role", "tooltip");
    tip.hidden = true;
    picture.append(tip);

    const show = (tile) => {
      tip.textContent = tile.dataset.says;
      tip.hidden = false;
      const at = tile.getBoundingClientRect();
      const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
      tip.style.left = `${Math.max(8, Math.min(at.left, room))}px`;
      const above = at.bottom + tip.offsetHeight + 8 > window.innerHeight;
      tip.style.top = `${above ? at.top - tip.offsetHeight - 6 : at.bottom + 6}px`;
    };
    const hide = () => {
      tip.hidden = true;
    };

    for (const tile of picture.querySelectorAll(".eb-tile[title]")) {
      tile.dataset.says = tile.title;
      tile.setAttribute("aria-label", tile.title);
      tile.removeAttribute("title");
      tile.addEventListener("pointerenter", () => show(tile));
      tile.addEventListener("pointerleave", hide);
      tile.addEventListener("focus", () => show(tile));
      tile.addEventListener("blur", hide);
    }
    picture.addEventListener("keydown", (event) => {
      if (event.key === "Escape") hide();
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const tiles = [...picture.querySelectorAll("a.eb-tile")];
      const next = tiles[tiles.indexOf(document.activeElement) + step];
      if (next) {
        next.focus();
        event.preventDefault();
      }
    });
    window.addEventListener("scroll", hide, { passive: true });
  }
})();
