"""How crystals are made: the way, the model and the adapters it wears; used by the constraints panel."""

import threading
from collections.abc import Callable
from typing import Any

import ipywidgets as W

from model.candidates import COLUMNS
from workbench import wearing
from workbench.state import DIFFUSION, State
from workbench.widgets.panel import field

SILENT = "unconditional: elements, formula and atoms are kept exactly; it listens to no property"


class ModelPicker(W.VBox):
    """The way of making crystals and what it is told; for the diffusion model, its name and the adapters it wears.

    `failed` is called with what went wrong, from the thread in which a model is loaded.
    """

    def __init__(self, state: State, failed: Callable[[BaseException], None], loaded: Callable[[], None]) -> None:
        self.state, self._failed, self._loaded = state, failed, loaded
        self._filling = self._syncing = False
        self._pressed = ""
        self.way = W.Dropdown(options=[("Diffusion model", DIFFUSION)])
        self.settings = W.VBox()
        self.model = W.Combobox(options=[], ensure_option=False, continuous_update=False)
        self.worn = W.Box()
        self.about = W.HTML()
        self.about.add_class("mgb-hint")
        self.worn.add_class("mgb-worn")
        field("Made by", self.way, "The model, or another way of proposing crystals; all are judged alike")
        field("Model", self.model, "A model's name, the folder of your own, or a base and adapters as BASE+ONE+OTHER")
        super().__init__([self.way, self.settings, self.model, self.worn, self.about])
        for box in (self, self.settings):
            box.add_class("mgb-stack")
        self.way.observe(lambda _: self._picked(), "value")
        self.model.observe(lambda change: None if self._filling else self.load(change["new"]), "value")
        state.watch(self._show_way, "method", "told")
        state.observe(lambda change: self._opened(change["new"]), "asked")

    # --- the way ----------------------------------------------------------------------------------------------------

    def offer(self) -> str:
        """List the ways and the models that are here; the name of the model to begin with, empty where none is."""
        from workbench.methods import WAYS

        self._filling = True
        try:
            self.way.options = [(way.label, way.name) for way in WAYS.values()]
        finally:
            self._filling = False
        self._show_way()
        here = [one.name for one in wearing.listed()]
        self.model.options = here
        wanted = self.state.model_name or (here[0] if here else "")
        if wanted and self.model.value != wanted:
            self.model.value = wanted
        return wanted

    def follows(self, what: str) -> bool:
        """Whether the chosen way follows targets, or a space group."""
        from workbench.methods import WAYS

        way = WAYS.get(self.state.method)
        return way is not None and bool(getattr(way, what))

    def _picked(self) -> None:
        if not self._filling:
            with self.state.lock:
                self.state.told, self.state.method = {}, self.way.value

    def _show_way(self) -> None:
        from workbench.methods import WAYS

        way = WAYS.get(self.state.method)
        if way is None:
            return
        self._filling = True
        try:
            if self.state.method in [value for _, value in self.way.options]:
                self.way.value = self.state.method
            if [box.setting for box in self.settings.children] != [setting.name for setting in way.settings]:
                self.settings.children = [self._setting(setting) for setting in way.settings]
            for box in self.settings.children:
                box.value = self.state.told.get(box.setting, "")
        finally:
            self._filling = False
        ours = self.state.method == DIFFUSION
        for part in (self.model, self.worn):
            part.layout.display = "" if ours else "none"
        self.settings.layout.display = "" if way.settings else "none"
        self._tell(way.about)

    def _setting(self, setting: object) -> W.Text:
        box = W.Text(continuous_update=False, placeholder="needed" if setting.needed else "as shipped")
        box.setting = setting.name
        field(setting.label, box, setting.about)
        box.observe(lambda _: self._told(), "value")
        return box

    def _told(self) -> None:
        if not self._filling:
            self.state.told = {box.setting: box.value.strip() for box in self.settings.children if box.value.strip()}

    def _tell(self, about: str = "") -> None:
        """What there is to know of the way, or of the model that is loaded."""
        model = self.state.model
        if self.state.method != DIFFUSION:
            self.about.value = about
        elif model is not None:
            hears = [_label(name).lower() for name in model.properties]
            self.about.value = f"listens to {', '.join(hears)}" if hears else SILENT

    # --- the model --------------------------------------------------------------------------------------------------

    def load(self, name: str) -> threading.Thread:
        """Load a model in the background; its sentence or its properties appear when it is there."""
        self.about.value = f"loading {name} …" if name else ""
        thread = threading.Thread(target=self._load, args=(name.strip(),), daemon=True, name="bench-model")
        thread.start()
        return thread

    def _load(self, name: str) -> None:
        if not name or (self.state.model is not None and name == self.state.model_name):
            self._loaded()
            self._offer_adapters(name)
            return
        try:
            loaded = wearing.load(name)
        except Exception as error:  # noqa: BLE001 - a damaged folder fails in many ways; all are said by the panel
            self.about.value = ""
            if self.state.model is not None and self.model.value.strip() == name:  # the box names what is used
                self._filling = True
                self.model.value = self.state.model_name
                self._filling = False
                self._tell()
            self._failed(error)
            return
        if self.model.value.strip() != name:  # another was picked meanwhile
            return
        with self.state.lock:
            self.state.model_name = name
            self.state.model = loaded
        self._loaded()
        self._offer_adapters(name)

    def _opened(self, asked: Any) -> None:
        """Load the model that a session which was opened was made with, so that its run can be gone on with."""
        if asked is not None and asked.model_name and asked.method == DIFFUSION:
            self.model.value = asked.model_name

    def show_model(self) -> None:
        """Say what the loaded model listens to."""
        self._tell()

    def _offer_adapters(self, name: str) -> None:
        """A button for each adapter here that sits on the base of what is loaded."""
        model = self.state.model
        sits_on = getattr(model, "base", None) or getattr(model, "hash", "")
        there = [one for one in wearing.listed() if one.base == sits_on and one.properties]
        base = wearing.base_named(sits_on) if there else ""
        worn = wearing.parts(name)
        with self.state.lock:
            if self.model.value.strip() != name:  # what was clicked since is loaded next
                return
            shown = [one.adapter for one in self.worn.children]
            if not base:
                self.worn.children = []
            elif shown != [one.name for one in there]:
                self.worn.children = [self._adapter(one, base, one.name in worn) for one in there]
            elif name != self._pressed:  # what the buttons said is not said back: it would undo a quick click
                self._syncing, self._pressed = True, ""
                for one in self.worn.children:
                    one.value = one.adapter in worn
                self._syncing = False
        self.worn.layout.display = "" if self.worn.children and self.state.method == DIFFUSION else "none"

    def _adapter(self, one: wearing.Listed, base: str, on: bool) -> W.ToggleButton:
        listens = " and ".join(_label(name) for name in one.properties)
        made = W.ToggleButton(value=on, description=listens, tooltip=f"Wear {one.name}: listens to {listens.lower()}")
        made.adapter = one.name
        made.observe(lambda _: self._wear(base), "value")
        return made

    def _wear(self, base: str) -> None:
        if self._syncing:
            return
        self._pressed = wearing.together(base, [one.adapter for one in self.worn.children if one.value])
        self.model.value = self._pressed


def _label(name: str) -> str:
    """A property as people call it."""
    return COLUMNS[name].label if name in COLUMNS else name.replace("_", " ").capitalize()


def at_once(model: Any) -> int | None:
    """Crystals that the bench denoises together: their last digits depend on it."""
    from workbench.methods import AT_ONCE

    network = getattr(model, "denoiser", None)
    return None if network is None else AT_ONCE[next(network.parameters()).device.type]
