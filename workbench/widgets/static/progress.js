/* How far a run is, and the crystal that is just losing its noise: a plain canvas, a few hundred bytes a picture. */
function clock(seconds) {
  if (seconds == null || seconds < 0) return "";
  const whole = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return hours ? `${hours} h ${minutes} min` : minutes ? `${minutes} min ${String(rest).padStart(2, "0")} s` : `${rest} s`;
}

/** Two bars: crystals made, crystals judged. */
function bars(run) {
  const share = (done, total) => `${total ? Math.min(100, (100 * done) / total) : 0}%`;
  const inside = run.steps && run.made < run.wanted ? run.under_way * (run.step / run.steps) : 0;
  const track = (name, done, total, label, soft) =>
    h("div", { class: "track", role: "progressbar", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": total, "aria-valuenow": Math.floor(done), "data-bar": name },
      h("div", { class: soft ? "fill soft" : "fill", style: `width:${share(done, total)}` }));
  return [
    h("div", { class: "line" }, h("span", { "data-said": "made" }, h("b", {}, `${run.made} of ${run.wanted}`), " crystals"),
      h("span", {}, run.steps && run.phase === "generating" ? `step ${run.step} of ${run.steps}` : "")),
    track("made", run.made + inside, run.wanted, "Crystals generated"),
    h("div", { class: "line" }, h("span", { "data-said": "judged" }, h("b", {}, `${run.judged} of ${run.made}`), " judged"),
      h("span", {}, run.judging ?? "")),
    track("judged", run.judged, run.wanted, "Crystals judged", true),
    h("div", { class: "line" }, h("span", { "data-said": "phase" }, run.says), h("span", {}, run.left != null ? `${clock(run.left)} left` : "")),
  ];
}

/** Atoms of one cell as shaded discs, seen along a gentle slant. */
function paint(canvas, scene, colours) {
  const size = 116, ratio = globalThis.devicePixelRatio || 1;
  canvas.width = canvas.height = size * ratio;
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  pen.clearRect(0, 0, size, size);
  if (!scene?.positions) return;
  const [c1, s1, c2, s2] = [Math.cos(0.5), Math.sin(0.5), Math.cos(0.32), Math.sin(0.32)];
  const turn = ([x, y, z]) => [x * c1 - y * s1, z * c2 - (x * s1 + y * c1) * s2, z * s2 + (x * s1 + y * c1) * c2];
  const [a, b, c] = scene.cell;
  const corner = (i, j, k) => turn([0, 1, 2].map((d) => i * a[d] + j * b[d] + k * c[d] - (a[d] + b[d] + c[d]) / 2));
  const corners = [];
  for (const i of [0, 1]) for (const j of [0, 1]) for (const k of [0, 1]) corners.push(corner(i, j, k));
  const reach = Math.max(...corners.map(([x, y]) => Math.hypot(x, y)), 1);
  const zoom = (size / 2 - 8) / reach;
  const at = ([x, y]) => [size / 2 + x * zoom, size / 2 - y * zoom];
  pen.strokeStyle = colours.dim;
  pen.globalAlpha = 0.5;
  for (let i = 0; i < 8; i++) for (const bit of [1, 2, 4]) if (!(i & bit)) {
    pen.beginPath();
    pen.moveTo(...at(corners[i]));
    pen.lineTo(...at(corners[i | bit]));
    pen.stroke();
  }
  pen.globalAlpha = 1;
  const middle = [0, 1, 2].map((d) => (a[d] + b[d] + c[d]) / 2);
  const atoms = scene.positions.map((p, n) => ({ p: turn(p.map((v, d) => v - middle[d])), colour: scene.colours[n] }));
  atoms.sort((m, n) => n.p[2] - m.p[2]);
  const radius = Math.max(3.2, Math.min(8, 0.62 * zoom));
  for (const { p, colour } of atoms) {
    const [x, y] = at(p);
    const shade = pen.createRadialGradient(x - radius / 3, y - radius / 3, radius / 8, x, y, radius);
    shade.addColorStop(0, "#ffffff");
    shade.addColorStop(0.35, colour);
    shade.addColorStop(1, colour);
    pen.fillStyle = shade;
    pen.beginPath();
    pen.arc(x, y, radius, 0, 7);
    pen.fill();
    pen.strokeStyle = "#00000055";
    pen.stroke();
  }
}

function render({ model, el }) {
  el.classList.add("mgb");
  const lines = h("div", { class: "mgb-progress" });
  const canvas = h("canvas", { role: "img", "aria-label": "The crystal being generated" });
  const facts = h("div", { class: "facts" });
  const preview = h("div", { class: "mgb-preview" }, canvas, facts);
  el.append(lines, preview);
  const drawRun = () => {
    const run = model.get("run");
    lines.replaceChildren(...(run.wanted ? bars(run) : run.says ? [h("div", { class: "line" }, h("span", { "data-said": "phase" }, run.says))] : []));
  };
  const drawScene = () => {
    el.closest(".mgb-playback")?.querySelectorAll(".widget-play button, .jupyter-widget-play button").forEach((one, i) => {
      one.title = ["Play or pause", "Stop, back to the beginning", "Play again and again"][i] ?? one.title;
      one.setAttribute("aria-label", one.title);
    });
    const scene = model.get("scene");
    preview.style.visibility = scene.positions ? "" : "hidden";  // its place is kept, so that nothing jumps
    paint(canvas, scene, inks(el));
    facts.replaceChildren(...(scene.formula ? [h("b", {}, scene.formula), ...scene.facts.map((fact) => h("div", {}, fact))] : []));
  };
  drawRun();
  drawScene();
  const stops = [listen(model, ["run"], drawRun), listen(model, ["scene"], drawScene), onTheme(drawScene)];
  return () => stops.forEach((stop) => stop());
}
export default { render };
