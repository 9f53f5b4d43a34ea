// Trips of robots through the same room, side by side: a slider, and a button that plays them.
// Nothing moves by itself. Who prefers less motion gets no button that plays, but one for each way along the slider.
// Without this script a sentence stays, and the figure beneath it.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const STEP = 150; // ms from one drawing to the next, half as fast as the robot
  const COLOURS = { disc: "#c4c4c4", belief: "#0072B2", beam: "#D55E00", path: "#2b2b2b", goal: "#009E73" };

  const make = (name, properties = {}, children = []) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };
  const draw = (name, attributes, children = []) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };

  // The room with x to the right and y upwards, as in the figure.
  const room = (size, trip, name) => {
    const moving = draw("g", {});
    const goal = draw("circle", { cx: trip.goal[0], cy: trip.goal[1], r: 0.5, fill: COLOURS.goal });
    const upright = draw("g", { transform: `translate(0 ${size}) scale(1 -1)` }, [goal, moving]);
    const ground = draw("rect", { width: size, height: size, fill: "#ffffff", stroke: "#9a9a9a", "stroke-width": 0.1 });
    const label = `A room with discs, seen from above, and the robot that goes by ${name}`;
    const svg = draw("svg", { viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": label }, [ground, upright]);
    svg.style.width = "100%";
    const show = (index) => {
      const last = trip.steps.length - 1;
      const { pose, discs, belief, fired } = trip.steps[Math.min(index, last)];
      const [x, y, heading] = pose;
      const tip = (beam) => {
        const angle = heading + (2 * Math.PI * beam) / belief.length;
        return [x + belief[beam] * Math.cos(angle), y + belief[beam] * Math.sin(angle)].map((at) => at.toFixed(2));
      };
      const path = trip.steps.slice(0, index + 1).map((step) => `${step.pose[0]},${step.pose[1]}`);
      moving.replaceChildren(
        ...discs.map(([cx, cy, r]) => draw("circle", { cx, cy, r, fill: COLOURS.disc })),
        draw("polygon", { points: belief.map((_, beam) => tip(beam).join(",")).join(" "), fill: COLOURS.belief, "fill-opacity": 0.25 }),
        ...fired.map((beam) => draw("line", { x1: x, y1: y, x2: tip(beam)[0], y2: tip(beam)[1], stroke: COLOURS.beam, "stroke-width": 0.06 })),
        draw("polyline", { points: path.join(" "), fill: "none", stroke: COLOURS.path, "stroke-width": 0.1 }),
        draw("circle", { cx: x, cy: y, r: 0.25, fill: COLOURS.path }),
      );
      const over = index >= last;
      return over ? (trip.success ? "has arrived" : "has not arrived") : "is on its way";
    };
    return { svg, show };
  };

  const build = (place) => {
    const { size, trips } = JSON.parse(place.querySelector("script").textContent);
    const names = Object.keys(trips);
    const longest = Math.max(...names.map((name) => trips[name].steps.length));
    const rooms = names.map((name) => room(size, trips[name], name));
    const words = names.map(() => make("span"));
    const figures = names.map((name, n) =>
      make("div", {}, [make("strong", { textContent: name }), rooms[n].svg, words[n]]),
    );
    const grid = make("div", {}, figures);
    grid.style.cssText = "display:grid;grid-template-columns:repeat(auto-fit,minmax(13rem,1fr));gap:0.8rem";
    const slider = make("input", { type: "range", min: 0, max: longest - 1, value: 0 });
    slider.setAttribute("aria-label", "time");
    slider.style.flex = "1";
    const time = make("output");

    const show = (index) => {
      slider.value = index;
      time.textContent = `${(0.3 * index).toFixed(1)} s`;
      rooms.forEach(({ show: at }, n) => {
        const joules = 1e3 * trips[names[n]].joules;
        words[n].textContent = `${at(index)}; ${joules.toFixed(1)} mJ of beams in the whole trip`;
      });
    };
    const button = (text, click) => make("button", { type: "button", textContent: text, onclick: click });
    const by = (step) => () => show(Math.max(0, Math.min(longest - 1, Number(slider.value) + step)));

    let timer = 0;
    const play = button("Play", () => (timer ? stop() : start()));
    const stop = () => {
      clearInterval(timer);
      timer = 0;
      play.textContent = "Play";
    };
    const start = () => {
      if (Number(slider.value) >= longest - 1) show(0);
      play.textContent = "Pause";
      timer = setInterval(() => {
        by(1)();
        if (Number(slider.value) >= longest - 1) stop();
      }, STEP);
    };
    slider.addEventListener("input", () => {
      stop();
      show(Number(slider.value));
    });

    const still = matchMedia("(prefers-reduced-motion: reduce)");
    const back = button("Back", by(-1));
    const on = button("On", by(1));
    const controls = make("div", {});
    controls.style.cssText = "display:flex;gap:0.8rem;align-items:center;margin-top:0.6rem";
    const offer = () => {
      stop();
      controls.replaceChildren(...(still.matches ? [back, on] : [play]), slider, time);
    };
    still.addEventListener("change", offer);
    offer();
    place.querySelector("p").remove();
    place.append(grid, controls);
    show(Math.floor(longest / 3));
  };

  for (const place of document.querySelectorAll("div.episode")) build(place);
})();
