/* Hangs one plotly figure; plotly.js is sent once a page and shared by all. */
const PLOTLY = "plotly";

/** Exchanges the figure's paper colours for the theme's and lays the theme's inks under it. */
function themed(model, el) {
  const colours = inks(el);
  const standins = model.get("inks");
  let text = model.get("figure");
  for (const [name, colour] of Object.entries(standins)) text = text.replaceAll(colour, colours[name] || colour);
  const figure = JSON.parse(text);
  const axis = { gridcolor: colours.line, zerolinecolor: colours.line, linecolor: colours.line, tickcolor: colours.line };
  const layout = figure.layout ?? {};
  const style = { font: { color: colours.ink, family: getComputedStyle(el).fontFamily, size: 12 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    xaxis: axis, yaxis: axis, hoverlabel: { bgcolor: colours.ground, font: { color: colours.ink }, bordercolor: colours.line } };
  const template = layout.template ?? {};
  layout.template = { ...template, layout: { ...template.layout, ...style, xaxis: { ...template.layout?.xaxis, ...axis }, yaxis: { ...template.layout?.yaxis, ...axis } } };
  return { data: figure.data ?? [], layout: { ...layout, autosize: true, width: undefined, height: undefined } };
}

function render({ model, el }) {
  el.classList.add("mgb", "mgb-fill");
  const host = h("div", { class: "mgb-plot", role: "figure", "aria-label": model.get("label") });
  el.append(host);
  let Plotly = null, gone = false, wired = false;
  const config = { displaylogo: false, responsive: false, modeBarButtonsToRemove: ["lasso2d", "autoScale2d", "toImage"], displayModeBar: "hover" };

  let shapes = [];
  /** An upright line through all of the picture, where something is being played. */
  const line = () => model.get("cursor").map((x) => ({ type: "line", x0: x, x1: x, yref: "paper", y0: 0, y1: 1, line: { width: 1.5, color: inks(el).ink } }));
  const point = () => { if (wired) Plotly.relayout(host, { shapes: [...shapes, ...line()] }); };
  const draw = async () => {
    if (!Plotly || gone || !model.get("figure")) return;
    const { data, layout } = themed(model, el);
    shapes = layout.shapes ?? [];
    layout.shapes = [...shapes, ...line()];
    if (!model.get("brushed").length) Object.assign(layout, { selections: [], selectionrevision: Date.now() });  // taken back elsewhere
    await Plotly.react(host, data, layout, config);
    host.setAttribute("aria-label", model.get("label"));
    if (wired) return;
    wired = true;
    host.on("plotly_click", (event) => {
      const found = event.points.find((point) => point.customdata != null);
      if (found) write(model, { clicked: { id: [found.customdata].flat()[0], n: Date.now() } });
    });
    host.on("plotly_selected", (event) => {
      const range = event?.range?.x ?? event?.range?.xaxis ?? null;
      if (range) write(model, { brushed: [Math.min(...range), Math.max(...range)] });
    });
    host.on("plotly_deselect", () => write(model, { brushed: [] }));
    host.on("plotly_doubleclick", () => write(model, { brushed: [] }));
  };
  const stopWaiting = whenSeen(host, async () => {
    Plotly = await library(model, PLOTLY, ([source]) => {
      const { made, restore } = runBundle(source, ["Plotly"]);
      restore();
      return made.Plotly;
    });
    draw();
  });
  const resize = new ResizeObserver(() => { if (wired && host.clientWidth) Plotly.Plots.resize(host); });
  resize.observe(host);
  const stops = [listen(model, ["figure", "label"], draw), listen(model, ["cursor"], point), onTheme(draw), stopWaiting];
  return () => {
    gone = true;
    resize.disconnect();
    stops.forEach((stop) => stop());
    if (wired) Plotly.purge(host);
  };
}
export default { render };
