// The scoreboard: filters, search, sorting, and downloads of what is shown; its state stands in the address.
// Without this script the whole table stands, and the links lead to files with all verdicts.
(() => {
  const SELECTS = ["paper", "year", "wing", "kind", "source", "size"];

  const setUp = (board) => {
    const toolbar = board.querySelector(".eb-toolbar");
    const table = board.querySelector(".eb-board");
    const buttons = [...toolbar.querySelectorAll(".eb-filter")];
    const selects = Object.fromEntries([...toolbar.querySelectorAll("select")].map((one) => [one.dataset.filter, one]));
    const input = toolbar.querySelector("input");
    const shown = toolbar.querySelector(".eb-shown");
    const empty = board.querySelector(".eb-empty");
    const what = board.querySelector(".eb-what");
    const bodies = [...table.tBodies].map((body) => {
      const heading = body.dataset.title.toLowerCase();
      const rows = [...body.querySelectorAll(".eb-row")].map((row) => ({ row, text: row.textContent.toLowerCase() }));
      return { body, rows: rows.map((one) => ({ ...one, wide: `${heading} ${one.text}` })) };
    });
    const all = bodies.flatMap(({ rows }) => rows);
    const flat = document.createElement("tbody"); // where rows of all papers stand together when they are sorted
    flat.className = "eb-flat";
    const heads = [...table.tHead.rows[0].cells];
    let verdict = "";
    let falling = false;

    const key = (row, name) => {
      if (name === "id") return row.id;
      const value = row.dataset[`sort${name[0].toUpperCase()}${name.slice(1)}`];
      return value === undefined ? null : Number(value);
    };
    const compare = (name) => (a, b) => {
      const [first, second] = [key(a.row, name), key(b.row, name)];
      if (first === null || second === null) return (first === null) - (second === null); // what has none comes last
      const order = name === "id" ? first.localeCompare(second, "en", { numeric: true }) : first - second;
      return falling ? -order : order;
    };

    const arrange = () => {
      const name = selects.sort.value;
      for (const head of heads) {
        head.setAttribute("aria-sort", head.dataset.key !== name ? "none" : falling ? "descending" : "ascending");
      }
      if (name) {
        flat.append(...[...all].sort(compare(name)).map(({ row }) => row));
        table.append(flat);
      } else {
        for (const { body, rows } of bodies) body.append(...rows.map(({ row }) => row));
        flat.remove();
      }
    };

    const apply = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      const says = (text) => words.every((word) => text.includes(word));
      const narrow = all.some(({ text }) => says(text)); // else the words may stand in the title of a paper
      const fits = ({ row, text, wide }) =>
        SELECTS.every((name) => !selects[name].value || row.dataset[name] === selects[name].value) &&
        says(narrow ? text : wide);
      const left = new Set(all.filter(fits).map(({ row }) => row)); // by all filters but that of words
      const counts = {};
      for (const { dataset } of left) counts[dataset.verdict] = (counts[dataset.verdict] ?? 0) + 1;
      let [visible, run] = [0, 0];
      for (const { body, rows } of bodies) {
        let here = 0;
        for (const one of rows) {
          one.row.hidden = !left.has(one.row) || Boolean(verdict && one.row.dataset.verdict !== verdict);
          here += !one.row.hidden;
          run += !one.row.hidden && one.row.dataset.run === "yes";
        }
        body.hidden = here === 0 || Boolean(selects.sort.value);
        visible += here;
      }
      for (const button of buttons) {
        const word = button.dataset.verdict;
        button.setAttribute("aria-pressed", String(word === verdict));
        button.querySelector(".eb-count").textContent = word ? (counts[word] ?? 0) : left.size;
      }
      shown.textContent = `${visible} of ${all.length} rows shown`;
      const some = `the ${visible} verdict${visible === 1 ? "" : "s"} shown`;
      what.textContent = visible === all.length ? "all verdicts" : some;
      board.querySelector(".eb-run").textContent = run;
      empty.hidden = visible > 0;
    };

    const remember = () => {
      const state = new URLSearchParams();
      if (verdict) state.set("verdict", verdict);
      for (const [name, select] of Object.entries(selects)) if (select.value) state.set(name, select.value);
      if (selects.sort.value && falling) state.set("order", "falling");
      if (input.value.trim()) state.set("text", input.value.trim());
      const hash = state.toString();
      history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
    };

    const recall = () => {
      if (!location.hash.includes("=")) return reveal();
      const state = new URLSearchParams(location.hash.slice(1));
      verdict = buttons.some((button) => button.dataset.verdict === state.get("verdict")) ? state.get("verdict") : "";
      for (const [name, select] of Object.entries(selects)) {
        const known = [...select.options].some((option) => option.value === state.get(name));
        select.value = known ? state.get(name) : "";
      }
      falling = state.get("order") === "falling";
      input.value = state.get("text") || "";
    };

    // A link to a row shows it, whatever is filtered.
    const reveal = () => {
      const row = document.getElementById(decodeURIComponent(location.hash.slice(1)));
      if (row && row.hidden && board.contains(row)) clear();
    };

    const clear = () => {
      verdict = "";
      input.value = "";
      falling = false;
      for (const select of Object.values(selects)) select.value = "";
    };

    const change = () => {
      arrange();
      apply();
      remember();
    };

    for (const button of buttons) {
      button.addEventListener("click", () => {
        verdict = button.dataset.verdict;
        change();
      });
    }
    for (const select of Object.values(selects)) {
      select.addEventListener("change", () => {
        if (select === selects.sort) falling = false;
        change();
      });
    }
    for (const head of heads) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "eb-sort";
      button.title = `Sort by ${head.textContent.toLowerCase()}`;
      button.append(...head.childNodes);
      head.append(button);
      // The first press sorts up, the second down, the third leaves the order of the ledgers.
      button.addEventListener("click", () => {
        const same = selects.sort.value === head.dataset.key;
        selects.sort.value = same && falling ? "" : head.dataset.key;
        falling = same && !falling;
        change();
      });
    }
    toolbar.querySelector(".eb-reset").addEventListener("click", () => {
      clear();
      change();
    });
    input.addEventListener("input", () => {
      apply();
      remember();
    });
    window.addEventListener("hashchange", () => {
      recall();
      arrange();
      apply();
    });
    for (const link of board.querySelectorAll(".eb-download")) {
      link.addEventListener("click", async (event) => {
        event.preventDefault();
        const ids = [...table.querySelectorAll(".eb-row")].filter((row) => !row.hidden).map((row) => row.id);
        const text = put(await verdicts(link), link.dataset.format, ids);
        save(text, link.download);
      });
    }
    recall();
    toolbar.hidden = false;
    toolbar.querySelector("details").open = window.matchMedia("(min-width: 1001px)").matches || location.hash.includes("=");
    arrange();
    apply();
    if (location.hash && !location.hash.includes("=")) document.getElementById(location.hash.slice(1))?.scrollIntoView();
  };

  // All verdicts in pieces, loaded when the first of them is asked for.
  let loading = null;
  const verdicts = (link) => {
    loading ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = new URL("verdicts.js", link.href).href;
      script.onload = () => resolve(window.edgebookVerdicts);
      script.onerror = reject;
      document.head.append(script);
    });
    return loading;
  };

  const put = ({ head, rows }, format, ids) => {
    const pieces = ids.map((id) => rows[id][["json", "csv", "bib"].indexOf(format)]).filter(Boolean);
    if (format === "json") return `[\n${pieces.join(",\n")}\n]\n`;
    return format === "csv" ? head + pieces.join("") : pieces.join("\n");
  };

  const save = (text, name) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/plain;charset=utf-8" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };

  document.querySelectorAll(".eb-scoreboard").forEach(setUp);
})();
