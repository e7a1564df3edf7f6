"""Panels as plain objects, without a browser: each stands alone, and they meet in the state."""

import importlib

import pytest

from workbench import widgets
from workbench.app import Workbench
from workbench.testing import Freezing, begin
from workbench.widgets.panel import Panel, guarded


@pytest.mark.parametrize("name", widgets.__all__)
def test_each_panel_stands_alone(name):
    panel = getattr(widgets, name)()
    assert isinstance(panel, Panel)
    assert panel.notice.kind != "error"
    assert panel.children


@pytest.mark.parametrize("name", widgets.__all__)
def test_no_panel_takes_a_name_that_ipywidgets_uses_itself(name):
    import ipywidgets as W

    own = {word for part in getattr(widgets, name).__mro__ if issubclass(part, Panel) for word in vars(part) if not word.startswith("__")}
    assert {word for word in own if hasattr(W.VBox, word)} <= {"_trait_default_generators", "_all_trait_default_generators", "_traits", "_static_immutable_initial_values", "_descriptors", "_instance_inits"}


def test_no_panel_imports_another():
    homes = set(widgets._HOMES.values())
    for home in homes:
        module = importlib.import_module(home)
        used = {getattr(value, "__module__", None) for value in vars(module).values()}
        assert not (used & (homes - {home})), f"{home} knows another panel"


def test_a_callback_that_raises_is_said_beside_the_button(state):
    class Clumsy(Panel):
        @guarded
        def press(self):
            raise ValueError("There is no such crystal.\nSecond line.")

    panel = Clumsy(state)
    panel.press()
    assert (panel.notice.kind, panel.notice.sentence) == ("error", "There is no such crystal.")
    assert "Traceback" in panel.notice.details


def test_selecting_anywhere_selects_everywhere(state, crystals, tmp_path, many):
    bench = Workbench(state, lambda s, c: begin(s, c, Freezing(crystals)), tmp_path / "sessions")
    state.candidates = many(4)
    bench.candidates.table.selected = "c00002"
    assert state.selection == "c00002"
    assert bench.structure._wanted[0] == "c00002"
    bench.hull.plot.clicked = {"id": "c00001", "n": 1}
    assert (state.selection, bench.candidates.table.selected, bench.candidates.table.position) == ("c00001", "c00001", 1)
    bench.hull.plot.clicked = {"id": "not there", "n": 2}
    assert state.selection == "c00001"
