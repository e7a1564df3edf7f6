"""Who was made, who is here, who is missing: from a run's folder to its scorecard, at the command line."""

import json

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from model.constraints import Constraints
from model.crystals import Crystals
from model.evaluation.account import account, meant_as_crystal
from model.evaluation.scorecard import ScorecardError
from model.io import read_crystals, to_structures, write_cif, write_extxyz
from model.testing import famous

NAMES = ("rocksalt-NaCl", "cesium-chloride-CsCl", "rocksalt-NaCl", "bcc-Fe")


def run_folder(folder, *, indices=(0, 1, 2, 3), bad=(), finished=True, count=4, **asked):
    """A folder as a run of generation leaves it."""
    folder.mkdir()
    crystals = Crystals.join([famous(NAMES[i]) for i in indices])
    infos = [
        {"id": f"s7-{i:04d}", "seed": 7, "index": i, "status": "bad" if i in bad else "generated"}
        | ({"reason": "an atom was left undecided"} if i in bad else {})
        for i in indices
    ]
    write_extxyz(folder / "crystals.extxyz", crystals, infos)
    constraints = Constraints(count=count, seed=7, **asked)
    (folder / "run.json").write_text(json.dumps({"constraints": constraints.to_json(), "finished": finished}))
    return folder


def accounted(folder, **words):
    return account(read_crystals(folder), folder, **words)


def test_seed_and_index_come_along_and_bad_ones_are_missing_with_their_reason(tmp_path):
    found = accounted(run_folder(tmp_path / "run", bad=(1,)))
    assert found.candidates.table["id"].tolist() == ["s7-0000", "s7-0002", "s7-0003"]
    assert found.candidates.table["index"].tolist() == [0, 2, 3]
    assert set(found.candidates.table["seed"]) == {7}
    assert found.missing == {"s7-0001": "an atom was left undecided"}
    assert found.made == 4
    assert len(found.candidates.crystals) == 3


def test_a_run_broken_off_is_refused_until_the_missing_are_named(tmp_path):
    folder = run_folder(tmp_path / "run", indices=(0, 3), finished=False)
    with pytest.raises(ScorecardError, match=r"4 crystals and holds 2: s7-0001, s7-0002 are not generated yet"):
        accounted(folder)
    assert set(accounted(folder, unfinished=True).missing) == {"s7-0001", "s7-0002"}
    with pytest.raises(ScorecardError, match=r"s7-0002 is not generated yet"):
        accounted(folder, missing={"s7-0001": "never made"})
    assert accounted(folder, missing={"s7-0001": "never made", "s7-0002": "neither"}).made == 4


def test_a_frame_that_cannot_be_read_is_missing_under_its_name(tmp_path):
    folder = run_folder(tmp_path / "run")
    lines = (folder / "crystals.extxyz").read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if "s7-0001" in line)
    lines[at + 1] = "Xx here and there"
    (folder / "crystals.extxyz").write_text("\n".join(lines) + "\n")
    found = accounted(folder)
    assert list(found.missing) == ["s7-0001"]
    assert "not readable in the record (crystals.extxyz, frame 1" in found.missing["s7-0001"]
    assert len(found.candidates) == 3


def test_without_a_run_the_number_made_must_add_up(tmp_path):
    for i in range(2):
        write_cif(tmp_path / f"{i}.cif", to_structures(famous("bcc-Fe"))[0])
    assert accounted(tmp_path).made == 2
    with pytest.raises(ScorecardError, match=r"5 crystals were made, 2 are here.* 3 unaccounted for"):
        accounted(tmp_path, made=5)
    assert accounted(tmp_path, made=3, missing={"lost": "by the post"}).missing == {"lost": "by the post"}
    with pytest.raises(ScorecardError, match=r"1 is named as missing, but here"):
        accounted(tmp_path, missing={"1": "gone"})


def test_properties_in_the_runs_own_table_come_along_by_id(tmp_path):
    folder = run_folder(tmp_path / "run", bad=(1,), targets={"dft_band_gap": 2.0})
    rows = {"id": [f"s7-{i:04d}" for i in (3, 2, 1, 0)], "dft_band_gap": [0.0, 4.5, 9.9, None], "formula": "X"}
    pd.DataFrame(rows).to_csv(folder / "candidates.csv", index=False)
    found = accounted(folder).candidates.table
    assert found["dft_band_gap"].fillna(-1).tolist() == [-1, 4.5, 0.0]
    assert "formula" not in found  # judging tells it
    (folder / "candidates.csv").write_bytes(b"\xff\xfe\x00\x00,")
    with pytest.raises(ScorecardError, match="not readable as a table"):
        accounted(folder)


def test_a_damaged_run_is_a_sentence(tmp_path):
    folder = run_folder(tmp_path / "run")
    for text in ("{", "[]", "{}", '{"constraints": {"count": -1}}'):
        (folder / "run.json").write_text(text)
        with pytest.raises(ScorecardError, match="is damaged"):
            accounted(folder)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("a.cif", True), ("crystals.extxyz, frame 3", True), ("POSCAR_7", True), ("archive.zip/a.cif", True),
     ("notes.txt", False), ("sub", False)],
)  # fmt: skip
def test_notes_are_no_lost_crystals(name, meant):
    assert meant_as_crystal(name) is meant


def run(*words):
    from workbench.commands.evaluate import evaluate as command

    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(command)
    return CliRunner().invoke(app, [*map(str, words), "--no-relax"])


def test_the_command_keeps_where_crystals_came_from_and_what_was_asked(tmp_path):
    folder = run_folder(tmp_path / "run", bad=(3,), chemical_system="Cl-Na", space_group=225)
    result = run(folder, "--also", reference(tmp_path))
    assert result.exit_code == 0, result.output
    assert "Missing: s7-0003: an atom was left undecided" in result.stderr
    out = tmp_path / "run-evaluated"
    table = pd.read_csv(out / "candidates.csv")
    assert table.columns[0] == "id"
    assert table["index"].tolist() == [0, 1, 2]
    assert table["seed"].tolist() == [7, 7, 7]
    assert table["composition_obeyed"].tolist() == [True, False, True]
    assert table["space_group_obeyed"].tolist() == [True, False, True]
    card = json.loads((out / "scorecard.json").read_text())
    assert card["made"] == 4
    assert list(card["missing"]) == ["s7-0003"]
    assert card["metrics"]["composition as asked"]["hits"] == 2
    assert card["metrics"]["stable"]["n"] == 4
    assert "nan" not in result.stdout.lower()
    hulls = pd.read_csv(out / "hulls.csv")
    assert hulls["id"].tolist() == table["id"].tolist()
    assert "stable by ref" in card["metrics"]


def reference(folder):
    from model.evaluation.reference import Reference

    write_cif(folder / "salt.cif", to_structures(famous("rocksalt-NaCl"))[0])
    Reference.build([folder / "salt.cif"], folder / "ref")
    return folder / "ref"


def test_the_command_refuses_a_rate_while_crystals_are_unaccounted_for(tmp_path):
    folder = run_folder(tmp_path / "run", indices=(0,), finished=False, count=4)
    refused = run(folder)
    assert refused.exit_code == 2
    assert "s7-0001, s7-0002, s7-0003 are not generated yet" in refused.stderr
    assert not (tmp_path / "run-evaluated").exists()
    bare = run(folder, "--missing", "s7-0001")
    assert (bare.exit_code, "NAME=REASON" in bare.stderr) == (2, True)
    counted = run(folder, "--unfinished", "--matcher", "disordered")
    assert counted.exit_code == 0, counted.output
    assert "1 of 4 crystals judged; 3 not: s7-0001, s7-0002, s7-0003" in counted.stdout
    assert "ordered and disordered" in counted.stdout
    assert run(folder, "--matcher", "fuzzy", "--out", tmp_path / "x").exit_code == 2


def test_one_crystal_alone_prints_no_nan(tmp_path):
    write_cif(tmp_path / "one.cif", to_structures(famous("bcc-Fe"))[0])
    result = run(tmp_path / "one.cif", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "nan" not in result.stdout.lower()
    assert "no interval from one" in result.stdout
