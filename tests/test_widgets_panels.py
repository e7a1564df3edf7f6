"""Panels as plain objects, without a browser: each reads State and writes State, and says what went wrong."""

import importlib
import threading
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from model.candidates import Candidates
from model.constraints import Constraints, Target
from model.crystals import Crystals
from model.elements import ALLOWED, NUMBERS
from model.evaluation.hull import HullTable
from model.statistics import LabelStatistics, Statistics
from model.testing import famous, famous_names
from workbench import widgets
from workbench.app import Workbench
from workbench.state import RunStatus, State
from workbench.testing import ByVolume, Freezing, begin
from workbench.views.periodic import cells, place
from workbench.widgets.candidates import CandidatesPanel
from workbench.widgets.constraints import ConstraintsPanel, parse_atoms, space_groups
from workbench.widgets.distributions import DistributionsPanel
from workbench.widgets.generate import GeneratePanel
from workbench.widgets.hull import HullPanel
from workbench.widgets.panel import Panel, guarded
from workbench.widgets.periodic_table import PeriodicTable
from workbench.widgets.structures import StructurePanel
from workbench.widgets.targets import reach


def taught():
    random = np.random.default_rng(0)
    labels = {"dft_mag_density": LabelStatistics.of(random.gamma(2, 0.02, 5000)), "ml_bulk_modulus": LabelStatistics.of(random.gamma(4, 25, 5000))}
    return Statistics(count=5000, n_atoms={5: 10}, n_atoms_by_space_group={62: {4: 3, 20: 9}}, density=0.05, elements={}, chemical_systems=1, labels=labels)


@pytest.fixture
def model():
    return SimpleNamespace(name="known", properties=("space_group", "dft_mag_density"), statistics=taught(), hash="0")


@pytest.fixture
def state(model):
    reference = SimpleNamespace(hull=HullTable.of(pd.DataFrame({
        "formula": ["SrO", "TiO2", "SrTiO3"], "formation_energy": [-3.06, -3.26, -3.55], "kind": ["hull"] * 3})))
    return State(model=model, model_name="known", reference=reference)


@pytest.fixture(scope="module")
def crystals():
    return Crystals.join([famous(name) for name in famous_names()[:4]])


def many(n):
    """n candidates, half of them judged."""
    one = famous(famous_names()[0])
    table = pd.DataFrame({
        "id": [f"c{i:05d}" for i in range(n)], "formula": "NaCl", "chemical_system": "Cl-Na", "n_atoms": 2, "volume": 45.0, "space_group": "Fm-3m", "index": range(n),
        "energy_above_hull": np.where(np.arange(n) % 2, np.linspace(0, 0.5, n), np.nan), "status": "judged"})
    return Candidates(crystals=Crystals.join([one] * n), table=table)


def until(holds, seconds=20):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


# --- alone and together ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", widgets.__all__)
def test_each_panel_stands_alone(name):
    panel = getattr(widgets, name)()
    assert isinstance(panel, Panel)
    assert panel.notice.kind != "error"
    assert panel.children


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


def test_selecting_anywhere_selects_everywhere(state, crystals, tmp_path):
    bench = Workbench(state, lambda s, c: begin(s, c, Freezing(crystals)), tmp_path / "sessions")
    state.candidates = many(4)
    bench.candidates.table.selected = "c00002"
    assert state.selection == "c00002"
    assert bench.structure._wanted[0] == "c00002"
    bench.hull.plot.clicked = {"id": "c00001", "n": 1}
    assert (state.selection, bench.candidates.table.selected, bench.candidates.table.position) == ("c00001", "c00001", 1)
    bench.hull.plot.clicked = {"id": "not there", "n": 2}
    assert state.selection == "c00001"


# --- elements and constraints --------------------------------------------------------------------------------------------


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
    panel.atoms.value, panel.count.value, panel.seed.value, panel.steps.value = "4-12", 3, 9, 20
    panel.crystal_system.value = "orthorhombic"
    panel.group.value = 62
    panel.targets.targets = {"dft_mag_density": [0.05, 0.05]}
    wanted = Constraints(chemical_system="Li-O", excluded={"Fe"}, n_atoms=(4, 12), count=3, seed=9, space_group=62, targets={"dft_mag_density": Target(0.05, 0.05)})
    assert state.constraints == wanted
    assert state.steps == 20
    assert "chemical_system='Li-O'" not in panel.code.text
    panel._toggle_code(None)
    assert "chemical_system='Li-O'" in panel.code.text
    assert "--chemical-system Li-O" in panel.code.text


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


def test_targets_beyond_the_data_say_how_far():
    known = LabelStatistics.of(np.random.default_rng(1).normal(100, 10, 4000))
    assert reach(Target(100, 100), known, "GPa") == ""
    far = reach(Target(400, 400), known, "GPa")
    assert "highest taught value" in far
    assert f"{400 - known.high:.3g} GPa away" in far
    assert "standard deviations" in reach(Target(known.high, known.high), known, "GPa")


def test_no_change_of_the_form_is_lost_while_a_slow_panel_draws(state):
    """A model that is just loaded makes every panel draw; what is clicked meanwhile must still count."""
    import threading

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


def test_an_opened_session_brings_its_model(tmp_path, state, monkeypatch):
    from workbench import wearing
    from workbench.state import Asked

    panel = ConstraintsPanel(state)
    other = SimpleNamespace(name="other", properties=(), statistics=taught(), hash="1")
    monkeypatch.setattr(wearing, "load", lambda name: other if name == "other" else 1 / 0)
    state.asked = Asked(constraints=Constraints(), steps=5, model_name="other", model_hash="1")
    until(lambda: state.model is other)
    assert (panel.model.value, state.model_name) == ("other", "other")
    state.asked = Asked(constraints=Constraints(), steps=5, method="own")
    assert panel.model.value == "other"


def test_a_reference_of_ones_own_is_read_and_what_is_none_is_said(state, tmp_path):
    from model.evaluation.reference import Reference

    panel = GeneratePanel(state)
    panel.reference.value = str(tmp_path / "none")
    until(lambda: panel.notice.kind == "error")
    before = state.reference
    Reference.shipped().save(tmp_path / "mine")
    panel.reference.value = str(tmp_path / "mine")
    until(lambda: state.reference is not before)
    until(lambda: "judged against" in panel.notice.sentence)


def test_what_was_judged_against_a_reference_of_ones_own_is_opened_and_gone_on_with_against_it(crystals, model, tmp_path):
    from model.evaluation.reference import Reference
    from workbench.sessions import store
    from workbench.widgets.sessions import SessionsPanel

    mine = tmp_path / "mine"
    Reference.shipped().save(mine)
    state = State(model=model, model_name="known", reference=Reference.load(mine), constraints=Constraints(count=2))
    panel, sessions = GeneratePanel(state), SessionsPanel(state, tmp_path / "sessions")
    panel.begin = lambda state, constraints: begin(state, constraints, Freezing(crystals, steps=2))
    panel.start.click()
    assert state.worker.wait(20)
    assert state.asked.reference == str(mine)
    panel._code(None)
    assert f"reference=Reference.load('{mine}')" in panel.code.text
    assert f"workbench evaluate crystals --reference {mine}" in panel.code.text
    sessions.keeper.keep()
    kept = sessions.keeper.folder
    sessions.keeper.close()
    opened = store.load(kept)
    assert (opened.missing, opened.session.reference_folder) == ((), str(mine))

    other = State(model=model, model_name="known", reference=Reference.shipped())
    panel, sessions = GeneratePanel(other), SessionsPanel(other, tmp_path / "sessions")
    sessions.which.value = str(kept)
    sessions.open.click()
    assert panel.reference.value == str(mine)
    until(lambda: other.reference.folder == str(mine))
    panel.reference.value = ""
    until(lambda: other.reference.folder == "")
    panel._reading.join(20)
    panel._resume(None)
    assert f"judged against {mine}" in panel.notice.sentence
    sessions.keeper.close()


def test_the_steps_dial_tells_what_was_measured_of_the_shipped_base_and_nothing_of_others(state, model):
    from model.checkpoints import load

    panel = ConstraintsPanel(state, load=False)
    assert panel.measured.value == ""
    state.model = SimpleNamespace(**vars(model) | {"base": load("base").hash})
    assert "Measured, n = " in panel.measured.value
    panel.steps.value = 200
    assert "200 steps give" in panel.measured.value
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


def test_several_adapters_are_worn_at_once(tmp_path, monkeypatch):
    """Small untaught models on disk: a base and two adapters that sit on it."""
    import torch

    from model import checkpoints
    from model.diffusion.crystal import CrystalDiffusion
    from model.network.denoiser import GemNetDenoiser
    from model.sampling.model import CrystalModel

    sizes = {"hidden": 16, "num_blocks": 1, "num_radial": 16, "cutoff": 4.0, "max_neighbors": 12}
    torch.manual_seed(0)
    base = CrystalModel(name="bare", denoiser=GemNetDenoiser(**sizes).eval(), diffusion=CrystalDiffusion(), statistics=taught())
    monkeypatch.setattr(checkpoints, "SHIPPED", tmp_path)
    checkpoints.save(base, tmp_path / "bare")
    for name, heard in (("bare-group", "space_group"), ("bare-magnet", "dft_mag_density")):
        network = GemNetDenoiser(**sizes, properties=(heard,)).eval()
        network.load_state_dict(base.denoiser.state_dict(), strict=False)
        checkpoints.save(CrystalModel(name=name, denoiser=network, diffusion=CrystalDiffusion(), statistics=taught(), properties=(heard,), base=base.hash), tmp_path / name)
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


def test_a_missing_model_is_a_sentence(tmp_path):
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


# --- generate ------------------------------------------------------------------------------------------------------------


def test_a_run_by_its_buttons(state, crystals):
    panel = GeneratePanel(state, lambda s, c: begin(s, c, Freezing(crystals, batch_size=2, pause=0.02)))
    state.constraints = Constraints(count=6)
    assert (panel.start.disabled, panel.cancel.disabled, panel.resume.disabled) == (False, True, True)
    panel.start.click()
    assert (panel.start.disabled, panel.cancel.disabled) == (True, False)
    until(lambda: state.run.made >= 2)
    panel.cancel.click()
    assert state.run.phase in {"cancelling", "cancelled"}
    assert state.worker.wait(2)
    assert (panel.start.disabled, panel.cancel.disabled, panel.resume.disabled) == (False, True, False)
    panel.resume.click()
    assert state.worker.wait(20)
    assert (state.run.phase, len(state.candidates)) == ("done", 6)
    assert panel.progress.run["made"] == 6
    assert panel.progress.scene == {}


def test_a_second_run_is_refused_while_one_goes_on(state, crystals):
    panel = GeneratePanel(state, lambda s, c: begin(s, c, Freezing(crystals, pause=0.1)))
    panel._start(None)
    panel._start(None)
    assert "under way" in panel.notice.sentence
    state.worker.cancel()
    assert state.worker.wait(5)


def test_a_broken_run_is_said_in_the_panel_that_started_it(state, crystals):
    panel = GeneratePanel(state, lambda s, c: begin(s, c, Freezing(crystals, batch_size=1, breaks_at=2)))
    panel.start.click()
    assert state.worker.wait(20)
    assert panel.notice.sentence == "Generating stopped: Batch 2 broke, as it was told to."
    assert "RuntimeError" in panel.notice.details
    assert not panel.resume.disabled


def test_a_run_that_cannot_begin_is_a_sentence():
    panel = GeneratePanel(State())
    assert panel.start.disabled
    panel._start(None)
    assert "No model is loaded" in panel.notice.sentence


def test_a_judge_that_breaks_is_said_too(state, crystals):
    panel = GeneratePanel(state, lambda s, c: begin(s, c, Freezing(crystals), ByVolume(breaks_at=0)))
    panel.start.click()
    assert state.worker.wait(20)
    assert panel.notice.sentence.startswith("Judging stopped")


# --- candidates ----------------------------------------------------------------------------------------------------------


def test_five_thousand_candidates_send_a_page(state):
    panel = CandidatesPanel(state)
    state.candidates = many(5000)
    assert (panel.table.total, panel.table.all) == (5000, 5000)
    assert len(panel.table.page["rows"]) <= 60
    panel.table.window = [4990, 40]
    assert panel.table.page["ids"] == [f"c{i:05d}" for i in range(4990, 5000)]
    panel.table.sort = ["energy_above_hull", True]
    panel.table.window = [0, 3]
    assert panel.table.page["ids"] == ["c04999", "c04997", "c04995"]


def test_no_candidates_is_an_empty_table_and_a_sentence_on_export(state):
    panel = CandidatesPanel(state)
    assert (panel.table.total, panel.table.page["rows"]) == (0, [])
    panel._export(None)
    assert "nothing to export" in panel.notice.sentence


def test_a_filter_that_cannot_be_read_filters_nothing_and_says_so(state):
    panel = CandidatesPanel(state)
    state.candidates = many(4)
    panel.table.filters = {"n_atoms": "few"}
    assert "few" in panel.table.complaint
    assert panel.table.total == 4
    panel.table.filters = {"n_atoms": "<1"}
    assert (panel.table.complaint, panel.table.total) == ("", 0)


def test_a_brush_narrows_the_table_and_its_chip_takes_it_back(state):
    table, plots = CandidatesPanel(state), DistributionsPanel(state)
    state.candidates = many(101)
    plots.quantity.value = "energy_above_hull"
    plots.plot.brushed = [0.1, 0.2]
    energies = state.candidates.table["energy_above_hull"]
    assert table.table.total == int(energies.between(0.1, 0.2).sum())
    assert table.table.chips[0][0] == "energy_above_hull"
    table._told(None, {"kind": "unbrush", "name": "energy_above_hull"}, [])
    assert (table.table.total, state.narrowed) == (101, {})


def test_choosing_all_chooses_what_passes_the_filters(state):
    panel = CandidatesPanel(state)
    state.candidates = many(10)
    panel.table.filters = {"id": "c00003"}
    panel._told(None, {"kind": "choose", "all": True}, [])
    assert state.chosen == ("c00003",)
    assert panel.table.chosen == ["c00003"]


def test_arrow_keys_walk_the_sorted_rows(state):
    panel = CandidatesPanel(state)
    state.candidates = many(6)
    panel.table.sort = ["id", True]
    for by, found in ((1, "c00005"), (1, "c00004"), (-1, "c00005"), (-1, "c00005"), (10, "c00000")):
        panel._told(None, {"kind": "step", "by": by}, [])
        assert state.selection == found


def test_export_writes_the_chosen_ones_and_never_overwrites(state, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    panel = CandidatesPanel(state)
    state.candidates = many(3)
    state.chosen = ("c00001",)
    for name in ("export", "export-2"):
        panel._export(None)
        until(lambda name=name: panel.notice.sentence == f"Wrote 1 crystal to {name}.")
    assert [file.name for file in (tmp_path / "export" / "cif").iterdir()] == ["c00001.cif"]
    assert (tmp_path / "export-2" / "README.md").exists()


# --- structure, hull, distributions ----------------------------------------------------------------------------------------


def test_the_selected_crystal_is_drawn_as_generated_and_relaxed(state):
    panel = StructurePanel(state)
    state.candidates = many(2)
    state.relaxed = {"c00001": famous(famous_names()[0])}
    state.selection = "c00001"
    until(lambda: len(panel.scenes.scenes) == 2)
    assert [scene["title"] for scene in panel.scenes.scenes] == ["As generated", "Relaxed"]
    state.selection = "c00000"
    until(lambda: len(panel.scenes.scenes) == 1)
    state.selection = ""
    until(lambda: not panel.scenes.scenes)
    assert panel.notice.kind != "error"


def test_the_last_of_many_quick_clicks_is_the_one_drawn(state):
    panel = StructurePanel(state)
    state.candidates = many(30)
    for i in range(30):
        state.selection = f"c{i:05d}"
    until(lambda: panel._title.value.endswith("c00029</span>") and panel.scenes.scenes)
    time.sleep(0.3)
    assert "c00029" in panel._title.value


def test_taking_a_picture_of_nothing_is_a_sentence(state):
    panel = StructurePanel(state)
    panel._photograph(None)
    assert "Select a crystal first" in panel.notice.sentence
    panel._cif(None)
    assert "Select a crystal first" in panel.notice.sentence


def test_the_hull_follows_the_asked_system(state):
    panel = HullPanel(state)
    assert "two to four" in panel.plot.figure
    state.constraints = Constraints(chemical_system="Sr-Ti-O")
    assert panel.system.value == "O-Sr-Ti"
    assert "SrTiO" in panel.plot.figure
    assert "3 known phases" in panel._title.value


def test_the_hull_panel_alone_reads_the_shipped_reference_and_says_so_until_then(model, monkeypatch):
    from model.evaluation.reference import Reference

    gate, known = threading.Event(), Reference.shipped()

    def slowly():
        assert gate.wait(20)
        return known

    monkeypatch.setattr(Reference, "shipped", slowly)
    state = State(model=model, constraints=Constraints(chemical_system="Sr-O"))
    panel = HullPanel(state)
    assert "No reference yet" in panel.plot.figure
    assert panel.notice.kind != "error"
    gate.set()
    until(lambda: state.reference is known and "No reference yet" not in panel.plot.figure)


def test_distributions_offer_what_is_asked_and_known(state):
    panel = DistributionsPanel(state)
    state.constraints = Constraints(targets={"dft_mag_density": 0.1})
    offered = [value for _, value in panel.quantity.options]
    assert offered[0] == "dft_mag_density"
    for value in offered:
        panel.quantity.value = value
        assert panel.plot.figure
        assert panel.notice.kind != "error"
    assert RunStatus().phase == "idle"


def test_rates_are_shown_with_what_they_mean(state, crystals):
    panel = CandidatesPanel(state)
    panel._toggle_card(None)
    assert "no rates yet" in panel.notice.sentence
    state.candidates = many(4)
    state.scorecard = "stable 50 % [10 %, 90 %] 2 of 4"
    panel._toggle_card(None)
    assert panel.card.text == state.scorecard
    state.scorecard = "stable 75 %"
    assert panel.card.text == "stable 75 %"
    panel._toggle_card(None)
    assert panel.card.text == ""


def test_a_verdict_is_a_line_with_its_reason():
    from workbench.views.table import verdict

    assert verdict({}) == ""
    assert verdict({"status": "generated"}) == "Not judged yet."
    said = verdict({"status": "judged", "energy_above_hull": 0.02, "reason": "", "nearest_known": "mp-1", "nearest_distance": 0.2})
    assert said == "+0.020 eV/atom from the hull. Nearest known: mp-1, fingerprint distance 0.200."
    assert verdict({"status": "judged", "energy_above_hull": 0.5, "reason": "Unstable: 0.500 eV/atom above the hull."}).count("0.5") == 1


def test_the_path_of_a_crystal_is_played_back(state, crystals):
    from workbench.widgets.structures import StructurePanel

    panel = StructurePanel(state)
    run = begin(state, Constraints(count=2), Freezing(crystals, steps=8)).start()
    assert run.wait(20)
    assert panel.path.disabled
    state.selection = state.candidates.table["id"][1]
    assert not panel.path.disabled
    assert panel.playback.layout.display == "none"
    panel.path.value = True
    assert panel.playback.layout.display == ""
    first = panel.playback.picture.scene
    assert "undecided" in first["facts"][1]
    panel.playback.slider.value = panel.playback.slider.max
    last = panel.playback.picture.scene
    assert last["facts"][1].startswith("0% of")
    assert last["facts"][-1].startswith("space group")
    assert last["positions"] != first["positions"]


def test_the_nearest_known_crystal_is_drawn_where_it_is_kept(state):
    panel = StructurePanel(state)
    near = famous(famous_names()[1])
    table = many(2)
    state.candidates = table.learn(nearest_known=["mp-1", None])
    state.selection = "c00000"
    assert [title for title, _ in panel.crystals()] == ["As generated"]
    state.reference = SimpleNamespace(hull=state.reference.hull, has_structures=True, structure=lambda name: near if name == "mp-1" else None)
    assert [title for title, _ in panel.crystals()] == ["As generated", "Nearest known"]
    state.selection = "c00001"
    assert [title for title, _ in panel.crystals()] == ["As generated"]
