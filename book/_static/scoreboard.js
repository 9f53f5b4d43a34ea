// Filters of the scoreboard: by verdict and by text. Without this script the whole table is shown.
(() => {
  const setUp = (board) => {
    const toolbar = board.querySelector(".eb-toolbar");
    const buttons = [...toolbar.querySelectorAll(".eb-filter")];
    const input = toolbar.querySelector("input");
    const shown = toolbar.querySelector(".eb-shown");
    const empty = board.querySelector(".eb-empty");
    const bodies = [...board.querySelectorAll("tbody")].map((body) => ({
      body,
      heading: body.querySelector(".eb-paper").textContent.toLowerCase(),
      rows: [...body.querySelectorAll(".eb-row")],
    }));
    const total = bodies.reduce((sum, { rows }) => sum + rows.length, 0);
    let verdict = "";

    const apply = () => {
      const text = input.value.trim().toLowerCase();
      let visible = 0;
      for (const { body, heading, rows } of bodies) {
        let here = 0;
        for (const row of rows) {
          const fits =
            (!verdict || row.dataset.verdict === verdict) &&
            (!text || heading.includes(text) || row.textContent.toLowerCase().includes(text));
          row.hidden = !fits;
          here += fits;
        }
        body.hidden = here === 0;
        visible += here;
      }
      for (const button of buttons) {
        button.setAttribute("aria-pressed", String(button.dataset.verdict === verdict));
      }
      shown.textContent = `${visible} of ${total} rows shown`;
      empty.hidden = visible > 0;
    };

    const remember = () => {
      const state = new URLSearchParams();
      if (verdict) state.set("verdict", verdict);
      if (input.value.trim()) state.set("text", input.value.trim());
      const hash = state.toString();
      history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
    };

    const recall = () => {
      const state = new URLSearchParams(location.hash.slice(1));
      const named = state.get("verdict");
      if (named === null && !state.has("text")) return;
      verdict = buttons.some((button) => button.dataset.verdict === named) ? named : "";
      input.value = state.get("text") || "";
    };

    for (const button of buttons) {
      button.addEventListener("click", () => {
        verdict = button.dataset.verdict;
        apply();
        remember();
      });
    }
    input.addEventListener("input", () => {
      apply();
      remember();
    });
    window.addEventListener("hashchange", () => {
      recall();
      apply();
    });
    recall();
    toolbar.hidden = false;
    apply();
  };

  document.querySelectorAll(".eb-scoreboard").forEach(setUp);
})();
