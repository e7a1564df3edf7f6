/* What every widget of the bench uses; Python puts this in front of each widget's own module. */

/** The one place a page keeps big libraries, whichever widget asked first. */
const libraries = (globalThis.__crystalBench ??= { libraries: {} }).libraries;

/** A library by name, sent by the kernel once a page; asked for again every three seconds until it comes. */
function library(model, name, take) {
  const entry = (libraries[name] ??= { asked: 0 });
  entry.promise ??= new Promise((resolve) => (entry.resolve = resolve));
  if (entry.ready) return entry.promise;
  const ask = () => {
    if (entry.ready) return clearInterval(timer);
    if (Date.now() - entry.asked > 2900) {
      entry.asked = Date.now();
      model.send({ kind: "library", name });
    }
  };
  const timer = setInterval(ask, 1000);
  model.on("msg:custom", function got(message, buffers) {
    if (message.kind !== "library" || message.name !== name) return;
    model.off("msg:custom", got);
    clearInterval(timer);
    if (entry.ready) return;
    entry.ready = true;
    const text = new TextDecoder();
    entry.resolve(take(buffers.map((buffer) => text.decode(buffer))));
  });
  ask();
  return entry.promise;
}

/** Tells only of nodes that are still on the page: a bundle may have destroyed what it would resize of the others. */
class PresentObserver extends ResizeObserver {
  constructor(callback) {
    super((entries, observer) => {
      const there = entries.filter((entry) => entry.target.isConnected);
      if (there.length) callback(there, observer);
    });
  }
}

/** Runs a UMD bundle so that it takes its browser branch, and gives back the global it set, leaving the page as it was. */
function runBundle(source, names) {
  const before = Object.fromEntries(names.map((name) => [name, globalThis[name]]));
  new Function("define", "module", "exports", "require", "ResizeObserver", source).call(globalThis, undefined, undefined, undefined, undefined, PresentObserver);
  const made = Object.fromEntries(names.map((name) => [name, globalThis[name]]));
  return { made, restore: () => Object.assign(globalThis, before) };
}

/** An element with attributes and children. */
function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

/** The bench's colours as they are now. */
function inks(node) {
  const style = getComputedStyle(node);
  const of = (name) => style.getPropertyValue(name).trim();
  return { ink: of("--mgb-ink"), dim: of("--mgb-dim"), line: of("--mgb-line"), ground: of("--mgb-ground"), accent: of("--mgb-accent"),
    good: of("--mgb-good"), bad: of("--mgb-bad"), warn: of("--mgb-warn") };
}

/** Calls back when JupyterLab's theme changes; gives the way to stop. */
function onTheme(callback) {
  const observer = new MutationObserver(() => requestAnimationFrame(callback));
  observer.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name"] });
  return () => observer.disconnect();
}

/** Calls back once the node lies on the page with a size: nothing can be drawn before. */
function whenSeen(node, callback) {
  const observer = new ResizeObserver(() => {
    if (!node.isConnected || !node.clientWidth || !node.clientHeight) return;
    observer.disconnect();
    callback();
  });
  observer.observe(node);
  return () => observer.disconnect();
}

/** Listens to several names of a model; gives the way to stop. */
function listen(model, names, callback) {
  for (const name of names) model.on(`change:${name}`, callback);
  return () => names.forEach((name) => model.off(`change:${name}`, callback));
}

/**
 * Writes to the kernel so that nothing said later comes before it. Changes of a model's state wait while the kernel is
 * busy, messages do not: without the message, a press on a button could overtake the choice made before it.
 */
function tell(model, values) {
  write(model, values);
  model.send({ kind: "set", values });
}

/** Writes to the kernel. */
function write(model, values) {
  for (const [name, value] of Object.entries(values)) model.set(name, value);
  model.save_changes();
}
