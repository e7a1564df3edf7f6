"""`workbench generate` and `workbench model` as a person types them: replays, going on, one sentence for each slip."""

import json

import pytest
from typer.testing import CliRunner

from model import io
from workbench.cli import app

runner = CliRunner()
ASK = ["generate", "--chemical-system", "Li-O", "--count", "3", "--seed", "4", "--steps", "16", "--batch-size", "2"]


LI2O, TWO = "{li2o}", "{two}"  # files, which the tests write


@pytest.fixture(scope="module")
def starts(tmp_path_factory):
    """A file with antifluorite Li2O in its primitive cell, and one with two crystals."""
    from pymatgen.core import Lattice, Structure

    folder = tmp_path_factory.mktemp("starts")
    cell = Lattice([[0, 2.3, 2.3], [2.3, 0, 2.3], [2.3, 2.3, 0]])
    one = Structure(cell, ["O", "Li", "Li"], [[0, 0, 0], [0.25] * 3, [0.75] * 3])
    one.to(str(folder / "li2o.cif"))
    io.write_extxyz(folder / "two.extxyz", io.from_structures([one, one]), [{"id": "a"}, {"id": "b"}])
    return {LI2O: str(folder / "li2o.cif"), TWO: str(folder / "two.extxyz")}


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
    (["--model", "base", "--model", "base"], "wear adapters on one of them"),
    (["--mode", "sloppy"], "no mode"),
    (["--reference", "--mode", "independent"], "contradict"),
    (["--reference", "--scheme", "heun"], "walks the ancestral scheme"),
    (["--precision", "half"], "no precision"),
    (["--target", "a=1", "--target", "a=2"], "two targets"),
    (["--target", "a=1..2..3"], "low..high"),
    (["--guidance", "much"], "2 or name=2"),
    (["--guidance", "2", "--guidance", "3"], "said twice"),
    (["--guidance", "ml_bulk_modulus=3"], "for which nothing was asked"),
    (["--keep", "cell"], "--start"),
    (["--strength", "0.5"], "--start"),
    (["--start", "nowhere.cif", "--keep", "cell"], "no folder or file"),
    (["--start", LI2O, "--strength", "0"], "in (0, 1]"),
    (["--start", LI2O], "nothing of the start is left"),
    (["--start", LI2O, "--keep", "cell,sites,elements"], "nothing is left to make"),
    (["--start", LI2O, "--keep", "Fe"], "no Fe"),
    (["--start", LI2O, "--keep", "2-9"], "numbered 1 to 3"),
    (["--start", LI2O, "--keep", "bonds"], "What is kept is cell"),
    (["--start", LI2O, "--keep", "Li", "--atoms", "2"], "has 3 atoms"),
    (["--start", TWO, "--keep", "cell"], "one crystal"),
    (["--scheme", "magic"], "no scheme"),
    (["--excluded", "Li"], "rule out"),
    (["--allowed", "Xx"], "no element symbol"),
])
def test_each_slip_is_one_sentence_and_leaves_no_folder(tmp_path, starts, slip, word):
    done = ask(tmp_path / "out", *(starts.get(part, part) for part in slip))
    assert done.exit_code == 2
    assert word in done.output
    assert done.output.strip().count("\n") == 0
    assert "Traceback" not in done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)
    assert not (tmp_path / "out").exists()


def test_a_formula_is_that_compound(tmp_path):
    import csv

    done = runner.invoke(app, ["generate", "--formula", "Ca1Ti1O3", "--count", "4", "--steps", "16", "--out", str(tmp_path / "f")])
    assert done.exit_code == 0, done.output
    with (tmp_path / "f" / "candidates.csv").open() as file:
        assert [row["formula"] for row in csv.DictReader(file)] == ["CaTiO3"] * 4


def test_a_run_tells_how_it_was_made(made):
    import torch

    told = json.loads((made / "run.json").read_text())
    assert told["method"] == {
        "steps": 16, "scheme": "ancestral", "corrections": 0, "published": False, "precision": "highest",
        "batch_size": 2, "redraws": 3,
    }
    assert [batch["crystals"] for batch in told["batches"]] == ["0-1", "2"]
    for batch in told["batches"]:
        assert batch["size"] == {"0-1": 2, "2": 1}[batch["crystals"]]
        assert batch["device"] == "cpu"
        assert batch["threads"] == torch.get_num_threads()
        assert batch["torch"] == torch.__version__
        assert all(0 < attempts <= 3 for attempts in batch["redrawn"].values())


def test_what_is_kept_of_a_start_is_kept(tmp_path, starts):
    from model.cell import symmetric
    from model.sampling.requests import Start

    whole = io.read_crystals(starts[LI2O]).crystals
    done = runner.invoke(app, ["generate", "--start", starts[LI2O], "--keep", "cell,O", "--chemical-system", "Li-O",
                               "--count", "3", "--steps", "16", "--redraws", "0", "--out", str(tmp_path / "k")])
    assert done.exit_code == 0, done.output
    crystals, _ = io.read_extxyz(tmp_path / "k" / "crystals.extxyz")
    oxygen = whole.numbers == 8
    for crystal in crystals:
        assert float((crystal.cell - symmetric(whole.cell)).abs().max()) < 1e-5
        assert (crystal.numbers[oxygen] == 8).all()
        assert float((crystal.frac[oxygen] - whole.frac[oxygen]).abs().max()) < 1e-5
        assert float((crystal.frac[~oxygen] - whole.frac[~oxygen]).abs().max()) > 1e-3
    told = json.loads((tmp_path / "k" / "run.json").read_text())["start"]
    start = Start.from_json(told)
    assert start.keep_cell
    assert start.to_json() == told
    assert start.keep_sites.tolist() == oxygen.tolist()
    again = runner.invoke(app, ["generate", "--start", starts[LI2O], "--keep", "cell,Li", "--chemical-system", "Li-O",
                                "--count", "3", "--steps", "16", "--redraws", "0", "--out", str(tmp_path / "k")])
    assert again.exit_code == 2
    assert "other constraints, model, method or start" in again.output


@pytest.fixture
def adapters(tmp_path, monkeypatch):
    """Two adapters on the shipped base, and one on another base, as models of one's own."""
    import torch

    from model import checkpoints
    from model.network.denoiser import GemNetDenoiser
    from model.sampling.model import CrystalModel

    monkeypatch.setenv("WORKBENCH_MODELS", str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    base = checkpoints.load("base")
    for name, heard, on in (("stiff", "ml_bulk_modulus", base.hash), ("scarce", "hhi_score", base.hash), ("stranger", "dft_band_gap", None)):
        torch.manual_seed(1)
        denoiser = GemNetDenoiser(**base.denoiser.arguments | {"properties": (heard,), "log10": ()})
        if on:
            denoiser.load_state_dict(denoiser.state_dict() | base.denoiser.state_dict())
        checkpoints.save(CrystalModel(name=name, denoiser=denoiser.eval(), diffusion=base.diffusion,
                                      statistics=base.statistics, properties=(heard,), base=on), tmp_path / "models" / name)
    return tmp_path


def test_several_adapters_are_worn_with_a_strength_each(adapters):
    both = ["--model", "stiff", "--model", "scarce", "--target", "ml_bulk_modulus=100..200", "--target", "hhi_score=1000"]
    done = ask(adapters / "out", *both, "--guidance", "ml_bulk_modulus=3", "--guidance", "1")
    assert done.exit_code == 0, done.output
    told = json.loads((adapters / "out" / "run.json").read_text())
    assert told["model"]["name"] == "stiff+scarce"
    assert told["constraints"]["targets"] == {"ml_bulk_modulus": [100.0, 200.0], "hhi_score": [1000.0, 1000.0]}
    assert told["constraints"]["guidance"] == {"hhi_score": 1.0, "ml_bulk_modulus": 3.0}
    for names, word in ((["stiff", "stranger"], "does not sit on"), (["stiff", "stiff"], "both listen to"),
                        (["base+stiff+stranger"], "does not sit on")):
        slip = ask(adapters / "no", *(part for name in names for part in ("--model", name)))
        assert slip.exit_code == 2
        assert word in slip.output
    joined = ask(adapters / "joined", "--model", "base+stiff+scarce", "--target", "hhi_score=1000")
    assert joined.exit_code == 0, joined.output


def test_models_of_ones_own_are_listed_with_what_they_were_taught(adapters):
    listed = runner.invoke(app, ["model", "list"]).output
    assert "stiff  (your own, " in listed
    assert "adapters on base (" in listed
    shown = runner.invoke(app, ["model", "show", "stiff"]).output
    assert "listens to ml_bulk_modulus (labels not told)" in shown
    assert "are adapters on base (" in shown
    (adapters / "models" / "stiff" / "model.json").write_text("{")
    listed = runner.invoke(app, ["model", "list"])
    assert listed.exit_code == 0
    assert "stiff  (your own): its model.json cannot be read" in listed.output


def test_what_published_models_listen_to_is_known_beforehand(shared):
    """The names of fixtures of the published form are those of the published models."""
    from model import checkpoints, published

    assert set(published.LISTENS) == set(published.NAMES)
    known = [p for p in (shared / "parity").iterdir() if p.name in published.LISTENS]
    assert known
    for folder in known:
        assert checkpoints.load(folder).properties == published.LISTENS[folder.name]
    told = runner.invoke(app, ["model", "show", str(shared / "parity" / "dft_mag_density_hhi_score")]).output
    assert "listens to dft_mag_density (mean 0.02, spread 0.04 in Å⁻³; the range is not told)" in told
    assert "licence: MIT" in told


def test_models_are_listed_shown_and_converted(tmp_path, monkeypatch):
    monkeypatch.setenv("MATTERGEN_MODELS", str(tmp_path / "none"))
    listed = runner.invoke(app, ["model", "list"]).output
    assert "base  (shipped, " in listed
    assert "dft_mag_density_hhi_score  (published, not on this machine): listens to dft_mag_density, hhi_score" in listed
    shown = runner.invoke(app, ["model", "show", "base"]).output
    assert "listens to no property" in shown
    assert runner.invoke(app, ["model", "convert", "base", "--out", str(tmp_path / "m")]).exit_code == 0
    again = runner.invoke(app, ["model", "show", str(tmp_path / "m")]).output
    assert again.split("files:")[0] == shown.split("files:")[0]
    assert "Licence of the weights" in shown
    assert str(tmp_path / "m") in again
    assert runner.invoke(app, ["model", "convert", "base", "--out", str(tmp_path / "m")]).exit_code == 2
