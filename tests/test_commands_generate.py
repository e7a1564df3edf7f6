"""`workbench generate` and `workbench model` as a person types them: replays, going on, one sentence for each slip."""

import json

import pytest
from typer.testing import CliRunner

from model import io
from workbench.cli import app

runner = CliRunner()
ASK = ["generate", "--chemical-system", "Li-O", "--count", "3", "--seed", "4", "--steps", "16", "--batch-size", "2"]


def ask(out, *more):
    return runner.invoke(app, [*ASK, "--out", str(out), *more])


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "first"
    done = ask(folder)
    assert done.exit_code == 0, done.output
    return folder


def test_a_run_holds_record_cifs_table_and_what_was_asked(made):
    assert set(contents(made)) == {
        "crystals.extxyz", "candidates.csv", "run.json", "cif/s4-0000.cif", "cif/s4-0001.cif", "cif/s4-0002.cif"
    }
    told = json.loads((made / "run.json").read_text())
    assert told["finished"] is True
    assert told["constraints"]["chemical_system"] == ["Li", "O"]
    assert told["model"]["hash"]
    crystals, info = io.read_extxyz(made / "crystals.extxyz")
    assert [row["id"] for row in info] == ["s4-0000", "s4-0001", "s4-0002"]
    for structure in io.to_structures(crystals):
        assert {e.symbol for e in structure.composition} == {"Li", "O"}
    assert len(io.read_crystals(made / "cif")) == 3


def test_the_same_again_is_the_same_to_the_byte(made, tmp_path):
    assert ask(tmp_path / "again").exit_code == 0
    assert contents(tmp_path / "again") == contents(made)


def test_a_broken_off_run_goes_on_and_mends_what_is_missing(made, tmp_path):
    import torch

    broken = tmp_path / "broken"
    assert ask(broken).exit_code == 0
    crystals, info = io.read_extxyz(broken / "crystals.extxyz")
    (broken / "crystals.extxyz").unlink()
    io.write_extxyz(broken / "crystals.extxyz", crystals[torch.tensor([0, 1])], info[:2])
    (broken / "candidates.csv").unlink()
    (broken / "cif" / "s4-0001.cif").unlink()
    told = json.loads((broken / "run.json").read_text()) | {"finished": False}
    (broken / "run.json").write_text(json.dumps(told))
    assert ask(broken).exit_code == 0
    mended, whole = contents(broken), contents(made)
    assert set(mended) == set(whole)
    assert mended["cif/s4-0001.cif"] == whole["cif/s4-0001.cif"]
    assert mended["candidates.csv"].count(b"\n") == whole["candidates.csv"].count(b"\n")


def test_nothing_is_overwritten(made, tmp_path):
    before = contents(made)
    done = ask(made)
    assert done.exit_code == 2
    assert "is finished, and is not overwritten" in done.output
    (tmp_path / "a_file").write_text("mine")
    assert ask(tmp_path / "a_file").exit_code == 2
    assert contents(made) == before


@pytest.mark.parametrize(("slip", "word"), [
    (["--target", "dft_band_gap=2"], "listens to no property"),
    (["--target", "dft_band_gap"], "name=value"),
    (["--space-group", "231"], "1 to 230"),
    (["--formula", "CaTiO3"], "not of the chemical system"),
    (["--atoms", "4:12:3"], "range as 4:12"),
    (["--atoms", "1"], "at least 2 atoms"),
    (["--guidance", "nan"], "finite"),
    (["--device", "abacus"], "cannot be used"),
    (["--model", "nobody"], "no model"),
    (["--scheme", "magic"], "no scheme"),
    (["--excluded", "Li"], "rule out"),
    (["--allowed", "Xx"], "no element symbol"),
])
def test_each_slip_is_one_sentence_and_leaves_no_folder(tmp_path, slip, word):
    done = ask(tmp_path / "out", *slip)
    assert done.exit_code == 2
    assert word in done.output
    assert "Traceback" not in done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)
    assert not (tmp_path / "out").exists()


def test_a_formula_is_that_compound(tmp_path):
    import csv

    done = runner.invoke(app, ["generate", "--formula", "Ca1Ti1O3", "--count", "4", "--steps", "16", "--out", str(tmp_path / "f")])
    assert done.exit_code == 0, done.output
    with (tmp_path / "f" / "candidates.csv").open() as file:
        assert [row["formula"] for row in csv.DictReader(file)] == ["CaTiO3"] * 4


def test_models_are_listed_shown_and_converted(tmp_path):
    listed = runner.invoke(app, ["model", "list"]).output
    assert "base  (shipped)" in listed
    assert "mattergen_base" in listed
    shown = runner.invoke(app, ["model", "show", "base"]).output
    assert "listens to no property" in shown
    assert runner.invoke(app, ["model", "convert", "base", "--out", str(tmp_path / "m")]).exit_code == 0
    again = runner.invoke(app, ["model", "show", str(tmp_path / "m")]).output
    assert again == shown
    assert runner.invoke(app, ["model", "convert", "base", "--out", str(tmp_path / "m")]).exit_code == 2
