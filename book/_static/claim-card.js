// A claim's card, tried: drag or arrow-key its margin, or leave a seed out, and see it judged again by judge.js.
// The card itself stays as the record has it, and the ledger's margin stays marked: only that one counts.
(() => {
  const EDGE = 3; // percent of the width that the strip leaves free on either side
  const SVG = "http://www.w3.org/2000/svg";
  const FIXED = ["not judged", "not testable here"];

  const make = (name, properties = {}, children = []) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };
  const draw = (name, attributes) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };

  const number = (value) => {
    const rounded = Math.abs(value) < 1e-12 ? 0 : Number(value.toPrecision(3));
    return rounded.toLocaleString("en", { maximumSignificantDigits: 3 }).replace("-", "\u2212");
  };
  // A mean with its interval: two digits of the interval's width, at most four of the mean, as on the card.
  const estimate = (mean, interval, unit) => {
    const half = interval ? (interval[1] - interval[0]) / 2 : 0;
    if (half < 1e-12) return withUnit(number(mean), unit);
    const size = Math.max(Math.abs(mean), half);
    const digits = Math.max(0, Math.min(6, 1 - Math.floor(Math.log10(half)), 3 - Math.floor(Math.log10(size))));
    const shape = { minimumFractionDigits: digits, maximumFractionDigits: digits };
    const [middle, low, high] = [mean, ...interval].map((value) => {
      const rounded = Number(value.toFixed(digits)) + 0; // no minus before a zero
      return rounded.toLocaleString("en", shape).replace("-", "\u2212");
    });
    return `${middle} [${low}, ${high}] ${unit}`.trim();
  };
  const withUnit = (text, unit) => {
    if (!/^\u2212?1$/.test(text)) return `${text} ${unit}`.trim();
    return `${text} ${unit.replace(/^passes\b/, "pass").replace(/^(\w+)s\b/, "$1")}`.trim();
  };

  // The margins that can be tried: in round steps that meet the ledger's own, up to what the strip or a target allows.
  const range = (claim, scale) => {
    const sides = [scale.high - claim.neutral, claim.neutral - scale.low].map(Math.abs);
    let most = Math.max(2 * claim.margin, ...sides.filter(Number.isFinite));
    if (scale.log) most = Math.min(most, 0.99 * claim.neutral);
    if (claim.target !== null) most = Math.min(most, Math.abs(claim.target - claim.neutral) - claim.tolerance);
    const step = claim.margin ? claim.margin / Math.max(1, Math.ceil((80 * claim.margin) / most)) : most / 80;
    const steps = Math.max(1, Math.floor(most / step + 1e-9), Math.round(claim.margin / step));
    return { step, steps, least: claim.expects === "equivalent" ? 1 : 0 };
  };

  const scaleOf = (strip) => {
    const [low, high] = [Number(strip.dataset.low), Number(strip.dataset.high)];
    const log = strip.dataset.log === "true";
    const turned = (value) => (log ? Math.log(value) : value);
    const [from, to] = [turned(low), turned(high)];
    return {
      low, high, log,
      place: (value) => {
        const share = (turned(Math.min(high, Math.max(low, value))) - from) / (to - from);
        return EDGE + (100 - 2 * EDGE) * share;
      },
      value: (percent) => {
        const at = from + ((percent - EDGE) / (100 - 2 * EDGE)) * (to - from);
        return log ? Math.exp(at) : at;
      },
    };
  };

  const setUp = (card) => {
    const claim = JSON.parse(card.dataset.claim);
    const strip = card.querySelector("svg.claim-strip");
    if (!strip || FIXED.includes(claim.alone) || !claim.samples.length) return;
    const scale = scaleOf(strip);
    const { step, steps, least } = range(claim, scale);
    const own = Math.round(claim.margin / step);

    const slider = make("input", { type: "range", min: least, max: steps, step: 1, value: own });
    slider.setAttribute("aria-label", `Margin of ${claim.id}`);
    const told = make("output");
    const seeds = make("select", {}, [make("option", { value: "", textContent: "all" })]);
    seeds.append(
      ...claim.samples.map((sample, place) => {
        const value = Array.isArray(sample) ? `${sample[0]} of ${sample[1]}` : withUnit(number(sample), claim.unit);
        return make("option", { value: place, textContent: `without seed ${claim.seeds[place] ?? place + 1}: ${value}` });
      }),
    );
    const back = make("button", { type: "button", textContent: "As in the ledger" });
    const word = make("span", { className: "claim-try-word" });
    const rest = make("span");
    const answer = make("p", { className: "claim-try-answer" }, [word, rest]);
    answer.setAttribute("role", "status");
    const reach = `±${withUnit(number(claim.margin), claim.unit)}`;
    const around = claim.neutral ? ` around ${withUnit(number(claim.neutral), claim.unit)}` : "";
    const note = make("p", {
      className: "claim-try-note",
      textContent: `Only the margin of the ledger counts: ${reach}${around}, fixed before the run and marked by dots.`,
    });
    const tools = [make("label", {}, ["Margin ", slider, " ", told])];
    if (claim.form !== "exact") tools.push(make("label", {}, ["Seeds ", seeds]));
    const panel = make("details", { className: "claim-try" }, [
      make("summary", { textContent: "Try another margin, or leave a seed out" }),
      make("div", { className: "claim-try-tools" }, [...tools, back]),
      answer,
      note,
    ]);
    card.insertBefore(panel, card.querySelector(":scope > .claim-cite")); // last where there is none

    const band = strip.querySelector(".strip-band");
    const marks = [-1, 1].map((side) => {
      const x = `${scale.place(claim.neutral + side * claim.margin)}%`;
      return draw("line", { class: "strip-ledger", x1: x, x2: x, y1: 2, y2: 36 });
    });
    const grips = [-1, 1].map((side) => {
      const grip = draw("rect", { class: "strip-grip", y: 9, width: 6, height: 22, rx: 3 });
      grip.append(draw("title", {}));
      grip.firstChild.textContent = "Drag to try another margin";
      grip.addEventListener("pointerdown", (event) => {
        event.preventDefault();
        grip.setPointerCapture(event.pointerId);
        panel.open = true;
        grip.onpointermove = (moved) => {
          const box = strip.getBoundingClientRect();
          const value = scale.value((100 * (moved.clientX - box.left)) / box.width);
          slider.value = Math.round((side * (value - claim.neutral)) / step);
          show();
        };
      });
      for (const end of ["pointerup", "pointercancel"]) grip.addEventListener(end, () => (grip.onpointermove = null));
      return grip;
    });
    strip.append(...marks, ...grips);

    const show = () => {
      const at = Number(slider.value);
      const margin = at === own ? claim.margin : at * step;
      const without = seeds.value === "" ? null : Number(seeds.value);
      const found = window.edgebookJudge.judge(claim, { margin, without });
      const [low, high] = [claim.neutral - margin, claim.neutral + margin].map(scale.place);
      band?.setAttribute("x", `${low}%`);
      band?.setAttribute("width", `${high - low}%`);
      grips[0].setAttribute("x", `${low}%`);
      grips[1].setAttribute("x", `${high}%`);
      for (const mark of marks) mark.style.display = at === own ? "none" : "";
      move(strip, scale, found);
      strip.querySelectorAll(".strip-seed").forEach((tick, place) => {
        tick.style.opacity = place === without ? 0.15 : "";
      });
      told.textContent = `±${withUnit(number(margin), claim.unit)}`;
      slider.setAttribute("aria-valuetext", told.textContent);
      const changed = at !== own || without !== null;
      back.disabled = !changed;
      const value = estimate(found.mean, found.interval, claim.unit);
      const record = changed ? ` The record says ${claim.word}.` : " So the record says.";
      word.className = `claim-try-word eb-badge eb-${found.word.replaceAll(" ", "-")}`;
      word.textContent = found.word;
      rest.textContent = ` ${value}: ${found.reason}.${record}`;
    };

    slider.addEventListener("input", show);
    seeds.addEventListener("change", show);
    back.addEventListener("click", () => {
      slider.value = own;
      seeds.value = "";
      show();
    });
    show();
  };

  // Mean and interval where they lie without the seed that is left out.
  const move = (strip, scale, { mean, interval }) => {
    const line = strip.querySelector(".strip-interval");
    if (line && interval) {
      line.setAttribute("x1", `${scale.place(interval[0])}%`);
      line.setAttribute("x2", `${scale.place(interval[1])}%`);
    }
    if (line) line.style.display = interval ? "" : "none";
    const mark = strip.querySelector(".strip-mean")?.closest("svg:not(.claim-strip)");
    if (mark && mean !== null) mark.setAttribute("x", `${scale.place(mean)}%`);
  };

  document.querySelectorAll("article.claim-card[data-claim]").forEach(setUp);
})();
