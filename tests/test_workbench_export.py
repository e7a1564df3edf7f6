"""The export kit: every file says the same, in one order, whole or not at all."""

import io
import zipfile

import numpy as np
import pandas as pd
import pytest

from model.candidates import Candidates
from model.constraints import Constraints
from model.crystals import Crystals
from model.io import read_crystals
from model.testing import famous, famous_names
from workbench import export


@pytest.fixture(scope="module")
def candidates():
    crystals = Crystals.join([famous(name) for name in famous_names()[:4]])
    table = pd.DataFrame({
        "id": ["s0-0003", "s0-0001", "s0-0010", "odd/../name"], "n_atoms": crystals.n_atoms.numpy(), "energy_above_hull": [0.1, None, 0.3, -0.05],
        "stable": pd.array([True, None, False, True], dtype="boolean"), "reason": ["", "", "Unstable: 0.3 eV/atom above the hull.", ""],
    })
    return Candidates(crystals=crystals, table=table)


def test_all_files_hold_the_same_crystals_in_one_order(candidates, tmp_path):
    chosen = export.select(candidates, [], {"s0-0001": candidates.crystals[1]})
    folder = export.write(chosen, tmp_path / "out", origin=export.Origin(constraints=Constraints(count=4), model="base", scorecard="stable 1 of 4"))
    assert '"model": "base"' in (folder / "run.json").read_text(encoding="utf-8")
    assert "stable 1 of 4" in (folder / "scorecard.txt").read_text(encoding="utf-8")
    rows = pd.read_csv(folder / "candidates.csv")
    assert rows["id"].tolist() == candidates.table["id"].tolist()
    record = read_crystals(folder / "crystals.extxyz")
    assert record.ids == candidates.table["id"].tolist()
    assert record.crystals.numbers.tolist() == candidates.crystals.numbers.tolist()
    from ase.db import connect

    kept = list(connect(folder / "crystals.db").select())
    assert [row.name for row in kept] == candidates.table["id"].tolist()
    assert [row.toatoms().numbers.tolist() for row in kept] == [part.numbers.tolist() for part in candidates.crystals]
    assert (kept[0].energy_above_hull, bool(kept[0].stable)) == (0.1, True)
    assert "energy_above_hull" not in kept[1], "what is unknown is not there"
    assert [row.name for row in connect(folder / "relaxed.db").select()] == ["s0-0001"]
    stems = {file.stem for file in (folder / "cif").iterdir()}
    assert stems == {file.stem for file in (folder / "poscar").iterdir()}
    assert len(stems) == 4
    assert [file.stem for file in (folder / "cif-relaxed").iterdir()] == ["s0-0001"]
    assert [file.stem for file in (folder / "poscar-relaxed").iterdir()] == ["s0-0001"]
    for place in ("cif", "poscar"):
        again = read_crystals(folder / place)
        assert not again.skipped
        assert sorted(s.composition.reduced_formula for s in again.structures) == sorted(s.composition.reduced_formula for s in record.structures)
    said = (folder / "README.md").read_text(encoding="utf-8")
    for entry in folder.iterdir():
        assert entry.name in said or entry.name == "README.md", f"the README does not say what {entry.name} is"
    assert "eV/atom" in said


def test_the_database_of_relaxed_crystals_speaks_of_them(candidates, tmp_path):
    from ase.db import connect

    told = candidates.learn(space_group=["P1"] * 4, relaxed_space_group=["Fm-3m"] * 4, volume=[50.0] * 4, relaxed_volume=[40.0] * 4)
    folder = export.write(export.select(told, [], {"s0-0001": told.crystals[1]}), tmp_path / "out")
    one = next(connect(folder / "relaxed.db").select())
    assert (one.space_group, one.cell_volume) == ("Fm-3m", 40.0)
    assert next(connect(folder / "crystals.db").select()).space_group == "P1"


def test_a_place_that_cannot_be_written_is_a_sentence(candidates):
    with pytest.raises(export.ExportError, match="name another"):
        export.write(export.select(candidates, [], {}), "/proc/nope/out")


def test_names_that_look_like_numbers_survive_the_database(candidates, tmp_path):
    from ase.db import connect

    odd = candidates.learn(id=["1", "2e5", "x", "y"], formula=["NaN", "CsCl", "Fe", "Cu"])
    folder = export.write(export.select(odd, [], {}), tmp_path / "out", ("ase",))
    assert [(row.name, row.reduced_formula) for row in connect(folder / "crystals.db").select()] == [
        ("_1", "_NaN"), ("_2e5", "CsCl"), ("x", "Fe"), ("y", "Cu")]


def test_vasp_inputs_are_written_where_they_are_asked_for(candidates, tmp_path):
    chosen = export.select(candidates, ["s0-0001"], {"s0-0001": candidates.crystals[1]})
    assert not (export.write(chosen, tmp_path / "plain") / "vasp").exists()
    folder = export.write(chosen, tmp_path / "dft", (*export.FORMATS, export.VASP))
    assert list((folder / "vasp").rglob("INCAR"))
    assert list((folder / "vasp").rglob("POTCAR.spec"))
    assert "vasp/" in (folder / "README.md").read_text()


def test_a_choice_keeps_the_order_of_the_table(candidates):
    part = export.select(candidates, ["s0-0010", "s0-0003"], {})
    assert part.candidates.table["id"].tolist() == ["s0-0003", "s0-0010"]


def test_nothing_is_written_outside_the_folder(candidates, tmp_path):
    export.write(export.select(candidates, [], {}), tmp_path / "a" / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]
    assert [entry.name for entry in (tmp_path / "a").iterdir()] == ["out"]


def test_an_existing_folder_is_never_touched(candidates, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("precious")
    with pytest.raises(export.ExportError, match="exists already"):
        export.write(export.select(candidates, [], {}), tmp_path / "mine")
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    assert export.free_name(tmp_path / "mine") == tmp_path / "mine-2"
    assert export.free_name(tmp_path / "new") == tmp_path / "new"


def test_a_failure_leaves_nothing_behind(candidates, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "_poscar", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        export.write(export.select(candidates, [], {}), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_zip_is_the_folder(candidates, tmp_path):
    chosen = export.select(candidates, ["s0-0003"], {})
    folder = export.write(chosen, tmp_path / "crystals", ("cif", "csv"))
    packed = zipfile.ZipFile(io.BytesIO(export.archive(chosen, ("cif", "csv"))))
    assert sorted(packed.namelist()) == sorted(str(file.relative_to(tmp_path)) for file in folder.rglob("*") if file.is_file())
    for name in packed.namelist():
        assert packed.read(name) == (tmp_path / name).read_bytes()


def test_what_cannot_be_exported_is_a_sentence(candidates):
    with pytest.raises(export.ExportError, match="nothing to export"):
        export.select(candidates.where(np.zeros(4, dtype=bool)), [], {})
    with pytest.raises(export.ExportError, match="choose again"):
        export.select(candidates, ["gone"], {})
    with pytest.raises(export.ExportError, match="there are cif"):
        export.archive(export.select(candidates, [], {}), ("docx",))
