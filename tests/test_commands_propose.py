"""`workbench propose` as a person types it, and the same ways on the bench."""

import csv
import json

import pytest
import torch
from typer.testing import CliRunner

from model import io
from model.constraints import Constraints
from model.data.sources import mini
from model.network.readout import Readout
from model.properties.readouts import Report, save
from model.record import candidates_of
from workbench.cli import app
from workbench.methods import WAYS, _by_proposer, begin
from workbench.runs import Run
from workbench.state import State

runner = CliRunner()


def run(*words):
    return runner.invoke(app, ["propose", *map(str, words)])


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_run_is_as_one_of_the_model_and_replays(tmp_path):
    ask = ["random-search", "--chemical-system", "Li-O", "--atoms", "2:6", "--count", "3", "--seed", "4"]
    assert run(*ask, "--out", tmp_path / "first").exit_code == 0
    assert run(*ask, "--out", tmp_path / "again").exit_code == 0
    first = contents(tmp_path / "first")
    assert first == contents(tmp_path / "again")
    assert set(first) == {"crystals.extxyz", "candidates.csv", "run.json", *(f"cif/s4-000{i}.cif" for i in range(3))}
    told = json.loads(first["run.json"])
    assert told["finished"] is True
    assert told["model"]["name"] == told["method"]["way"] == "random-search"
    reading = io.read_crystals(tmp_path / "first")
    assert reading.ids == ["s4-0000", "s4-0001", "s4-0002"]
    assert all({e.symbol for e in s.composition} == {"Li", "O"} for s in reading.structures)
    again = run(*ask, "--out", tmp_path / "first")
    assert again.exit_code == 2
    assert "is finished, and is not overwritten" in again.output


def test_a_broken_off_run_goes_on(tmp_path):
    ask = ["substitution", "--chemical-system", "Li-O", "--count", "4", "--out", tmp_path / "run"]
    assert run(*ask).exit_code == 0
    whole = contents(tmp_path / "run")
    crystals, info = io.read_extxyz(tmp_path / "run" / "crystals.extxyz")
    (tmp_path / "run" / "crystals.extxyz").unlink()
    io.write_extxyz(tmp_path / "run" / "crystals.extxyz", crystals[torch.tensor([0, 1])], info[:2])
    told = json.loads(whole["run.json"]) | {"finished": False}
    (tmp_path / "run" / "run.json").write_text(json.dumps(told))
    assert run(*ask).exit_code == 0
    after = contents(tmp_path / "run")
    assert set(after) == set(whole)
    assert after["cif/s0-0003.cif"] == whole["cif/s0-0003.cif"]
    rows = list(csv.DictReader((tmp_path / "run" / "origins.csv").open()))
    assert [row["id"] for row in rows] == [f"s0-000{i}" for i in range(4)]
    assert all("aflow:" in row["origin"] and "to Li" in row["origin"] for row in rows)


def test_evaluate_judges_such_a_run_as_any(tmp_path):
    assert run("substitution", "--formula", "TiO2", "--atoms", "1:6", "--count", "2", "--out", tmp_path / "run").exit_code == 0
    said = runner.invoke(app, ["evaluate", str(tmp_path / "run"), "--no-relax"])
    assert said.exit_code == 0, said.output
    assert "2 of 2 crystals judged" in said.output
    rows = list(csv.DictReader((tmp_path / "run-evaluated" / "candidates.csv").open()))
    assert [row["id"] for row in rows] == ["s0-0000", "s0-0001"]
    assert all(row["composition_obeyed"] == "True" for row in rows)


def test_screening_says_what_it_took_and_what_it_predicted(tmp_path):
    torch.manual_seed(0)
    tiny = {"num_blocks": 1, "cutoff": 5.0, "emb_size_atom": 16, "emb_size_edge": 16, "num_radial": 8}
    (tmp_path / "readout").mkdir()
    report = Report(label="dft_bulk_modulus", taught=60, held_out=6, mean_absolute_error=2.0, error_of_the_mean=9.0)
    save(Readout("dft_bulk_modulus", **tiny), report, tmp_path / "readout")
    mini().save(tmp_path / "known")
    ask = ["screening", "--data", tmp_path / "known", "--readout", tmp_path / "readout", "--target",
           "dft_bulk_modulus=1:2", "--allowed", "O,Ti,Sr,Mg", "--count", "3"]  # fmt: skip
    done = run(*ask, "--out", tmp_path / "run")
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader((tmp_path / "run" / "origins.csv").open()))
    assert all("dft_bulk_modulus" in row["origin"] for row in rows)
    assert {row["origin"].split(" with ")[0] for row in rows} <= set(mini().ids.tolist())
    assert json.loads((tmp_path / "run" / "run.json").read_text())["method"]["readouts"] == {"dft_bulk_modulus": 2.0}


@pytest.mark.parametrize(("slip", "word"), [
    (["random-search", "--chemical-system", "Xx-O"], "no element symbol"),
    (["random-search", "--atoms", "1:2:3"], "range as 4:12"),
    (["random-search", "--learn-from", "nowhere"], "no folder or file"),
    (["substitution", "--chemical-system", "Li-O", "--count", "9999"], "ask for at most"),
    (["substitution", "--reference", "nowhere"], "no reference in nowhere"),
    (["screening", "--data", "nowhere", "--readout", "x", "--target", "dft_band_gap=1"], "no dataset nowhere"),
    (["screening", "--data", "x", "--readout", "x", "--target", "dft_band_gap"], "name=value"),
])  # fmt: skip
def test_a_slip_is_one_sentence_and_leaves_nothing(slip, word, tmp_path):
    done = run(*slip, "--out", tmp_path / "run")
    assert done.exit_code == 2, done.output
    assert word in done.output
    assert len(done.output.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


# --- on the bench -----------------------------------------------------------------------------------------------------


def test_ways_tell_what_they_need():
    assert list(WAYS) == ["diffusion", "random-search", "substitution", "screening"]
    with pytest.raises(ValueError, match="needs prepared crystals and a taught readout"):
        WAYS["screening"].proposer({"data": " "})
    with pytest.raises(ValueError, match="found colour"):
        WAYS["substitution"].proposer({"colour": "blue"})
    with pytest.raises(ValueError, match="no way of proposing 'magic'"):
        begin(State(), Constraints(), "magic")
    with pytest.raises(ValueError, match="No model is loaded"):
        begin(State(), Constraints(), "diffusion")


def test_a_way_makes_the_crystals_of_a_run():
    state, constraints = State(), Constraints(chemical_system="Li-O", count=10)
    made = Run(state, _by_proposer(WAYS["substitution"], {}), None, candidates_of, constraints).start()
    assert made.wait(120)
    assert state.run.phase == "done", state.run.failure
    assert state.candidates.table["index"].tolist() == list(range(10))
    assert set(state.candidates.table["chemical_system"]) == {"Li-O"}


def test_what_a_way_cannot_follow_is_said_in_the_panel():
    state = State()
    asked = Constraints(chemical_system="Li-O", space_group=225, count=1)
    made = Run(state, _by_proposer(WAYS["substitution"], {}), None, candidates_of, asked).start()
    assert made.wait(120)
    assert state.run.phase == "failed"
    assert "follows no space group" in state.run.failure
