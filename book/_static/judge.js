// The rule of verdicts again: what src/edgebook/ledger does (statistics, evidence, rule, judging), for pages that try
// another margin or fewer seeds. What the record says comes from there alone; tests hold this file to it.
// A claim is as edgebook.ledger.export.claim_json writes it.
(() => {
  const ROUNDING = 1000 * Number.EPSILON;
  const SEEDS = 5;
  const LEVEL = (1 - 0.95) / 2;
  const SIGN = { positive: 1, negative: -1, equivalent: 0 };
  const WORDS = {
    question: { shown: "yes", "ruled out": "no", opposite: "the other way round" },
    control: { shown: "held", "ruled out": "failed", opposite: "failed" },
    claim: { "ruled out": "not reproduced", opposite: "contradicted" },
    identity: { shown: "agrees", "ruled out": "does not agree", opposite: "does not agree" },
  };
  const EFFECTS = {
    shown: "beyond the margin",
    "ruled out": "an effect as large as the margin is ruled out",
    opposite: "beyond the margin on the other side",
  };
  const EQUIVALENCES = { ...EFFECTS, shown: "within the margin", opposite: "outside the margin" };
  const OPEN = { values: "the values span the margin", exact: "the number lies on the margin" };
  const SIZES = {
    reached: "the paper's number is reached",
    "ruled out": "the paper's number is ruled out",
    open: "the paper's number stays open",
  };

  // ln Γ(x) for x > 0: Stirling's series, shifted to where it holds to the last digits.
  const logGamma = (x) => {
    let shift = 0;
    for (; x < 15; x += 1) shift += Math.log(x);
    const series = [1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360];
    const tail = series.reduce((sum, term, i) => sum + term / x ** (2 * i + 1), 0);
    return (x - 0.5) * Math.log(x) - x + 0.5 * Math.log(2 * Math.PI) + tail - shift;
  };

  // The regularised incomplete beta function, by Lentz's continued fraction.
  const betainc = (a, b, x) => {
    if (x <= 0) return 0;
    if (x >= 1) return 1;
    if (x > (a + 1) / (a + b + 2)) return 1 - betainc(b, a, 1 - x);
    const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x)) / a;
    const away = (value) => (Math.abs(value) < 1e-300 ? 1e-300 : value);
    let c = 1;
    let d = 1 / away(1 - ((a + b) * x) / (a + 1));
    let found = d;
    for (let m = 1; m < 10000; m += 1) {
      const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
      d = 1 / away(1 + even * d);
      c = away(1 + even / c);
      found *= d * c;
      const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
      d = 1 / away(1 + odd * d);
      c = away(1 + odd / c);
      found *= d * c;
      if (Math.abs(d * c - 1) < 1e-16) break;
    }
    return front * found;
  };

  // Where the incomplete beta function has a value, by halving until no number lies between.
  const betaincinv = (a, b, p) => {
    let [low, high] = [0, 1];
    for (;;) {
      const middle = (low + high) / 2;
      if (middle <= low || middle >= high) return middle;
      if (betainc(a, b, middle) < p) low = middle;
      else high = middle;
    }
  };

  const quantiles = new Map(); // of Student's distribution, two-sided at 95 %, by degrees of freedom
  const quantile = (degrees) => {
    if (!quantiles.has(degrees)) {
      const x = betaincinv(degrees / 2, 0.5, 2 * LEVEL);
      quantiles.set(degrees, Math.sqrt((degrees * (1 - x)) / x));
    }
    return quantiles.get(degrees);
  };

  const sum = (values) => {
    let [total, lost] = [0, 0]; // what is lost in each addition is added at the end
    for (const value of values) {
      const next = total + value;
      lost += Math.abs(total) >= Math.abs(value) ? total - next + value : value - next + total;
      total = next;
    }
    return total + lost;
  };
  const mean = (values) => sum(values) / values.length;

  const meanInterval = (values) => {
    const most = Math.max(...values.map(Math.abs));
    const power = most > 0 ? 2 ** -Math.max(-1000, Math.min(1000, Math.ceil(Math.log2(most)))) : 1;
    const scaled = values.map((value) => value * power); // so that squares neither vanish nor overflow
    const [least, largest] = [Math.min(...values), Math.max(...values)];
    if (largest - least <= ROUNDING * most) return [least, largest];
    const middle = mean(scaled);
    const variance = sum(scaled.map((value) => (value - middle) ** 2)) / (values.length - 1);
    const half = (quantile(values.length - 1) * Math.sqrt(variance)) / Math.sqrt(values.length);
    return [(middle - half) / power, (middle + half) / power];
  };

  // P(at least so many of count fair coins fall heads).
  const tail = (count, successes) => {
    let [ways, total] = [2 ** -count, 0];
    for (let k = 0; k <= count; k += 1) {
      if (k >= successes) total += ways;
      ways *= (count - k) / (k + 1);
    }
    return total;
  };

  const medianRanks = (count) => {
    let rank = 0;
    for (let below = 0; below <= Math.floor(count / 2); below += 1) rank += tail(count, count - below) <= LEVEL;
    return rank ? [rank, count + 1 - rank] : null;
  };

  const shareInterval = (successes, failures) => [
    successes ? betaincinv(successes, failures + 1, LEVEL) : 0,
    failures ? betaincinv(successes + 1, failures, 1 - LEVEL) : 1,
  ];

  const hasNoSpread = (claim, values) => {
    const near = 1e-9 * Math.max(...values.map(Math.abs));
    const ordered = [...values].sort((a, b) => a - b);
    const distinct = 1 + ordered.slice(1).filter((after, i) => after - ordered[i] > near).length;
    const bounds = claim.bounds.filter((end) => end !== null);
    const onBound = sum(values.map((value) => bounds.filter((end) => Math.abs(value - end) <= near).length));
    return distinct <= 2 || 3 * onBound >= values.length;
  };

  const ranked = (values) => {
    const ordered = [...values].sort((a, b) => a - b);
    const [ranks, middle] = [medianRanks(values.length), mean(values)];
    const ends = ranks ? [...ranks.map((rank) => ordered[rank - 1]), middle] : null;
    return { mean: middle, span: ends && [Math.min(...ends), Math.max(...ends)], method: "values" };
  };

  const share = (claim, samples) => {
    const whole = claim.unit === "%" ? 100 : 1;
    const [successes, trials] = [0, 1].map((which) => sum(samples.map((one) => one[which])));
    const middle = trials ? (whole * successes) / trials : null;
    if (samples.length < SEEDS) return { mean: middle, span: null, method: "none" };
    let span = shareInterval(successes, trials - successes).map((end) => whole * end);
    const seeds = samples.map(([hits, of]) => (whole * hits) / of);
    if (new Set(seeds).size > 1) {
      const other = meanInterval(seeds); // trials of one seed are not independent: the wider interval counts
      span = [Math.min(span[0], other[0]), Math.max(span[1], other[1])];
    }
    return { mean: middle, span, method: "Clopper-Pearson" };
  };

  const weigh = (claim, samples) => {
    const shares = claim.form === "share";
    let found;
    if (shares) found = share(claim, samples);
    else if (claim.form === "exact") {
      const [value = null] = samples;
      return { mean: value, span: value === null ? null : [value, value], method: value === null ? "none" : "exact" };
    } else if (samples.length < SEEDS) {
      return { mean: samples.length ? mean(samples) : null, span: null, method: "none" };
    } else if (hasNoSpread(claim, samples)) found = ranked(samples);
    else found = { mean: mean(samples), span: meanInterval(samples), method: "Student" };
    if (found.span) {
      const least = shares ? 0 : -Infinity;
      const most = shares ? (claim.unit === "%" ? 100 : 1) : Infinity;
      const [low, high] = [claim.bounds[0] ?? least, claim.bounds[1] ?? most];
      found.span = [Math.max(found.span[0], low), Math.min(found.span[1], high)];
    }
    return found;
  };

  const liesAbove = (value, bound) => {
    const size = Math.max(Math.abs(value), Math.abs(bound));
    return Number.isFinite(size) ? value - bound > ROUNDING * size : value > bound;
  };
  const towards = (claim, span) => span.map((end) => SIGN[claim.expects] * (end - claim.neutral)).sort((a, b) => a - b);

  const effectOf = (claim, span) => {
    const margin = claim.margin;
    if (SIGN[claim.expects] === 0) {
      const [low, high] = span.map((end) => end - claim.neutral);
      if (liesAbove(low, -margin) && liesAbove(margin, high)) return "shown";
      return liesAbove(low, margin) || liesAbove(-margin, high) ? "opposite" : "open";
    }
    const [low, high] = towards(claim, span);
    if (liesAbove(low, margin)) return "shown";
    if (liesAbove(-margin, high)) return "opposite";
    return liesAbove(margin, high) ? "ruled out" : "open";
  };

  const sizeOf = (claim, span) => {
    if (claim.target === null) return null;
    const [low, high] = towards(claim, span);
    const target = SIGN[claim.expects] * (claim.target - claim.neutral);
    const least = target - claim.tolerance;
    const most = claim.size === "at least" ? Infinity : target + claim.tolerance;
    if (liesAbove(least, high) || liesAbove(low, most)) return "ruled out";
    return liesAbove(low, least) && (claim.size === "at least" || liesAbove(most, high)) ? "reached" : "open";
  };

  const wordFor = (claim, effect, size) => {
    const kind = claim.kind;
    if (kind === "question" && claim.expects === "equivalent" && effect === "opposite") return "no";
    if (effect === "shown" && kind === "claim") {
      return size === null || size === "reached" ? "reproduced" : "direction only";
    }
    if (effect === "open" && size === "ruled out" && kind === "claim") return "not reproduced";
    if (kind === "identity" && (effect === "shown" || effect === "open") && size !== null) {
      return { reached: "agrees", "ruled out": "does not agree", open: "inconclusive" }[size];
    }
    return WORDS[kind][effect] ?? "inconclusive";
  };

  // One claim from its samples, as if there were no choices of ours. That nothing was learnt is not for samples to say.
  const judgeAlone = (claim, samples, alone) => {
    const { mean: estimate, span, method } = weigh(claim, samples);
    const found = { mean: estimate, span, interval: method === "values" ? null : span, method, effect: null, size: null };
    const undecided = (word, reason) => ({ ...found, word, reason });
    if (claim.tier === "quick") return undecided("not judged", "tier quick only shows that the page works");
    if (claim.needs.length && claim.tier !== "paper") {
      return undecided("not testable here", `needs ${claim.needs.join(", ")}`);
    }
    if (alone === "not judged") return undecided("not judged", "nothing learnt");
    if (!span) {
      const least = SEEDS + (method === "values");
      return undecided("inconclusive", `${samples.length} of at least ${least} seeds`);
    }
    const [effect, size] = [effectOf(claim, span), sizeOf(claim, span)];
    const sign = SIGN[claim.expects];
    let reason = (sign ? EFFECTS : EQUIVALENCES)[effect] ?? OPEN[method] ?? "the interval spans the margin";
    if (size) reason += `; ${SIZES[size]}`;
    if (size === "ruled out") reason += `, by ${sign * (estimate - claim.target) > 0 ? "more" : "less"} than it asks`;
    return { ...found, effect, size, word: wordFor(claim, effect, size), reason };
  };

  // The word that holds under every declared choice, else that it depends.
  const underAll = (alone, others) => {
    const names = Object.keys(others);
    const silent = names.filter((name) => others[name].word === "not judged");
    const words = names.filter((name) => !silent.includes(name)).map((name) => [name, others[name].word]);
    const note = silent.length ? `; not judged under: ${silent.join(", ")}` : "";
    if (["not judged", "not testable here"].includes(alone.word) || !words.length) {
      return { word: alone.word, reason: alone.reason + note };
    }
    const told = words.filter(([, word]) => word !== alone.word).map(([name, word]) => `${name} (${word})`);
    if (told.length) {
      return { word: "depends", reason: `${alone.word} as declared; other words under: ${told.join(", ")}${note}` };
    }
    return { word: alone.word, reason: `${alone.reason}; the same under ${words.map(([name]) => name).join(", ")}${note}` };
  };

  // Judge a claim again, with another margin, or without the seed at a place.
  const judge = (claim, { margin = claim.margin, without = null } = {}) => {
    const asked = { ...claim, margin };
    const kept = (samples) => samples.filter((_, place) => place !== without);
    const alone = judgeAlone(asked, kept(claim.samples), claim.alone);
    const others = Object.fromEntries(
      Object.entries(claim.under).map(([name, word]) => [name, judgeAlone(asked, kept(claim.under_samples[name]), word)]),
    );
    return { ...alone, alone: alone.word, under: others, ...underAll(alone, others) };
  };

  window.edgebookJudge = { judge, meanInterval, shareInterval, medianRanks };
})();
