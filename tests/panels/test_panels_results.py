"""The panels of results as plain objects: candidates, structure, hull, distributions."""

import threading
import time
from types import SimpleNamespace

from model.constraints import Constraints
from model.testing import famous, famous_names
from workbench.state import RunStatus, State
from workbench.testing import Freezing, begin
from workbench.widgets.candidates import CandidatesPanel
from workbench.widgets.distributions import DistributionsPanel
from workbench.widgets.hull import HullPanel
from workbench.widgets.structures import StructurePanel


def test_five_thousand_candidates_send_a_page(state, many):
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


def test_a_filter_that_cannot_be_read_filters_nothing_and_says_so(state, many):
    panel = CandidatesPanel(state)
    state.candidates = many(4)
    panel.table.filters = {"n_atoms": "few"}
    assert "few" in panel.table.complaint
    assert panel.table.total == 4
    panel.table.filters = {"n_atoms": "<1"}
    assert (panel.table.complaint, panel.table.total) == ("", 0)


def test_a_brush_narrows_the_table_and_its_chip_takes_it_back(state, many):
    table, plots = CandidatesPanel(state), DistributionsPanel(state)
    state.candidates = many(101)
    plots.quantity.value = "energy_above_hull"
    plots.plot.brushed = [0.1, 0.2]
    energies = state.candidates.table["energy_above_hull"]
    assert table.table.total == int(energies.between(0.1, 0.2).sum())
    assert table.table.chips[0][0] == "energy_above_hull"
    table._told(None, {"kind": "unbrush", "name": "energy_above_hull"}, [])
    assert (table.table.total, state.narrowed) == (101, {})


def test_choosing_all_chooses_what_passes_the_filters(state, many):
    panel = CandidatesPanel(state)
    state.candidates = many(10)
    panel.table.filters = {"id": "c00003"}
    panel._told(None, {"kind": "choose", "all": True}, [])
    assert state.chosen == ("c00003",)
    assert panel.table.chosen == ["c00003"]


def test_arrow_keys_walk_the_sorted_rows(state, many):
    panel = CandidatesPanel(state)
    state.candidates = many(6)
    panel.table.sort = ["id", True]
    for by, found in ((1, "c00005"), (1, "c00004"), (-1, "c00005"), (-1, "c00005"), (10, "c00000")):
        panel._told(None, {"kind": "step", "by": by}, [])
        assert state.selection == found


def test_export_writes_the_chosen_ones_and_never_overwrites(state, tmp_path, monkeypatch, many, until):
    monkeypatch.chdir(tmp_path)
    panel = CandidatesPanel(state)
    state.candidates = many(3)
    state.chosen = ("c00001",)
    for name in ("export", "export-2"):
        panel._export(None)
        until(lambda name=name: panel.notice.sentence == f"Wrote 1 crystal to {name}.")
    assert [file.name for file in (tmp_path / "export" / "cif").iterdir()] == ["c00001.cif"]
    assert (tmp_path / "export-2" / "README.md").exists()


def test_the_selected_crystal_is_drawn_as_generated_and_relaxed(state, many, until):
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


def test_the_last_of_many_quick_clicks_is_the_one_drawn(state, many, until):
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


def test_the_hull_panel_alone_reads_the_shipped_reference_and_says_so_until_then(model, monkeypatch, until):
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


def test_rates_are_shown_with_what_they_mean(state, crystals, many):
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


def test_the_nearest_known_crystal_is_drawn_where_it_is_kept(state, many):
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
