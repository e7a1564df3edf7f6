/* Crystal Toolkit's scenes side by side under one camera, without a Dash server: the component's bundle mounted by React. */
const BUNDLE = "crystal-toolkit";

/** React, ReactDOM, prop-types and the component library, in that order; the page's own globals are put back. */
function loadToolkit(sources) {
  const [react, dom, types, components] = sources;
  const restores = [];
  for (const [source, names] of [[react, ["React"]], [dom, ["ReactDOM"]], [types, ["PropTypes"]]]) {
    const { made, restore } = runBundle(source, names);
    Object.assign(globalThis, made);
    restores.unshift(restore);
  }
  const { made, restore } = runBundle(components, ["dash_mp_components"]);
  const kit = { React: globalThis.React, ReactDOM: globalThis.ReactDOM, ...made.dash_mp_components };
  restore();
  restores.forEach((again) => again());
  return kit;
}

/** The scene with the edges of its cell in an ink that is seen on the theme's ground. */
function inked(part, colour, inside = false) {
  const cell = inside || part.name === "unit_cell";
  const contents = part.contents?.map((one) => inked(one, colour, cell));
  return { ...part, ...(contents ? { contents } : {}), ...(cell && part.type ? { color: colour } : {}) };
}

/** The scene with the element written on every atom; left out and not hidden where it is not wanted, for hidden groups keep their labels. */
function labelled(data) {
  const atoms = data.contents.find((part) => part.name === "atoms");
  const contents = (atoms?.contents ?? []).flatMap((sphere) => sphere.positions.map((origin) => (
    { name: "label", origin, visible: true, contents: [{ type: "labels", label: (sphere.tooltip ?? "").split(" ")[0] }] })));
  return { ...data, contents: [...data.contents, { name: "atom_labels", origin: atoms?.origin, visible: true, contents }] };
}

/** The full settings each time: the component writes into its shared defaults. */
function settings() {
  return { renderer: "webgl", antialias: true, transparentBackground: true, background: "#ffffff", extractAxis: true, secondaryObjectView: false,
    defaultZoom: 1.05, sphereSegments: 24, cylinderSegments: 12, staticScene: true, zoomToFit2D: false };
}

function render({ model, el }) {
  el.classList.add("mgb", "mgb-fill");
  const frame = h("div", { class: "mgb-fill", "data-scenes": "0" });
  el.append(frame);
  let root = null, kit = null, gone = false, asked = {};
  const unique = crypto.randomUUID();

  const message = (text) => h("div", { class: "mgb-empty" }, h("span", {}, h("b", {}, text.split("\n")[0]), text.split("\n")[1] ?? ""));
  const legend = (entries) => kit.React.createElement("div", { className: "mgb-legend", key: "legend" },
    ...entries.map(([name, colour]) => kit.React.createElement("span", { key: name }, kit.React.createElement("i", { style: { background: colour } }), name)));

  const draw = () => {
    if (gone) return;
    const scenes = model.get("scenes");
    frame.dataset.scenes = scenes.length;
    if (!scenes.length) {
      root?.unmount();
      root = null;
      return frame.replaceChildren(message(model.get("empty")));
    }
    if (!kit) return frame.replaceChildren(message("Loading the viewer"));
    if (!root) {
      frame.replaceChildren();
      root = kit.ReactDOM.createRoot(frame);
    }
    const colour = inks(el).dim || "#616e7c";
    const e = kit.React.createElement;
    frame.querySelectorAll(".host .tooltip").forEach((label) => label.remove());  // the component leaves those of the scene before; its own come again
    const data = (scene) => inked(model.get("visible").labels ? labelled(scene.data) : scene.data, colour);
    const one = (scene, i) => e("div", { className: "mgb-scene", key: scene.title, "data-title": scene.title, role: "img", "aria-label": `${scene.title}: ${scene.about}` },
      e("div", { className: "caption" }, e("b", null, scene.title), " ", scene.about),
      e("div", { className: "host" }, e(Sized, null, (size) => e(kit.CrystalToolkitScene, {
        id: `scene-${unique}-${i}`, data: data(scene), sceneSize: size, settings: settings(), toggleVisibility: model.get("visible"), axisView: "SW", inletSize: 88,
        showControls: false, showExpandButton: false, showImageButton: false, showExportButton: false, showPositionButton: false,
        imageRequest: i === asked.i && asked.n ? asked.request : undefined,
        setProps: (props) => {
          if (props.imageData) write(model, { image: props.imageData });
          if (props.selectedObject) write(model, { picked: String(props.selectedObject[0]?.tooltip ?? "") });
        } }))),
      i === scenes.length - 1 ? legend(scene.legend) : null);
    root.render(e(kit.CameraContextProvider, null, e("div", { className: "mgb-scenes" }, ...scenes.map(one))));  // it takes one child only
  };

  /** The largest square in the place: the component draws in squares only. */
  function Sized({ children }) {
    const { useRef, useState, useEffect, createElement } = kit.React;
    const place = useRef(null);
    const [size, setSize] = useState(null);
    useEffect(() => {
      const observer = new ResizeObserver(() => setSize(Math.min(place.current.clientWidth, place.current.clientHeight) || null));
      observer.observe(place.current);
      return () => observer.disconnect();
    }, []);
    return createElement("div", { ref: place, style: { width: "100%", height: "100%" } }, size ? createElement("div", { className: "square", style: { width: `${size}px`, height: `${size}px` } }, children("100%")) : null);
  }

  const photograph = () => {
    const request = model.get("image_request");
    if (!request.n) return;
    asked = { i: request.i ?? 0, n: request.n, request: { filetype: "png", n: request.n } };
    draw();
  };
  draw();
  const stopWaiting = whenSeen(frame, async () => {
    kit = await library(model, BUNDLE, loadToolkit);
    draw();
  });
  const stops = [listen(model, ["scenes", "visible", "empty"], draw), listen(model, ["image_request"], photograph), onTheme(draw), stopWaiting];
  return () => {
    gone = true;
    stops.forEach((stop) => stop());
    root?.unmount();
  };
}
export default { render };
