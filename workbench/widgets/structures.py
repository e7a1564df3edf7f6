"""The structure panel: Crystal Toolkit's scene of the selected crystal, as generated and relaxed side by side."""

import base64
import threading
import time
from typing import Any

import ipywidgets as W
import traitlets

from model.crystals import Crystals
from workbench.state import State
from workbench.views import structure as view
from workbench.widgets.base import Code, Widget, module
from workbench.widgets.panel import Panel, button, guarded

NOTHING = "Select a crystal\nA click on a row, or on a point of the hull, shows it here."
SIZES = (("1×1×1", 1), ("2×2×2", 2), ("3×3×3", 3))


class Scenes(Widget):
    """Scenes side by side under one camera; `image` answers an `image_request` with a PNG as data URL."""

    _esm = module("structure.js")
    scenes = traitlets.List().tag(sync=True)
    visible = traitlets.Dict({"atoms": True, "bonds": True, "unit_cell": True, "polyhedra": False}).tag(sync=True)
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
        self.size = W.Dropdown(options=SIZES, value=2, layout=W.Layout(width="96px"), tooltip="Supercell")
        self.shown = {
            name: W.ToggleButton(
                value=on, description=text, tooltip=f"Show {text.lower()}", layout=W.Layout(width="auto")
            )
            for name, text, on in (
                ("bonds", "Bonds", True),
                ("polyhedra", "Polyhedra", False),
                ("unit_cell", "Cell", True),
            )
        }
        tools = [
            self.size,
            *self.shown.values(),
            button("PNG", "Save the picture as PNG", self._photograph),
            button("CIF", "Save the crystal as CIF with its space group", self._cif),
        ]
        self.lay_out([self.scenes], tools, [self.facts, self.files])
        self._drawn: tuple[Any, ...] = ()
        self._wanted: tuple[Any, ...] = ()
        self._wake = threading.Condition()
        self._drawer: threading.Thread | None = None
        self.size.observe(lambda _: self._ask(), "value")
        for toggle in self.shown.values():
            toggle.observe(lambda _: self._toggle(), "value")
        self.scenes.observe(self._save_image, "image")
        self.state.watch(self._ask, "selection", "relaxed")

    # --- drawing: in a thread of its own, the latest wish first, so clicks never wait for bonds --------------------

    def _ask(self) -> None:
        crystals = self.crystals()
        wanted = (self.state.selection, self.size.value, tuple(title for title, _ in crystals))
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
        """What can be drawn of the selection: as generated, relaxed."""
        name = self.state.selection
        generated = self.state.crystal(name)
        if generated is None:
            return []
        both = [("As generated", generated)]
        if name in self.state.relaxed:
            both.append(("Relaxed", self.state.relaxed[name]))
        return both

    @guarded
    def draw(self) -> None:
        """Draw the selected crystal now, in this thread."""
        from model.io import to_structures

        n, drawn, facts = self.size.value, [], []
        for title, crystals in self.crystals():
            structure = to_structures(crystals)[0]
            found = view.symmetry(structure)
            about = f"{found['symbol']} ({found['number']})" if found else ""
            drawn.append({"title": title, "about": about} | view.scene(structure, (n, n, n)))
            facts.append(_facts(title, structure, found))
        self._show(drawn, "".join(facts))

    def _show(self, scenes: list[dict[str, Any]], facts: str) -> None:
        self.set_aside(self.state.selection)
        self.scenes.scenes = scenes
        self.facts.value = f'<div class="mgb-columns">{facts}</div>'

    def _toggle(self) -> None:
        self.scenes.visible = {"atoms": True} | {name: toggle.value for name, toggle in self.shown.items()}

    # --- taking away ------------------------------------------------------------------------------------------------

    @guarded
    def _photograph(self, _button: Any) -> None:
        if not self.scenes.scenes:
            raise ValueError("Select a crystal first; then its picture can be saved.")
        self.scenes.image_request = {"n": time.time(), "i": 0}

    @guarded
    def _save_image(self, change: dict) -> None:
        if change["new"].startswith("data:image/png;base64,"):
            self.files.download(
                f"{self.state.selection}.png", base64.b64decode(change["new"].split(",", 1)[1]), "image/png"
            )

    @guarded
    def _cif(self, _button: Any) -> None:
        from model.io import cif_text, to_structures

        crystals = self.crystals()
        if not crystals:
            raise ValueError("Select a crystal first; then its CIF can be saved.")
        title, last = crystals[-1]
        suffix = "-relaxed" if title == "Relaxed" else ""
        self.files.download(
            f"{self.state.selection}{suffix}.cif", cif_text(to_structures(last)[0]).encode(), "chemical/x-cif"
        )


def _facts(title: str, structure: Any, found: dict[str, Any]) -> str:
    a, b, c = structure.lattice.abc
    angles = ", ".join(f"{x:.1f}" for x in structure.lattice.angles)
    sites = ", ".join(f"{symbol} {letter}" for symbol, letter in found.get("wyckoff", ()))
    parts = [
        f"<b>{structure.composition.reduced_formula}</b> {title.lower()}",
        f"{found['system']}, {sites}" if found else "no symmetry found",
        f"{a:.3f}, {b:.3f}, {c:.3f} Å",
        f"{angles}°",
        f"{structure.volume:.1f} Å³",
    ]
    return "<div>" + "<br>".join([" · ".join(parts[:2]), " · ".join(parts[2:])]) + "</div>"
