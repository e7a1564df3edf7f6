/* Candidates: only the rows in view are asked for and drawn; sorting, filtering and choosing are told to the kernel. */
const ROW = 27;

function cell(column, value) {
  const td = h("td", { class: column.kind === "number" ? "number" : "", "data-column": column.name });
  if (value === null || value === undefined) {
    td.classList.add("pending");
    td.textContent = "·";
    td.title = "not known yet";
  } else if (column.kind === "flag") {
    td.className = value ? "yes" : "no";
    td.textContent = value ? "✓ yes" : "– no";
  } else if (column.name === "formula") {
    td.append(...value.split(/(\d+)/).filter(Boolean).map((part) => (/^\d/.test(part) ? h("sub", {}, part) : part)));
  } else td.textContent = value;
  if (column.name === "reason" && value) td.title = value;
  return td;
}

/** Draws a part anew; the input or button that had the focus has it again, with what was typed into it so far. */
function stay(part, draw) {
  const had = part.contains(document.activeElement) ? document.activeElement : null;
  const label = had?.getAttribute("aria-label") ?? had?.dataset.sort;
  const typed = had?.type === "text" ? [had.value, had.selectionStart, had.selectionEnd] : null;
  draw();
  if (!label) return;
  const again = [...part.querySelectorAll("input, button")].find((one) => (one.getAttribute("aria-label") ?? one.dataset.sort) === label);
  if (!again) return;
  again.focus({ preventScroll: true });
  if (typed) {
    again.value = typed[0];
    again.setSelectionRange(typed[1], typed[2]);
  }
}

function render({ model, el }) {
  el.classList.add("mgb", "mgb-fill");
  const grid = h("div", { class: "mgb-grid", tabindex: "0", role: "region", "aria-label": "Candidates, scrollable" });
  const foot = h("div", { class: "mgb-foot", role: "status" });
  const empty = h("div", { class: "mgb-empty" }, h("span", {}, h("b", {}, "No candidates yet"), "Choose elements, press Generate, and crystals appear here as each batch is finished."));
  el.append(h("div", { class: "mgb-candidates-table" }, grid, foot));
  const head = h("thead"), body = h("tbody");
  const table = h("table", { role: "grid", "aria-label": "Candidates" }, head, body);

  const visible = () => {
    const first = Math.max(0, Math.floor(grid.scrollTop / ROW) - 8);
    return [first, Math.ceil(grid.clientHeight / ROW) + 20];
  };
  let timer = null;
  const ask = () => {
    const [first, count] = visible();
    const [had, had_count] = model.get("window");
    if (first >= had && first + Math.ceil(grid.clientHeight / ROW) <= had + had_count && Math.abs(first - had) < 8) return;
    clearTimeout(timer);
    timer = setTimeout(() => write(model, { window: [first, count] }), 40);
  };
  grid.addEventListener("scroll", ask, { passive: true });

  const choose = (id, on) => {
    const chosen = new Set(model.get("chosen"));
    chosen[on ? "add" : "delete"](id);
    tell(model, { chosen: [...chosen] });
  };

  const drawHead = () => {
    const [sorted, down] = model.get("sort");
    const names = h("tr"), filters = h("tr", { class: "filters" });
    names.append(h("th", { class: "choose" }, h("input", { type: "checkbox", "aria-label": "Choose all rows that pass the filters", "data-choose": "all",
      onchange: (event) => model.send({ kind: "choose", all: event.target.checked }) })));
    filters.append(h("th", { class: "choose" }));
    for (const column of model.get("columns")) {
      const arrow = sorted === column.name ? (down ? " ↓" : " ↑") : "";
      const order = sorted === column.name ? (down ? "descending" : "ascending") : "none";
      names.append(h("th", { class: column.kind === "number" ? "number" : "", "aria-sort": order, title: column.about || null, scope: "col" },
        h("button", { type: "button", "data-sort": column.name, onclick: () => write(model, { sort: sorted === column.name ? (down ? ["", false] : [column.name, true]) : [column.name, false] }) },
          column.label + arrow), column.unit ? h("span", { class: "unit" }, column.unit) : null));
      filters.append(h("th", {}, h("input", { class: "mgb-input", type: "text", value: model.get("filters")[column.name] ?? "", placeholder: column.kind === "number" ? "<, >, 1..2" : "filter",
        "aria-label": `Filter ${column.label}`, "data-filter": column.name,
        onchange: (event) => {
          const next = { ...model.get("filters") };
          if (event.target.value.trim()) next[column.name] = event.target.value.trim();
          else delete next[column.name];
          write(model, { filters: next });
        },
        onkeydown: (event) => event.stopPropagation() })));
    }
    stay(head, () => head.replaceChildren(names, filters));
  };

  const drawRows = () => {
    const columns = model.get("columns"), total = model.get("total");
    const { first, rows, ids } = model.get("page");
    const blank = (height) => h("tr", { "aria-hidden": "true" }, h("td", { style: `height:${height}px;padding:0;border:0`, colspan: columns.length + 1 }));
    const chosen = new Set(model.get("chosen")), selected = model.get("selected");
    const lines = rows.map((values, i) => {
      const id = ids[i];
      const box = h("input", { type: "checkbox", "aria-label": `Choose ${id}`, onchange: (event) => choose(id, event.target.checked), onclick: (event) => event.stopPropagation() });
      box.checked = chosen.has(id);
      return h("tr", { "data-id": id, "aria-selected": String(id === selected), "aria-rowindex": first + i + 1, onclick: () => { grid.focus({ preventScroll: true }); write(model, { selected: id }); } },
        h("td", { class: "choose" }, box), ...columns.map((column, j) => cell(column, values[j])));
    });
    const below = Math.max(0, total - first - rows.length) * ROW;
    stay(body, () => body.replaceChildren(...(first ? [blank(first * ROW)] : []), ...lines, ...(below ? [blank(below)] : [])));
    table.setAttribute("aria-rowcount", total);
    const nothing = !model.get("all");
    if (nothing !== (grid.firstChild === empty)) grid.replaceChildren(nothing ? empty : table);
    if (!grid.firstChild) grid.append(nothing ? empty : table);
    head.querySelector("[data-choose=all]").checked = chosen.size > 0 && chosen.size >= total;
    drawFoot();
    ask();
  };

  const drawFoot = () => {
    const total = model.get("total"), all = model.get("all"), chosen = model.get("chosen").length;
    const count = all ? (total === all ? `${all} candidates` : `${total} of ${all} candidates`) : "";
    const chips = model.get("chips").map(([name, text]) => h("span", { class: "mgb-chip" }, text,
      h("button", { type: "button", "aria-label": `Remove the filter ${text}`, onclick: () => model.send({ kind: "unbrush", name }) }, "×")));
    const wrong = model.get("complaint");
    foot.replaceChildren(h("span", {}, chosen ? `${count}, ${chosen} chosen` : count), ...chips, wrong ? h("span", { style: "color:var(--mgb-warn)" }, wrong) : "",
      h("span", { style: "margin-left:auto" }, model.get("summary")));
  };

  /** Arrow keys move the selection; space chooses. */
  grid.addEventListener("keydown", (event) => {
    if (event.target.tagName === "INPUT" && event.target.type === "text") return;
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
    const selected = model.get("selected");
    if (event.key === " " && selected) choose(selected, !model.get("chosen").includes(selected));
    else if (step) model.send({ kind: "step", by: step });
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  const follow = () => {
    const at = model.get("position");
    if (at < 0) return;
    const top = at * ROW, height = grid.clientHeight - 2 * ROW - 8;
    if (top < grid.scrollTop) grid.scrollTop = top;
    else if (top + ROW > grid.scrollTop + height) grid.scrollTop = top + ROW - height;
  };

  drawHead();
  drawRows();
  const stops = [listen(model, ["columns", "sort", "filters"], () => { drawHead(); drawRows(); }), listen(model, ["page", "selected", "chosen", "all"], drawRows),
    listen(model, ["total", "chips", "summary", "complaint"], drawFoot), listen(model, ["position"], follow)];
  const resize = new ResizeObserver(ask);
  resize.observe(grid);
  return () => { stops.forEach((stop) => stop()); resize.disconnect(); };
}
export default { render };
