/* One sentence under a panel, with the traceback one click away; and the panel's keys are kept from JupyterLab. */
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
  // keys pressed in a panel are the panel's: JupyterLab would change or delete the cell below it by the same letters,
  // unless what has the focus says itself that it takes no shortcuts
  const arrived = setInterval(() => {
    const panel = el.closest(".mgb-panel");
    if (!panel) return;
    clearInterval(arrived);
    panel.addEventListener("focusin", (event) => (event.target.dataset.lmSuppressShortcuts = "true"));
  }, 50);
  const stop = listen(model, ["sentence", "kind", "details"], draw);
  return () => { clearInterval(arrived); stop(); };
}
export default { render };
