"""The structure panel: Crystal Toolkit's scene of the selected crystal, as generated, relaxed, nearest known."""

import base64
import threading
import time
from html import escape
from typing import Any

import ipywidgets as W
import traitlets

from model.crystals import Crystals
from workbench.state import State
from workbench.views import code
from workbench.views import structure as view
from workbench.views.table import verdict
from workbench.widgets.base import Code, Widget, module
from workbench.widgets.panel import Panel, button, guarded
from workbench.widgets.playback import Playback

NOTHING = "Select a crystal\nA click on a row, or on a point of the hull, shows it here."
SIZES = (("1×1×1", 1), ("2×2×2", 2), ("3×3×3", 3))
GENERATED, RELAXED, NEAREST = "As generated", "Relaxed", "Nearest known"


class Scenes(Widget):
    """Scenes side by side under one camera; `image` answers an `image_request` with a PNG as data URL."""

    _esm = module("structure.js")
    scenes = traitlets.List().tag(sync=True)
    visible = traitlets.Dict(
        {"atoms": True, "bonds": True, "unit_cell": True, "polyhedra": False, "labels": False}
    ).tag(sync=True)
    empty = traitlets.Unicode(NOTHING).tag(sync=True)
    image_request = traitlets.Dict().tag(sync=True)
    image = traitlets.Unicode("").tag(sync=True)
    picked = traitlets.Unicode("").tag(sync=True)


class StructurePanel(Panel):
    """The selected crystal: 2×2×2 supercell, CrystalNN bonds, one radius for all, element colours and legend."""

    name, heading = "structure", "Structure"

    def __init__(self, state: State | None = None) -> None:
        super().__init__(state)
        self.add_class("mgb-flush")
        self.scenes = Scenes()
        self.files = Code(label="Files")
        self.facts = W.HTML()
        self.facts.add_class("mgb-facts")
        self.playback = Playback()
        self.size = W.Dropdown(options=SIZES, value=2, layout=W.Layout(width="80px"), tooltip="Supercell")
        self.shown = {
            name: _toggle(text, f"Show {text.lower()}", value=on)
            for name, text, on in (
                ("bonds", "Bonds", True),
                ("polyhedra", "Polyhedra", False),
                ("unit_cell", "Cell", True),
                ("labels", "Labels", False),
            )
        }
        self.path = _toggle("Path", "Play back how it lost its noise", value=False)
        tools = [
            self.size,
            *self.shown.values(),
            self.path,
            button("PNG", "Save the picture as PNG: relaxed, where it is", self._photograph),
            button("CIF", "Save the crystal as CIF with its space group", self._cif),
            button("Code", "Show the Python that draws this crystal again", self._code),
        ]
        self.code = Code(label="Python that draws this crystal")
        self.lay_out([self.scenes], tools, [self.playback, self.facts, self.files, self.code])
        self._drawn: tuple[Any, ...] = ()
        self._wanted: tuple[Any, ...] = ()
        self._wake = threading.Condition()
        self._drawer: threading.Thread | None = None
        for key, one in {"size": self.size, "path": self.path, **self.shown}.items():
            self.remember(key, one)
        self.size.observe(lambda _: self._ask(), "value")
        self.path.observe(lambda _: self._show_path(), "value")
        for toggle in self.shown.values():
            toggle.observe(lambda _: self._toggled(), "value")
        self.scenes.observe(self._save_image, "image")
        self.state.watch(self._ask, "selection", "relaxed", "candidates", "reference")
        self.state.watch(self._show_path, "selection", "paths")

    # --- drawing: in a thread of its own, the latest wish first, so clicks never wait for bonds ---------------------

    def _ask(self) -> None:
        crystals = self.crystals()
        known = self.state.row(self.state.selection).get("status", "")
        wanted = (self.state.selection, self.size.value, known, tuple(title for title, _ in crystals))
        if wanted == self._wanted:
            return
        self._wanted = wanted
        if not crystals:
            self._show([], "")
            return
        with self._wake:
            if self._drawer is None or not self._drawer.is_alive():
                self._drawer = threading.Thread(target=self._drawing, daemon=True, name="bench-structure")
                self._drawer.start()
            self._wake.notify()

    def _drawing(self) -> None:
        while True:
            wanted = self._wanted
            if wanted != self._drawn:
                self._drawn = wanted
                self.draw()
            with self._wake:
                if self._wanted == self._drawn and not self._wake.wait(timeout=5):
                    self._drawer = None
                    return

    def crystals(self) -> list[tuple[str, Crystals]]:
        """What can be drawn of the selection: as generated, relaxed, and the nearest known where it is kept."""
        name = self.state.selection
        generated = self.state.crystal(name)
        if generated is None:
            return []
        found = [(GENERATED, generated)]
        if name in self.state.relaxed:
            found.append((RELAXED, self.state.relaxed[name]))
        near, reference = self.state.row(name).get("nearest_known"), self.state.reference
        if isinstance(near, str) and near and getattr(reference, "has_structures", False):
            found.append((NEAREST, reference.structure(near)))
        return found

    def draw(self) -> None:
        """Draw the selected crystal now, in this thread, without keeping others waiting."""
        try:
            self._draw()
        except Exception as error:  # noqa: BLE001 - a crystal that cannot be drawn is said, and the next one drawn
            self.fail(error)

    def _draw(self) -> None:
        from model.io import to_structures

        n, drawn, facts = self.size.value, [], []
        for title, crystals in self.crystals():
            structure = to_structures(crystals)[0]
            found = view.symmetry(structure)
            about = f"{found['symbol']} ({found['number']})" if found else ""
            drawn.append({"title": title, "about": about} | view.scene(structure, (n, n, n)))
            facts.append(f"<div>{view.facts(title.lower(), structure, found)}</div>")
        self._show(drawn, "".join(facts))

    def _show(self, scenes: list[dict[str, Any]], facts: str) -> None:
        self.set_aside(self.state.selection)
        self.scenes.scenes = scenes
        said = escape(verdict(self.state.row(self.state.selection)))
        line = f'<div class="mgb-verdict" title="{said}">{said}</div>'
        self.facts.value = f'<div class="mgb-columns">{facts}</div>{line}'

    def _toggled(self) -> None:
        self.scenes.visible = {"atoms": True} | {name: toggle.value for name, toggle in self.shown.items()}

    @guarded
    def _show_path(self) -> None:
        path = self.state.paths.get(self.state.selection)
        self.path.disabled = path is None
        self.playback.layout.display = "none"  # also where the path turns out to be damaged
        self.playback.show(path if self.path.value else None)

    # --- taking away ------------------------------------------------------------------------------------------------

    @guarded
    def _photograph(self, _button: Any) -> None:
        if not self.scenes.scenes:
            raise ValueError("Select a crystal first; then its picture can be saved.")
        titles = [scene["title"] for scene in self.scenes.scenes]
        self.scenes.image_request = {"n": time.time(), "i": titles.index(RELAXED) if RELAXED in titles else 0}

    @guarded
    def _save_image(self, change: dict) -> None:
        if change["new"].startswith("data:image/png;base64,"):
            data = base64.b64decode(change["new"].split(",", 1)[1])
            self.files.download(f"{self.state.selection}.png", data, "image/png")

    @guarded
    def _cif(self, _button: Any) -> None:
        from model.io import cif_text, to_structures

        crystals = dict(self.crystals())
        if not crystals:
            raise ValueError("Select a crystal first; then its CIF can be saved.")
        title = RELAXED if RELAXED in crystals else GENERATED
        name = f"{self.state.selection}{'-relaxed' if title == RELAXED else ''}.cif"
        self.files.download(name, cif_text(to_structures(crystals[title])[0]).encode(), "chemical/x-cif")

    @guarded
    def _code(self, _button: Any) -> None:
        name = self.state.selection
        if not self.crystals():
            raise ValueError("Select a crystal first; then its picture has code.")
        relaxed, played = name in self.state.relaxed, self.path.value and name in self.state.paths
        call = [
            f"crystal = session.relaxed[{name!r}]"
            if relaxed
            else f"crystal = session.candidates.crystals[list(session.candidates.table['id']).index({name!r})]",
            "structure.figure(to_structures(crystal)[0]).show()",
            *([f"path.figure(path.course(session.paths[{name!r}])).show()"] if played else []),
        ]
        views = f"from model.io import to_structures\nfrom workbench.views import {'path, ' if played else ''}structure"
        self.show_code(self.code, code.picture(self.kept_in(), views, "\n".join(call)))


def _toggle(text: str, about: str, *, value: bool) -> W.ToggleButton:
    return W.ToggleButton(value=value, description=text, tooltip=about, layout=W.Layout(width="auto"))
