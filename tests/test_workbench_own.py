"""Crystals of one's own are judged like generated ones, wherever they come from; what cannot be read is named."""

import time
from pathlib import Path

import pandas as pd
import pytest

from model.crystals import Crystals
from model.io import cif_text, to_atoms, to_structures, write_cif
from model.testing import famous, famous_names
from workbench import own
from workbench.runs import Run
from workbench.sessions import store
from workbench.state import State
from workbench.testing import ByVolume
from workbench.widgets.generate import GeneratePanel
from workbench.widgets.sessions import SessionsPanel

CRYSTALS = Path(__file__).parent / "crystals"


@pytest.fixture(scope="module")
def structures():
    return to_structures(Crystals.join([famous(name) for name in famous_names()[:3]]))


def until(holds, seconds=20):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def formulas(brought):
    return brought.candidates.table["formula"].tolist()


def test_every_source_gives_the_same_crystals(structures, tmp_path):
    wanted = [structure.composition.reduced_formula for structure in structures]
    (tmp_path / "cifs").mkdir()
    for i, structure in enumerate(structures):
        write_cif(tmp_path / "cifs" / f"{i}.cif", structure)
    table = pd.DataFrame({"material_id": ["a", "b", "b"], "cif": [cif_text(one) for one in structures], "dft_band_gap": [1.0, None, 0.5], "mood": "good"})
    table.to_csv(tmp_path / "mine.csv", index=False)
    table.to_parquet(tmp_path / "mine.parquet")
    for source in (tmp_path / "cifs", table, tmp_path / "mine.csv", str(tmp_path / "mine.parquet"), structures,
                   to_atoms(Crystals.join([famous(name) for name in famous_names()[:3]])), table.assign(structure=structures).drop(columns="cif")):  # fmt: skip
        assert formulas(own.bring(source)) == wanted
    brought = own.bring(table)
    assert brought.candidates.table["id"].tolist() == ["a", "b", "b-2"]
    assert brought.candidates.table["dft_band_gap"].tolist()[0] == 1.0
    assert "mood" not in brought.candidates.table
    assert brought.candidates.table["status"].tolist() == ["generated"] * 3


def test_awkward_crystals_are_named_and_the_others_judged():
    brought = own.bring(CRYSTALS)
    passed = dict(brought.skipped)
    assert {"truncated.cif", "empty.cif", "disordered.cif"} <= set(passed)
    assert len(brought.candidates)
    assert f"{len(passed)} passed over" in brought.says()
    bad = own.bring(pd.DataFrame({"id": ["x", "y"], "cif": [cif_text(to_structures(famous("rocksalt-NaCl"))[0]), "not a crystal"]}))
    assert [name for name, _ in bad.skipped] == ["y"]


@pytest.mark.parametrize(("source", "said"), [
    (pd.DataFrame({"formula": ["NaCl"]}), "a column cif or structure"),
    ("no/such/place", "no folder or file"),
    (7, "found int"),
    ([3], "found int"),
    ([], "No crystal could be read"),
    (pd.DataFrame({"cif": ["nonsense"]}), "No crystal could be read"),
])  # fmt: skip
def test_what_cannot_be_used_is_a_sentence(source, said):
    with pytest.raises(own.SourceError, match=said):
        own.bring(source)


def judged_by_volume(state, constraints):
    from model.record import candidates_of

    return Run(state, own.nothing, ByVolume(), candidates_of, constraints)


def test_the_panel_judges_them_and_a_session_keeps_them(structures, tmp_path):
    state = State()
    panel, sessions = GeneratePanel(state, judging=judged_by_volume), SessionsPanel(state, tmp_path / "sessions")
    panel.judge.click()
    assert "Name a file" in panel.notice.sentence
    panel.source.value = str(CRYSTALS)
    panel.judge.click()
    assert state.worker.wait(20)
    assert state.run.phase == "done"
    assert "passed over" in panel.notice.sentence
    assert (state.candidates.table["status"] == "judged").all()
    panel._code(None)
    assert panel.code.text.endswith(f"workbench evaluate {CRYSTALS}")
    sessions.keeper.close()
    kept = store.listed(tmp_path / "sessions")
    assert [entry.made for entry in kept] == [len(state.candidates)]

    later = State()
    again = SessionsPanel(later, tmp_path / "sessions")
    again.which.value = str(kept[0].folder)
    again.open.click()
    assert later.candidates.table["id"].tolist() == state.candidates.table["id"].tolist()
    assert (later.asked.method, later.method) == ("own", "diffusion")
    again.keeper.close()


def test_uploaded_files_are_judged(structures):
    state = State()
    panel = GeneratePanel(state, judging=judged_by_volume)
    files = [{"name": f"../{i}.cif", "content": memoryview(cif_text(one).encode())} for i, one in enumerate(structures)]
    panel._uploaded(files)
    assert state.worker.wait(20)
    assert state.candidates.table["id"].tolist() == ["0", "1", "2"]
    table = pd.DataFrame({"cif": [cif_text(one) for one in structures]}).to_csv(index=False).encode()
    panel._uploaded([{"name": "mine.csv", "content": memoryview(table)}])
    assert state.worker.wait(20)
    assert len(state.candidates) == 3
    panel._code(None)
    assert panel.code.text.endswith("workbench evaluate mine.csv"), "the folder they were read in is gone"
    panel._uploaded([*files, {"name": "mine.csv", "content": memoryview(table)}])
    assert "uploaded alone" in panel.notice.sentence
    assert len(state.candidates) == 3
