/* One sentence under a panel, with the traceback one click away. */
function render({ model, el }) {
  el.classList.add("mgb");
  const line = h("div", { role: "status", "aria-live": "polite" });
  el.append(line);
  const draw = () => {
    const [sentence, kind, details] = [model.get("sentence"), model.get("kind"), model.get("details")];
    line.className = sentence ? `mgb-notice-line ${kind}` : "";
    if (!sentence) return line.replaceChildren();
    const says = h("div", { class: "says" }, sentence);
    if (details) says.append(h("details", {}, h("summary", {}, "Traceback"), h("pre", {}, details)));
    const close = h("button", { "aria-label": "Dismiss this message", onclick: () => write(model, { sentence: "", details: "" }) }, "×");
    line.replaceChildren(says, close);
  };
  draw();
  return listen(model, ["sentence", "kind", "details"], draw);
}
export default { render };
