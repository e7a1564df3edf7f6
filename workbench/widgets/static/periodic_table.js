/* Pick elements: a brush (exactly, allow, forbid) paints them; painting twice takes the paint off. */
const BRUSHES = [
  ["exactly", "Exactly", "exactly these elements together, each present"],
  ["allow", "Allow", "nothing outside these may appear"],
  ["forbid", "Forbid", "none of these may appear"],
];

function render({ model, el }) {
  el.classList.add("mgb");
  const says = Object.fromEntries(BRUSHES.map(([key, , about]) => [key, about]));
  const brushes = BRUSHES.map(([key, name, about]) =>
    h("button", { class: "brush", type: "button", role: "radio", "data-brush": key, title: about, onclick: () => write(model, { brush: key }) },
      h("i", { class: `mgb-swatch ${key}`, "aria-hidden": "true" }), name));
  const clear = h("button", { class: "mgb-button clear", type: "button", onclick: () => tell(model, { choices: {} }) }, "Clear");
  const head = h("div", { class: "mgb-brushes", role: "radiogroup", "aria-label": "What a click on an element means" }, ...brushes, clear);
  head.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const here = brushes.indexOf(event.target);
    if (!step || here < 0) return;
    event.preventDefault();
    event.stopPropagation();
    const next = brushes[(here + step + brushes.length) % brushes.length];
    next.focus();
    next.click();
  });
  const table = h("div", { class: "mgb-table-of-elements", role: "group", "aria-label": "Periodic table" });
  const buttons = new Map();

  for (const [symbol, row, column, taught] of model.get("cells")) {
    const button = h("button", { class: "mgb-element", type: "button", "data-el": symbol, tabindex: "-1",
      style: `grid-row:${row};grid-column:${column}`, "aria-disabled": taught ? "false" : "true" }, symbol);
    button.addEventListener("click", () => paint(symbol));
    buttons.set(symbol, { button, row, column, taught });
    table.append(button);
  }
  table.append(h("div", { class: "mgb-gap", style: "grid-row:8", "aria-hidden": "true" }));
  buttons.get("H").button.tabIndex = 0;
  el.append(h("div", { class: "mgb-elements" }, head, table));

  function paint(symbol) {
    if (!buttons.get(symbol).taught || model.get("disabled")) return;
    const choices = { ...model.get("choices") };
    const brush = model.get("brush");
    if (choices[symbol] === brush) delete choices[symbol];
    else choices[symbol] = brush;
    tell(model, { choices });
  }

  /** Arrow keys walk the table; the nearest element in that direction takes the focus. */
  table.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    const here = buttons.get(event.target.dataset?.el);
    if (!step || !here) return;
    event.preventDefault();
    event.stopPropagation();
    const ahead = [...buttons.values()].filter(({ row, column }) =>
      step[0] ? Math.sign(row - here.row) === step[0] && column === here.column : row === here.row && Math.sign(column - here.column) === step[1]);
    const next = ahead.sort((a, b) => distance(a, here) - distance(b, here))[0];
    if (!next) return;
    here.button.tabIndex = -1;
    next.button.tabIndex = 0;
    next.button.focus();
  });
  const distance = (a, b) => Math.abs(a.row - b.row) + Math.abs(a.column - b.column);

  const draw = () => {
    const choices = model.get("choices");
    for (const [symbol, { button, taught }] of buttons) {
      const state = choices[symbol] ?? "off";
      button.dataset.state = state;
      button.setAttribute("aria-pressed", state === "off" ? "false" : "true");
      const meaning = taught ? says[state] ?? "any" : "outside what the models are taught";
      button.setAttribute("aria-label", `${symbol}: ${taught ? (state === "off" ? "any" : state) : meaning}`);
      button.title = taught ? `${symbol}: ${meaning}` : `${symbol}: ${meaning}`;
    }
    for (const brush of brushes) brush.setAttribute("aria-checked", String(brush.dataset.brush === model.get("brush")));
    clear.disabled = !Object.keys(choices).length || model.get("disabled");
  };
  draw();
  return listen(model, ["choices", "brush", "disabled"], draw);
}
export default { render };
