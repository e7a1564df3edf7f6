/* Python or shell text that does what the bench does, with a button that copies it; and files handed to the browser. */
function render({ model, el }) {
  el.classList.add("mgb");
  const draw = () => {
    const text = model.get("text");
    if (!text) return el.replaceChildren();
    const button = h("button", { class: "mgb-button", type: "button" }, "Copy");
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(pre);
        button.textContent = "Selected: press Ctrl+C";
      }
      setTimeout(() => (button.textContent = "Copy"), 2500);
    });
    const pre = h("pre", { tabindex: "0", "aria-label": model.get("label") }, text);
    el.replaceChildren(h("div", { class: "mgb-code" }, pre, button));
  };
  const download = (message, buffers) => {
    if (message.kind !== "download") return;
    const url = URL.createObjectURL(new Blob(buffers, { type: message.mime }));
    const link = h("a", { href: url, download: message.name });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  };
  model.on("msg:custom", download);
  draw();
  const stop = listen(model, ["text", "label"], draw);
  return () => { stop(); model.off("msg:custom", download); };
}
export default { render };
