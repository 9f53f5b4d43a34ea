// Two calculators: speculative decoding between edge and cloud, and the energy of spikes.
// The formulas are those of src/edgebook/decoding/costs.py and src/edgebook/measure/energy.py, to which tests hold them.
// Without this script the table inside each stays.
(() => {
  const SVG = "http://www.w3.org/2000/svg";

  // ---- Formulas

  // Tokens that a round yields: those accepted of a draft, and the one after them.
  const expectedTokens = (acceptance, drafted) => {
    let tokens = 0;
    for (let i = 0; i <= drafted; i += 1) tokens += acceptance ** i;
    return tokens;
  };

  // A round with an exit at a share of the pass: R = g Td + Tm + Tv + Ta - h min(g Td, (1 - e) Tv). Times in passes.
  const decoding = ({ step, drafted, messages, acceptance, hits, exit, adapter }) => {
    const drafting = drafted * step;
    const tokens = expectedTokens(acceptance, drafted);
    const plain = drafting + messages + 1;
    const hidden = Math.min(drafting, 1 - exit);
    const round = plain + adapter - hits * hidden;
    const saved = (seconds) => 100 * (1 - seconds / tokens); // the cloud alone takes a pass for each token
    return { tokens, plain, round, hidden, savedPlain: saved(plain), saved: saved(round), further: 100 * (1 - round / plain) };
  };

  // What edge and cloud do in the first rounds when the exit is always right (hit) or there is none: [from, to] in passes.
  const lanes = (asked, hit, rounds) => {
    const drafting = asked.drafted * asked.step;
    const whole = 1 + (hit ? asked.adapter : 0);
    const found = { edge: [], cloud: [], messages: [], exits: [] };
    let at = 0;
    let left = drafting;
    for (let n = 0; n < rounds; n += 1) {
      if (left > 0) found.edge.push([at, at + left, "draft"]);
      const sent = at + left;
      const arrived = sent + asked.messages / 2;
      const done = arrived + whole;
      const heard = done + asked.messages / 2;
      found.messages.push([sent, arrived, "up"], [done, heard, "down"]);
      found.cloud.push([arrived, done, "pass"]);
      at = heard;
      left = drafting;
      if (hit) {
        const spoken = arrived + asked.exit + asked.adapter;
        const told = spoken + asked.messages / 2;
        const ahead = Math.min(drafting, heard - told);
        found.exits.push(spoken);
        found.messages.push([spoken, told, "down"]);
        if (ahead > 0 && n < rounds - 1) found.edge.push([told, told + ahead, "ahead"]);
        left = drafting - ahead;
      }
    }
    return { ...found, end: at };
  };

  // Horowitz, "Computing's energy problem", ISSCC 2014, 45 nm, in picojoules: a multiply-accumulate, and an addition.
  const ENERGY = { float32: [4.6, 0.9], int32: [3.2, 0.1], int8: [0.23, 0.03] };
  const arithmetic = (macs, adds, precision) => 1e-12 * (macs * ENERGY[precision][0] + adds * ENERGY[precision][1]);

  // Energy of a network of one multiply-accumulate for each connection, over that of its spiking twin, of which a share
  // of the connections lies in a first layer that sees real values: multiplied once, or at every step.
  const spikes = ({ steps, rate, precision, first, again }) => {
    const macs = first * (again ? steps : 1);
    const adds = (1 - first) * rate * steps;
    const [mac, add] = ENERGY[precision];
    const fixed = first * (again ? 0 : 1) * mac;
    const each = first * (again ? 1 : 0) * mac + (1 - first) * rate * add; // of a step
    return {
      ratio: arithmetic(1, 0, precision) / arithmetic(macs, adds, precision),
      until: each > 0 ? (mac - fixed) / each : Infinity, // steps from which on spikes save nothing
    };
  };

  // ---- Drawing

  const make = (name, properties = {}, children = []) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };
  const draw = (name, attributes = {}, text = "") => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.textContent = text;
    return made;
  };
  const written = (value, digits = 1) => {
    const rounded = Number(value.toFixed(digits)) + 0;
    const shape = { minimumFractionDigits: digits, maximumFractionDigits: digits };
    return rounded.toLocaleString("en", shape).replace("-", "\u2212");
  };
  const percent = (value) => `${written(value)}\u00a0%`;

  // Sliders with their values; `change` is called with all of them whenever one moves.
  const controls = (fields, change) => {
    const values = {};
    const shown = {};
    const inputs = {};
    const rows = Object.entries(fields).map(([name, { label, min, max, step, start, tell }]) => {
      const input = make("input", { type: "range", min, max, step, value: start });
      const output = make("output");
      inputs[name] = input;
      shown[name] = () => {
        values[name] = Number(input.value);
        output.textContent = (tell ?? String)(values[name], values);
        input.setAttribute("aria-valuetext", output.textContent);
      };
      input.addEventListener("input", () => {
        Object.values(shown).forEach((show) => show());
        change(values);
      });
      return make("label", {}, [make("span", { textContent: label }), input, output]);
    });
    const set = (some) => {
      for (const [name, value] of Object.entries(some)) inputs[name].value = value;
      Object.values(shown).forEach((show) => show());
      Object.values(shown).forEach((show) => show()); // what one tells may rest on another
      change(values);
    };
    return { element: make("div", { className: "calculator-fields" }, rows), values, set };
  };

  const choice = (label, options, change) => {
    const select = make("select", {}, Object.entries(options).map(([value, text]) => make("option", { value, textContent: text })));
    select.addEventListener("change", () => change(select.value));
    return { element: make("label", {}, [make("span", { textContent: label }), select]), select };
  };

  // A bar with a mark on it: a percentage beside the paper's.
  const gauge = (label, mark) => {
    const bar = make("i");
    const text = make("output");
    const sign = make("b", { title: `the paper's ${mark} %` });
    sign.style.left = `${mark}%`;
    const element = make("p", { className: "calculator-gauge" }, [
      make("span", { textContent: label }),
      make("span", { className: "calculator-bar" }, [bar, sign]),
      text,
    ]);
    const set = (value) => {
      bar.style.width = `${Math.max(0, Math.min(100, value))}%`;
      text.textContent = `${percent(value)} (the paper: ${mark}\u00a0%)`;
    };
    return { element, set };
  };

  // Edge above cloud along one axis of time, twice: without exits, and with an exit that is always right.
  const timeline = (svg, asked) => {
    const rounds = 2;
    const plain = lanes(asked, false, rounds);
    const ahead = lanes(asked, true, rounds);
    const [width, left, right] = [640, 58, 12];
    const end = Math.max(plain.end, ahead.end);
    const x = (time) => left + ((width - left - right) * time) / end;
    const parts = [];
    [[plain, 18, "No exits"], [ahead, 138, "Exit always right"]].forEach(([one, top, title]) => {
      const rows = { edge: top + 12, cloud: top + 62 };
      parts.push(draw("text", { x: 0, y: top, class: "title" }, `${title}: ${rounds} rounds in ${written(one.end, 2)} passes`));
      for (const [name, y] of Object.entries(rows)) {
        parts.push(draw("text", { x: 0, y: y + 17 }, name));
        parts.push(draw("rect", { x: left, y, width: width - left - right, height: 24, class: "lane" }));
        for (const [from, to, kind] of one[name]) {
          const block = draw("rect", { x: x(from), y, width: Math.max(0.5, x(to) - x(from)), height: 24, class: kind });
          block.append(draw("title", {}, `${kind}: ${written(to - from, 2)} passes`));
          parts.push(block);
          const share = kind === "pass" ? 0.2 : 0.5; // beside the exit, which lies further on
          if (x(to) - x(from) > 42) parts.push(draw("text", { x: x(from) + share * (x(to) - x(from)), y: y + 16, class: "on" }, kind));
        }
      }
      for (const [from, to, way] of one.messages) {
        const [first, last] = way === "up" ? [rows.edge + 24, rows.cloud] : [rows.cloud, rows.edge + 24];
        parts.push(draw("line", { x1: x(from), x2: x(to), y1: first, y2: last, class: "message" }));
      }
      for (const at of one.exits) parts.push(draw("line", { x1: x(at), x2: x(at), y1: rows.cloud, y2: rows.cloud + 24, class: "exit" }));
      parts.push(draw("line", { x1: x(one.end), x2: x(one.end), y1: rows.edge - 4, y2: rows.cloud + 28, class: "end" }));
    });
    svg.replaceChildren(...parts);
    svg.setAttribute("aria-label", `Two rounds take ${written(plain.end, 2)} passes without exits and ${written(ahead.end, 2)} with an exit that is always right.`);
  };

  // ---- Speculative decoding

  const PRESETS = {
    robot: { draft: 0.465, messages: 0.194, acceptance: 0.67, hits: 0.19, exit: 0.5, adapter: 0.036 },
    "robot, greedy": { draft: 0.465, messages: 0.194, acceptance: 0.82, hits: 0.54, exit: 0.5, adapter: 0.036 },
    "faster, farther away": { draft: 0.2, messages: 0.5, acceptance: 0.67, hits: 0.19, exit: 0.5, adapter: 0.036 },
  };

  const mountDecoding = (root) => {
    const passes = (value) => `${written(value, 2)} passes`;
    const svg = draw("svg", { viewBox: "0 0 640 232", role: "img", class: "calculator-lanes" });
    const first = gauge("Saved without exits", 35);
    const second = gauge("Further saved by exits", 11);
    const answer = make("p", { className: "calculator-answer" });
    answer.setAttribute("role", "status");
    const change = (values) => {
      const asked = { ...values, step: values.draft / values.drafted };
      const found = decoding(asked);
      timeline(svg, asked);
      first.set(found.savedPlain);
      second.set(found.further);
      answer.textContent =
        `A round yields ${written(found.tokens, 2)} tokens and takes ${written(found.round, 2)} passes, ` +
        `${written(found.plain, 2)} without exits. Against the cloud alone ` +
        (found.saved >= 0 ? `edge and cloud save ${percent(found.saved)} of the time.` : `they take ${percent(-found.saved)} more.`);
    };
    const fields = controls(
      {
        draft: { label: "A draft takes", min: 0.01, max: 1, step: 0.005, start: 0.465, tell: (value, all) => `${passes(value)}, ${written(value / (all.drafted ?? 4), 3)} a token` },
        drafted: { label: "Tokens of a draft", min: 1, max: 12, step: 1, start: 4 },
        messages: { label: "Messages, there and back", min: 0, max: 1.5, step: 0.002, start: 0.194, tell: passes },
        acceptance: { label: "Tokens accepted", min: 0, max: 1, step: 0.01, start: 0.67, tell: (value) => `${Math.round(100 * value)}\u00a0%` },
        hits: { label: "Exit right in", min: 0, max: 1, step: 0.01, start: 0.19, tell: (value) => `${Math.round(100 * value)}\u00a0% of rounds` },
        exit: { label: "Exit after", min: 0.05, max: 0.95, step: 0.01, start: 0.5, tell: (value) => `${Math.round(100 * value)}\u00a0% of the pass` },
        adapter: { label: "The exit costs", min: 0, max: 0.3, step: 0.002, start: 0.036, tell: (value) => `${written(value, 3)} passes` },
      },
      change,
    );
    const presets = make("p", { className: "calculator-presets" }, ["Start from: "]);
    for (const [name, values] of Object.entries(PRESETS)) {
      const button = make("button", { type: "button", textContent: name });
      button.addEventListener("click", () => fields.set({ drafted: 4, ...values }));
      presets.append(button, " ");
    }
    const keys = make("p", { className: "calculator-key" });
    keys.innerHTML =
      '<i class="draft"></i> draft <i class="ahead"></i> draft made ahead <i class="pass"></i> pass of the cloud; ' +
      "slanted lines are messages, the white mark is where the exit speaks";
    root.append(presets, fields.element, first.element, second.element, answer, svg, keys);
    fields.set(PRESETS.robot);
  };

  // ---- Energy of spikes

  const mountSpikes = (root) => {
    const [width, height, left, right, top, foot] = [640, 260, 46, 14, 14, 34];
    const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", class: "calculator-curve" });
    const answer = make("p", { className: "calculator-answer" });
    answer.setAttribute("role", "status");
    let precision = "float32";
    let again = false;
    const most = 40;
    const [low, high] = [0.1, 100];
    const x = (steps) => left + ((width - left - right) * (steps - 1)) / (most - 1);
    const y = (ratio) => {
      const share = (Math.log(ratio) - Math.log(low)) / (Math.log(high) - Math.log(low));
      return height - foot - (height - top - foot) * Math.max(0, Math.min(1, share));
    };
    const curve = (asked) => {
      const points = Array.from({ length: most }, (_, i) => i + 1).map((steps) => `${x(steps)},${y(spikes({ ...asked, steps }).ratio)}`);
      const parts = [draw("rect", { x: left, y: y(1), width: width - left - right, height: height - foot - y(1), class: "loses" })];
      for (const tick of [0.1, 1, 10, 100]) {
        parts.push(draw("line", { x1: left, x2: width - right, y1: y(tick), y2: y(tick), class: tick === 1 ? "even" : "grid" }));
        parts.push(draw("text", { x: left - 6, y: y(tick) + 4, class: "tick" }, String(tick)));
      }
      for (const tick of [1, 5, 10, 20, 30, 40]) parts.push(draw("text", { x: x(tick), y: height - 16, class: "on" }, String(tick)));
      parts.push(draw("text", { x: (left + width - right) / 2, y: height - 1, class: "on" }, "time steps"));
      parts.push(draw("text", { x: left + 6, y: top + 10 }, "energy without spikes, over that with them"));
      parts.push(draw("text", { x: left + 6, y: height - foot - 6 }, "spikes cost more"));
      parts.push(draw("polyline", { points: points.join(" "), class: "ratio" }));
      const here = spikes(asked).ratio;
      parts.push(draw("circle", { cx: x(asked.steps), cy: y(here), r: 5.5, class: "here" }));
      svg.replaceChildren(...parts);
      svg.setAttribute("aria-label", `At ${asked.steps} steps the ratio is ${written(here, 2)}.`);
    };
    const change = (values) => {
      const asked = { ...values, rate: 10 ** values.rate, precision, again };
      const { ratio, until } = spikes(asked);
      curve(asked);
      const word = ratio >= 1 ? `${written(ratio, 1)} times less` : `${written(1 / ratio, 1)} times more`;
      const line = until < 1 ? "They save nothing at any number of steps." : `They save up to ${written(Math.min(until, 9999), 1)} steps.`;
      answer.textContent = `Spikes take ${word} energy than the same network without them. ${until > 9999 ? "They save at any number of steps." : line}`;
    };
    const fields = controls(
      {
        steps: { label: "Time steps", min: 1, max: most, step: 1, start: 5 },
        rate: { label: "Spikes per input and step", min: -3, max: 0, step: 0.02, start: -1, tell: (value) => written(10 ** value, 3) },
        first: { label: "First layer sees real values", min: 0, max: 0.3, step: 0.01, start: 0, tell: (value) => (value ? `${Math.round(100 * value)}\u00a0% of connections` : "no, spikes") },
      },
      change,
    );
    const numbers = choice("Numbers", { float32: "32-bit floats", int32: "32-bit integers", int8: "8-bit integers" }, (value) => {
      precision = value;
      change(fields.values);
    });
    const kept = choice("Currents of the first layer", { kept: "kept over steps", again: "computed at every step" }, (value) => {
      again = value === "again";
      change(fields.values);
    });
    fields.element.append(numbers.element, kept.element);
    root.append(fields.element, answer, svg);
    fields.set({ steps: 5 });
  };

  const MOUNTS = { decoding: mountDecoding, "spike-energy": mountSpikes };
  for (const root of document.querySelectorAll(".calculator[data-calculator]")) {
    const mount = MOUNTS[root.dataset.calculator];
    if (!mount) continue;
    const table = make("details", {}, [make("summary", { textContent: "As a table" }), ...root.childNodes]);
    root.replaceChildren();
    mount(root);
    root.append(table);
  }

  window.edgebookCalculators = { decoding, lanes, expectedTokens, arithmetic, spikes };
})();
