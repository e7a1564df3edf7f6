"""The constraints panel as a plain object: what is asked for, and what contradicts itself."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from model.constraints import Constraints, Target
from model.elements import ALLOWED, NUMBERS
from model.statistics import LabelStatistics
from workbench.state import State
from workbench.views.periodic import cells, place
from workbench.widgets.constraints import ConstraintsPanel, parse_atoms, space_groups
from workbench.widgets.generate import GeneratePanel
from workbench.widgets.periodic_table import PeriodicTable
from workbench.widgets.targets import reach


def test_the_periodic_table_has_every_element_once_and_apart():
    shown = cells()
    assert {symbol for symbol, *_ in shown} >= set(ALLOWED)
    assert len({(row, column) for _, row, column, _ in shown}) == len(shown)
    assert {s for s, _, _, on in shown if on} == set(ALLOWED)


@pytest.mark.parametrize(("symbol", "spot"), [("H", (1, 1)), ("He", (1, 18)), ("B", (2, 13)), ("Fe", (4, 8)), ("La", (9, 3)), ("Lu", (9, 17)), ("Hf", (6, 4)), ("Bi", (6, 15)), ("U", (10, 6))])
def test_elements_stand_where_chemists_look(symbol, spot):
    assert place(NUMBERS[symbol]) == spot


def test_unknown_elements_and_states_are_refused():
    table = PeriodicTable()
    with pytest.raises(Exception, match="exactly, allow or forbid"):
        table.choices = {"Xx": "exactly"}
    with pytest.raises(Exception, match="exactly, allow or forbid"):
        table.choices = {"Fe": "perhaps"}


def test_what_is_clicked_becomes_constraints(state):
    panel = ConstraintsPanel(state)
    panel.elements.choices = {"Li": "exactly", "O": "exactly", "Fe": "forbid"}
    panel.atoms.value, panel.count.value, panel.seed.value, panel.steps.value, panel.corrections.value = "4-12", 3, 9, 20, 1
    panel.crystal_system.value = "orthorhombic"
    panel.group.value = 62
    panel.targets.targets = {"dft_mag_density": [0.05, 0.05]}
    wanted = Constraints(chemical_system="Li-O", excluded={"Fe"}, n_atoms=(4, 12), count=3, seed=9, space_group=62, targets={"dft_mag_density": Target(0.05, 0.05)})
    assert state.constraints == wanted
    assert (state.steps, state.corrections) == (20, 1)
    assert "chemical_system='Li-O'" not in panel.code.text
    panel._toggle_code(None)
    assert "chemical_system='Li-O'" in panel.code.text
    assert "--chemical-system Li-O" in panel.code.text
    assert "steps=20, corrections=1" in panel.code.text
    assert "--steps 20 --corrections 1" in panel.code.text
    state.corrections = 0
    assert panel.corrections.value == 0


def test_constraints_set_in_code_show_in_the_form(state):
    panel = ConstraintsPanel(state)
    state.constraints = Constraints(chemical_system="Sr-Ti-O", formula="SrTiO3", n_atoms=10, space_group=221, count=5)
    assert panel.elements.of("exactly") == {"Sr", "Ti", "O"}
    assert (panel.formula.value, panel.atoms.value, panel.group.value, panel.count.value) == ("SrTiO3", "10", 221, 5)
    assert panel.read() == state.constraints


@pytest.mark.parametrize(
    ("formula", "atoms", "choices", "said"),
    [
        ("SrTiO3", "7", {}, "no multiple of it has 7"),
        ("SrTiO3", "", {"Ti": "forbid"}, "Ti"),
        ("Sr(TiO3", "", {}, "written like"),
        ("", "many", {}, "a number like 8"),
        ("", "2", {"Sr": "exactly", "Ti": "exactly", "O": "exactly"}, "at least 3 atoms"),
    ],
)
def test_contradictions_are_said_at_once_and_stop_generating(state, formula, atoms, choices, said):
    panel, generate = ConstraintsPanel(state), GeneratePanel(state)
    assert not generate.start.disabled
    panel.elements.choices = choices
    panel.atoms.value = atoms
    panel.formula.value = formula
    assert said in panel.notice.sentence
    assert generate.start.disabled
    panel.formula.value = panel.atoms.value = ""
    panel.elements.choices = {}
    assert panel.notice.sentence == ""
    assert not generate.start.disabled


def test_a_group_without_crystals_of_that_size_is_said(state):
    panel = ConstraintsPanel(state)
    panel.group.value, panel.atoms.value = 62, "5"
    assert "No training crystal of space group 62 has 5 atoms" in panel.notice.sentence
    panel.atoms.value = "4-6"
    assert panel.notice.sentence == ""
    panel.atoms.value, panel.formula.value = "", "CaTiO3"
    assert "No training crystal of space group 62 has a multiple of 5 atoms" in panel.notice.sentence
    panel.group.value, panel.formula.value = 221, ""
    assert panel.notice.sentence == "There is no training crystal of space group 221."
    panel.group.value, panel.atoms.value = 0, "500"
    assert "No training crystal has 500 atoms" in panel.notice.sentence


def test_the_box_names_the_model_that_is_used(state, until):
    panel = ConstraintsPanel(state, load=False)
    panel.picker.offer()
    panel.model.value = "nosuch"
    until(lambda: panel.notice.kind == "error")
    assert "nosuch" in panel.notice.sentence
    assert (panel.model.value, state.model_name) == ("known", "known")


def test_targets_beyond_the_data_say_how_far():
    known = LabelStatistics.of(np.random.default_rng(1).normal(100, 10, 4000))
    assert reach(Target(100, 100), known, "GPa") == ""
    far = reach(Target(400, 400), known, "GPa")
    assert "highest taught value" in far
    assert f"{400 - known.high:.3g} GPa away" in far
    assert "standard deviations" in reach(Target(known.high, known.high), known, "GPa")


def test_no_change_of_the_form_is_lost_while_a_slow_panel_draws(state):
    """A model that is just loaded makes every panel draw; what is clicked meanwhile must still count."""

    panel = ConstraintsPanel(state)
    state.observe(lambda _: time.sleep(0.3), "constraints")
    slow = threading.Thread(target=lambda: setattr(panel.elements, "choices", {"Li": "exactly"}))
    slow.start()
    time.sleep(0.1)
    panel.elements.choices = {"Li": "exactly", "O": "exactly"}
    panel.count.value = 16
    slow.join()
    assert state.constraints.chemical_system == {"Li", "O"}
    assert state.constraints.count == 16


def test_only_rows_the_model_listens_to_are_shown(state, model):
    panel = ConstraintsPanel(state)
    assert [row["name"] for row in panel.targets.rows] == ["dft_mag_density"]
    assert not panel.group.disabled
    panel.targets.targets = {"dft_mag_density": [0.1, 0.1]}
    state.model = SimpleNamespace(name="deaf", properties=(), statistics=model.statistics, hash="1")
    assert panel.targets.rows == []
    assert state.constraints.targets == {}
    assert panel.group.disabled


def test_a_target_may_have_a_strength_of_its_own(state):
    panel = ConstraintsPanel(state)
    panel.group.value = 62
    panel.targets.targets = {"dft_mag_density": [0.05, 0.05]}
    assert state.constraints.guidance == 2.0
    panel.targets.strengths = {"dft_mag_density": 4.0}
    assert state.constraints.guidance == {"dft_mag_density": 4.0, "space_group": 2.0}
    panel.guidance.value = 1.0
    assert panel.targets.strength == 1.0
    assert state.constraints.guidance == {"dft_mag_density": 4.0, "space_group": 1.0}
    panel.targets.targets = {}
    assert state.constraints.guidance == 1.0
    state.constraints = Constraints(targets={"dft_mag_density": 0.1}, guidance={"dft_mag_density": 3.0})
    assert panel.targets.strengths == {"dft_mag_density": 3.0}
    assert panel.read() == state.constraints


def test_an_opened_session_brings_its_model(tmp_path, state, monkeypatch, until, taught):
    from workbench import wearing
    from workbench.state import Asked

    panel = ConstraintsPanel(state)
    other = SimpleNamespace(name="other", properties=(), statistics=taught, hash="1")
    monkeypatch.setattr(wearing, "load", lambda name: other if name == "other" else 1 / 0)
    state.asked = Asked(constraints=Constraints(), steps=5, model_name="other", model_hash="1")
    until(lambda: state.model is other)
    assert (panel.model.value, state.model_name) == ("other", "other")
    state.asked = Asked(constraints=Constraints(), steps=5, method="own")
    assert panel.model.value == "other"


def test_the_steps_dial_tells_what_was_measured_of_the_shipped_base_and_nothing_of_others(state, model):
    from model.checkpoints import load

    panel = ConstraintsPanel(state, load=False)
    assert panel.measured.value == ""
    state.model = SimpleNamespace(**vars(model) | {"base": load("base").hash})
    assert "Measured of base with nothing asked, n = " in panel.measured.value
    panel.steps.value = 200
    assert "200 steps give" in panel.measured.value
    panel.corrections.value = 1
    assert "200 steps with one correction each give" in panel.measured.value
    state.method = "substitution"
    assert panel.measured.value == ""


def test_another_way_of_making_crystals_has_its_own_inputs(state, monkeypatch):
    from workbench import methods

    ways = dict(methods.WAYS) | {"by-hand": methods.Way(
        name="by-hand", label="By hand", about="Placed one by one.", space_group=True, settings=(methods.Setting(name="box", label="Box", about="of models"),))}
    monkeypatch.setattr(methods, "WAYS", ways)
    panel, generate = ConstraintsPanel(state), GeneratePanel(state)
    assert ("By hand", "by-hand") in panel.picker.way.options
    panel.picker.way.value = "by-hand"
    assert state.method == "by-hand"
    assert (panel.model.layout.display, panel.steps.layout.display) == ("none", "none")
    assert panel.targets.rows == []
    assert not panel.group.disabled
    panel.picker.settings.children[0].value = " mine "
    assert state.told == {"box": "mine"}
    panel._toggle_code(None)
    assert "WAYS['by-hand'].proposer({'box': 'mine'})" in panel.code.text
    state.model = None
    assert not generate.start.disabled, "no model is needed"
    panel.picker.way.value = "diffusion"
    assert (state.told, panel.model.layout.display) == ({}, "")
    assert generate.start.disabled


def test_several_adapters_are_worn_at_once(tmp_path, monkeypatch, until, taught):
    """Small untaught models on disk: a base and two adapters that sit on it."""
    import torch

    from model import checkpoints
    from model.diffusion.crystal import CrystalDiffusion
    from model.network.denoiser import GemNetDenoiser
    from model.sampling.model import CrystalModel

    sizes = {"hidden": 16, "num_blocks": 1, "num_radial": 16, "cutoff": 4.0, "max_neighbors": 12}
    torch.manual_seed(0)
    base = CrystalModel(name="bare", denoiser=GemNetDenoiser(**sizes).eval(), diffusion=CrystalDiffusion(), statistics=taught)
    monkeypatch.setattr(checkpoints, "SHIPPED", tmp_path)
    checkpoints.save(base, tmp_path / "bare")
    for name, heard in (("bare-group", "space_group"), ("bare-magnet", "dft_mag_density")):
        network = GemNetDenoiser(**sizes, properties=(heard,)).eval()
        network.load_state_dict(base.denoiser.state_dict(), strict=False)
        checkpoints.save(CrystalModel(name=name, denoiser=network, diffusion=CrystalDiffusion(), statistics=taught, properties=(heard,), base=base.hash), tmp_path / name)
    state = State()
    panel = ConstraintsPanel(state)
    until(lambda: len(panel.picker.worn.children) == 2)
    assert (state.model_name, list(panel.model.options)) == ("bare", ["bare", "bare-group", "bare-magnet"])
    assert panel.targets.rows == []
    for button in list(panel.picker.worn.children):
        next(one for one in panel.picker.worn.children if one.adapter == button.adapter).value = True
        until(lambda name=button.adapter: name in state.model_name)
        until(lambda name=button.adapter: any(one.value and one.adapter == name for one in panel.picker.worn.children))
    assert state.model_name == "bare+bare-group+bare-magnet"
    assert set(state.model.properties) == {"space_group", "dft_mag_density"}
    assert not panel.group.disabled
    assert [row["name"] for row in panel.targets.rows] == ["dft_mag_density"]
    panel.model.value = "bare"
    until(lambda: state.model.properties == () and not any(one.value for one in panel.picker.worn.children))
    assert (panel.model.value, state.model_name) == ("bare", "bare")
    panel.model.value = "bare+bare"
    until(lambda: panel.notice.kind == "error")
    assert "listen to no property" in panel.notice.sentence


def test_a_missing_model_is_a_sentence(tmp_path, until):
    panel = ConstraintsPanel(State(), load=False)
    panel.model.value = str(tmp_path / "nothing here")
    until(lambda: panel.notice.sentence)
    assert panel.notice.kind == "error"
    assert "nothing here" in panel.notice.sentence


@pytest.mark.parametrize(("text", "atoms"), [("", None), (" 8 ", 8), ("4-12", (4, 12)), ("4 to 12", (4, 12)), ("4–12", (4, 12))])
def test_numbers_of_atoms_as_people_write_them(text, atoms):
    assert parse_atoms(text) == atoms


def test_there_are_230_space_groups():
    groups = space_groups()
    assert sorted(groups) == list(range(1, 231))
    assert (groups[1], groups[62], groups[225]) == ("P1", "Pnma", "Fm-3m")
