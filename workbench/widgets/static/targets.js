/* One row a property the model listens to: off, a point or a range, drawn over what the model was taught. */
const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 320, HEIGHT = 58, FLOOR = 42, SIDE = 8;

function svg(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
const short = (value) => Number(Number(value).toPrecision(3)).toString();

/** Where values lie on the picture; a target beyond the taught range stretches it. */
function scale(row, target) {
  const values = [...row.edges, ...(target ?? [])];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const span = high - low || 1;
  return {
    x: (value) => SIDE + ((value - low) / span) * (WIDTH - 2 * SIDE),
    value: (x) => low + ((x - SIDE) / (WIDTH - 2 * SIDE)) * span,
    step: span / 100, low, high,
  };
}

function bars(row, axis, target) {
  const tallest = Math.max(...row.counts, 1);
  return row.counts.map((count, i) => {
    const [left, right] = [axis.x(row.edges[i]), axis.x(row.edges[i + 1])];
    const height = count ? Math.max(1, (Math.sqrt(count / tallest)) * (FLOOR - 4)) : 0;
    const inside = target && row.edges[i + 1] >= target[0] && row.edges[i] <= target[1];
    const bar = svg("rect", { class: inside ? "bar in" : "bar", x: left, y: FLOOR - height, width: Math.max(right - left - 0.6, 0.6), height });
    bar.append(svg("title", {}));
    bar.firstChild.textContent = `${short(row.edges[i])} to ${short(row.edges[i + 1])} ${row.unit}: ${count} training crystals`;
    return bar;
  });
}

function picture(row, target, put) {
  const axis = scale(row, target);
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "group", "aria-label": `${row.label}: training data` });
  picture.append(...bars(row, axis, target));
  picture.append(svg("line", { class: "axis", x1: SIDE, x2: WIDTH - SIDE, y1: FLOOR + 0.5, y2: FLOOR + 0.5 }));
  for (const [value, anchor] of [[axis.low, "start"], [(axis.low + axis.high) / 2, "middle"], [axis.high, "end"]]) {
    const tick = svg("text", { class: "tick", x: axis.x(value), y: HEIGHT - 4, "text-anchor": anchor });
    tick.textContent = short(value);
    picture.append(tick);
  }
  if (!target) return picture;
  const point = target[0] === target[1];
  target.forEach((value, i) => {
    if (point && i) return;
    const move = (next) => {
      const pair = point ? [next, next] : i ? [Math.min(target[0], next), next] : [next, Math.max(target[1], next)];
      put(pair.map((v) => Number(v.toPrecision(4))));
    };
    const knob = svg("circle", { class: "knob", cx: axis.x(value), cy: 6, r: 5, tabindex: 0, role: "slider", "aria-valuenow": short(value),
      "aria-valuemin": short(axis.low), "aria-valuemax": short(axis.high), "data-knob": i,
      "aria-label": `${row.label} ${point ? "target" : i ? "highest" : "lowest"}, ${row.unit}` });
    knob.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageUp: 10, PageDown: -10 }[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      move(value + step * axis.step);
    });
    knob.addEventListener("pointerdown", (event) => {
      const box = picture.getBoundingClientRect();
      const at = (e) => Math.min(axis.high, Math.max(axis.low, axis.value(((e.clientX - box.left) / box.width) * WIDTH)));
      event.preventDefault();
      knob.setPointerCapture(event.pointerId);
      knob.onpointermove = (e) => knob.setAttribute("cx", axis.x(at(e)));
      knob.onpointerup = (e) => { knob.onpointermove = null; move(at(e)); };
    });
    picture.append(svg("line", { class: "handle", x1: axis.x(value), x2: axis.x(value), y1: 6, y2: FLOOR }), knob);
  });
  return picture;
}

/** The target a mode begins with: the middle of the taught range, or its middle half. */
function first(row, mode) {
  const total = row.counts.reduce((a, b) => a + b, 0) || 1;
  const quantile = (q) => {
    let sum = 0;
    const i = row.counts.findIndex((count) => (sum += count) >= q * total);
    return Number(((row.edges[i] + row.edges[i + 1]) / 2).toPrecision(3));
  };
  return mode === "point" ? [quantile(0.75), quantile(0.75)] : [quantile(0.5), quantile(0.9)];
}

function render({ model, el }) {
  el.classList.add("mgb");
  const draw = () => {
    const focus = document.activeElement && el.contains(document.activeElement) ? document.activeElement.dataset.focus ?? null : null;
    const targets = model.get("targets");
    el.replaceChildren(...model.get("rows").map((row) => {
      const target = targets[row.name] ?? null;
      const put = (value) => {
        const next = { ...model.get("targets") };
        if (value) next[row.name] = value;
        else delete next[row.name];
        tell(model, { targets: next });
      };
      const mode = !target ? "off" : target[0] === target[1] && !ranges.has(row.name) ? "point" : "range";
      const choice = h("select", { class: "mgb-input", "aria-label": `${row.label}: off, point or range`, "data-focus": `${row.name}-mode`,
        onchange: (event) => {
          ranges[event.target.value === "range" ? "add" : "delete"](row.name);
          put(event.target.value === "off" ? null : first(row, event.target.value));
        } }, ...["off", "point", "range"].map((name) => h("option", { value: name, selected: name === mode }, name)));
      const box = (i) => h("input", { class: "mgb-input", type: "number", step: "any", value: target[i], "data-focus": `${row.name}-${i}`,
        "aria-label": `${row.label} ${mode === "point" ? "target" : i ? "highest" : "lowest"} in ${row.unit || "its unit"}`,
        onchange: (event) => {
          const value = Number(event.target.value);
          if (event.target.value === "" || !Number.isFinite(value)) return draw();
          put(mode === "point" ? [value, value] : i ? [Math.min(target[0], value), value] : [value, Math.max(target[1], value)]);
        } });
      const boxes = !target ? [] : mode === "point" ? [box(0)] : [box(0), h("span", {}, "to"), box(1)];
      const lean = (value) => {
        const next = { ...model.get("strengths") };
        if (value === "" || !Number.isFinite(Number(value))) delete next[row.name];
        else next[row.name] = Number(value);
        tell(model, { strengths: next });
      };
      const strength = !target ? null : h("label", { class: "strength", title: "How strongly the model leans towards this target; empty: as strongly as Guidance says" }, "guidance ",
        h("input", { class: "mgb-input", type: "number", step: "0.5", min: "0", value: model.get("strengths")[row.name] ?? "", placeholder: short(model.get("strength")),
          "data-focus": `${row.name}-strength`, "aria-label": `${row.label} strength of guidance`, onchange: (event) => lean(event.target.value) }));
      const warning = model.get("warnings")[row.name];
      return h("div", { class: `mgb-target ${mode}`, "data-property": row.name, title: row.about || null },
        h("div", { class: "top" }, h("span", { class: "name" }, row.label), ...boxes, h("span", { class: "unit" }, row.unit), choice),
        picture(row, target, put), strength, warning ? h("div", { class: "warn", role: "status" }, warning) : null);
    }));
    if (focus) el.querySelector(`[data-focus="${focus}"]`)?.focus();
  };
  const ranges = new Set(Object.entries(model.get("targets")).filter(([, [a, b]]) => a !== b).map(([name]) => name));
  draw();
  return listen(model, ["rows", "targets", "strengths", "strength", "warnings"], draw);
}
export default { render };
