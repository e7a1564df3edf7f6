"""From crystals to verdicts, and from a folder to a folder."""

import dataclasses
import json
import math
import shutil
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from model.candidates import COLUMNS, Candidates
from model.constraints import Constraints
from model.crystals import MASK, Crystals
from model.evaluation.account import account
from model.evaluation.evaluate import evaluate, make_judge
from model.evaluation.matching import Earlier
from model.evaluation.obedience import composition_obeyed
from model.evaluation.reference import BadReferenceError, Reference
from model.evaluation.report import judge_folder
from model.evaluation.stages import Stages
from model.io import read_crystals, read_extxyz, to_structures, write_cif, write_extxyz
from model.relax.chgnet import CHGNetPotential
from model.relax.potential import Reading
from model.relax.reading import read
from model.relax.relaxer import relax
from model.testing import famous, sound

NAMES = ("rocksalt-NaCl", "rutile-TiO2", "rocksalt-NaCl", "cesium-chloride-CsCl")


@pytest.fixture(scope="module")
def crystals(shaken):
    return shaken(NAMES, 0.002)


@pytest.fixture(scope="module")
def evaluation(crystals, chgnet):
    return evaluate(crystals, potential=chgnet, ids=["salt", "rutile", "again", "cscl"])


def test_every_crystal_gets_its_row_in_order(evaluation, crystals):
    table = evaluation.candidates.table
    assert table["id"].tolist() == ["salt", "rutile", "again", "cscl"]
    assert set(table.columns) <= set(COLUMNS)
    assert table["formula"].tolist() == ["NaCl", "TiO2", "NaCl", "CsCl"]
    assert (table["status"] == "judged").all()
    sound(evaluation.relaxation.crystals)
    assert (evaluation.relaxation.crystals.numbers == crystals.numbers).all()


def test_textbook_crystals_are_stable_and_known(evaluation):
    table = evaluation.candidates.table
    assert (table["energy_above_hull"].abs() < 0.1).all()
    assert table["stable"].all()
    assert table["relaxed_space_group_number"].tolist() == [225, 136, 225, 221]
    known = table[table["formula"] != "CsCl"]
    assert (known["novelty"] == "known").all()
    assert known["nearest_known"].str.startswith("mp-").all()
    assert known["reason"].str.contains("Not new: it is mp-").all()
    assert not known["sun"].any()


def test_a_formula_known_without_a_structure_leaves_novelty_open(evaluation):
    row = evaluation.candidates.table.iloc[3]
    assert row["novelty"] == "undecided"
    assert pd.isna(row["novel"])
    assert pd.isna(row["sun"])
    assert "CsCl is known to exist, but no structure" in row["reason"]
    assert evaluation.scorecard["novelty undecided"].hits == 1
    assert evaluation.scorecard["S.U.N."].hits == 0


def test_a_twin_is_not_unique_and_says_of_whom(evaluation):
    table = evaluation.candidates.table
    assert table["unique"].tolist() == [True, True, False, True]
    assert "the same as salt" in table["reason"][2]


def test_formation_energies_near_the_known_ones(evaluation):
    found = evaluation.candidates.table.set_index("id")["formation_energy"]
    assert found["salt"] == pytest.approx(-2.11, abs=0.05)  # eV/atom, Materials Project: mp-22862
    assert found["rutile"] == pytest.approx(-3.45, abs=0.08)


def test_batches_settled_one_after_another_agree_with_one(evaluation, crystals, chgnet):
    memory = Earlier()
    parts = [
        evaluate(crystals[rows], potential=chgnet, ids=ids, earlier=memory).candidates.table
        for rows, ids in (([0, 1], ["salt", "rutile"]), ([2, 3], ["again", "cscl"]))
    ]
    both = pd.concat(parts, ignore_index=True)
    whole = evaluation.candidates.table
    assert both["unique"].tolist() == whole["unique"].tolist()
    assert both["energy_above_hull"].to_numpy() == pytest.approx(whole["energy_above_hull"].to_numpy(), abs=1e-4)


def test_a_watch_hears_of_each_with_its_columns(crystals, chgnet):
    heard = []
    evaluate(crystals[:2], potential=chgnet, ids=["a", "b"], relax=False, watch=heard.append)
    assert [p.stage for p in heard] == ["judge", "judge"]
    assert {p.payload.columns["id"] for p in heard} == {"a", "b"}
    assert all("energy_above_hull" in p.payload.columns for p in heard)


def test_without_relaxing_nothing_moves(crystals, chgnet):
    found = evaluate(crystals, potential=chgnet, relax=False)
    assert (found.relaxation.crystals.cell == crystals.cell).all()
    assert found.candidates.table["rmsd"].isna().all()
    assert not found.scorecard.relaxed
    assert "not relaxed" in str(found.scorecard)
    assert "RMSD" not in found.scorecard.metrics


def test_what_was_known_of_candidates_stays(crystals, chgnet):
    before = Candidates(crystals=crystals[:2], table=pd.DataFrame({"id": ["x", "y"], "seed": [3, 4]}))
    after = evaluate(before, potential=chgnet, relax=False).candidates.table
    assert after["seed"].tolist() == [3, 4]
    assert after["id"].tolist() == ["x", "y"]


def test_every_stage_is_timed_and_they_add_up(crystals, chgnet):
    stages = Stages({"before": 100.0})
    start = time.perf_counter()
    evaluate(crystals[:2], potential=chgnet, stages=stages)
    took = time.perf_counter() - start
    assert {"relaxation", "matching", "hull", "surroundings", "description"} <= set(stages.seconds)
    assert min(stages.seconds.values()) >= 0
    assert stages.total - 100 <= took + 1e-3
    assert str(stages).startswith(f"{stages.total:.1f} s: before 100.0 s, ")


class Moody:
    """CHGNet, but not on titanium."""

    name = CHGNetPotential.name

    def __init__(self, potential):
        self.potential = potential

    def __call__(self, crystals):
        if (crystals.numbers == 22).any():
            raise RuntimeError("no titanium today")
        return self.potential(crystals)


@pytest.mark.parametrize("relax", [True, False])
def test_a_crystal_that_cannot_be_judged_is_named_and_the_others_are_judged(crystals, chgnet, relax):
    found = evaluate(crystals, potential=Moody(chgnet), ids=["a", "b", "c", "d"], relax=relax)
    table = found.candidates.table.set_index("id")
    assert table["status"].tolist() == ["judged", "failed", "judged", "judged"]
    assert "no titanium today" in table.loc["b", "reason"]
    assert math.isnan(table.loc["b", "energy_above_hull"])
    assert pd.isna(table.loc["b", "stable"])
    assert found.scorecard["stable"].n == 4
    assert found.scorecard["stable"].hits == 3
    assert list(found.scorecard.missing) == ["b"]


def test_an_energy_model_without_elemental_energies_is_refused_at_once(chgnet):
    class Stranger:
        name = "stranger"

        def __call__(self, crystals):
            return chgnet(crystals)

    with pytest.raises(BadReferenceError, match="No elemental energies were fitted for stranger"):
        make_judge(Stranger())


def test_an_unstable_crystal_says_what_it_would_become(chgnet):
    odd = famous("rocksalt-NaCl")
    odd = odd.replace(numbers=torch.tensor([3, 3])[: len(odd.numbers)].where(odd.numbers == 11, torch.tensor(8)))
    table = evaluate(odd, potential=chgnet).candidates.table  # LiO in the rocksalt structure
    assert table["energy_above_hull"][0] > 0.1
    assert "eV/atom above the hull, where" in table["reason"][0]
    assert "Li2O2" in table["reason"][0]


def test_nothing_to_judge(chgnet):
    found = evaluate(Crystals.empty(), potential=chgnet)
    assert len(found.candidates) == 0
    assert found.scorecard.judged == 0


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, awkward):
    here = tmp_path / "made"
    here.mkdir()
    write_cif(here / "salt.cif", to_structures(famous("rocksalt-NaCl"))[0])
    for name in ("truncated.cif", "empty.cif", "disordered.cif", "notes.txt"):
        shutil.copy(awkward / name, here / name)
    return here


def run(*words):
    import typer

    from workbench.commands.evaluate import evaluate as command

    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(command)
    return CliRunner().invoke(app, list(map(str, words)))


def test_good_files_are_judged_and_the_others_named(folder, tmp_path):
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    result = run(folder)
    out = tmp_path / "made-evaluated"
    assert result.exit_code == 0, result.output
    for name in ("truncated.cif", "empty.cif", "disordered.cif", "notes.txt"):
        assert f"Warning: {name} is left out:" in result.stderr
    assert "S.U.N." in result.stdout
    table = pd.read_csv(out / "candidates.csv")
    assert table["id"].tolist() == ["salt"]
    assert abs(table["energy_above_hull"][0]) < 0.05
    card = json.loads((out / "scorecard.json").read_text())
    assert card["made"] == 4  # the note was never meant as a crystal
    assert set(card["missing"]) == {"truncated.cif", "empty.cif", "disordered.cif"}
    assert len(card["skipped"]) == 4
    assert {"low", "high", "n", "definition"} <= set(card["metrics"]["S.U.N."])
    relaxed, infos = read_extxyz(out / "relaxed.extxyz")
    assert infos[0]["id"] == "salt"
    assert len(read_crystals(out / "cif")) == len(relaxed) == 1
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_an_existing_folder_is_never_overwritten(folder, tmp_path):
    out = tmp_path / "there"
    out.mkdir()
    result = run(folder, "--out", out)
    assert result.exit_code == 2
    assert "not overwritten" in result.stderr
    assert not list(out.iterdir())


def test_nothing_readable_is_one_sentence_and_code_two(folder, tmp_path):
    (folder / "salt.cif").unlink()
    result = run(folder, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "none a readable crystal" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_not_there(tmp_path):
    result = run(tmp_path / "nowhere")
    assert result.exit_code == 2
    assert "nowhere" in result.stderr


def test_a_reference_of_ones_own_has_the_last_word(folder, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    structure = to_structures(famous("rocksalt-NaCl"))[0]
    structure.make_supercell([1, 1, 2])
    write_cif(own / "mine.cif", structure)
    built = Reference.build([own], tmp_path / "ref")
    assert built.has_structures
    assert len(built.structure("mine")) == 1
    result = run(folder, "--reference", tmp_path / "ref", "--no-relax")
    assert result.exit_code == 0, result.output
    table = pd.read_csv(tmp_path / "made-evaluated" / "candidates.csv")
    assert table["nearest_known"].tolist() == ["mine"]
    assert table["novelty"].tolist() == ["known"]
    assert "fingerprint for novelty" not in result.stdout


def test_a_damaged_reference_is_refused(folder, tmp_path):
    Reference.build([folder / "salt.cif"], tmp_path / "ref")
    (tmp_path / "ref" / "hull.parquet").write_bytes(b"no table")
    result = run(folder, "--reference", tmp_path / "ref")
    assert result.exit_code == 2
    assert "damaged" in result.stderr


@pytest.mark.slow
def test_the_authors_own_crystals_are_stable(shared):
    reading = read_crystals(shared / "data/published/mattergen/mattergen_base")
    card = evaluate(reading.crystals, ids=reading.ids).scorecard
    assert card["stable"].n == 10
    assert card["stable"].hits >= 8
    assert np.isfinite(card["energy above hull"].value)


# --- what is no crystal, and what no honest potential answers -------------------------------------------------------------


class Flat:
    """Energies of an ideal gas: every crystal rests at once."""

    name = "CHGNet 0.3.0"

    def __call__(self, crystals):
        n, atoms = len(crystals), len(crystals.numbers)
        zeros = torch.zeros(atoms, dtype=torch.float64)
        return Reading(energy=-5.0 * crystals.n_atoms.double(), forces=zeros[:, None].expand(-1, 3).clone(),
                       stress=torch.zeros(n, 3, 3, dtype=torch.float64), moments=zeros, declined={})


@pytest.mark.parametrize("damage", ["cell", "position", "element"])
def test_one_that_is_no_crystal_is_named_and_the_others_are_judged(damage):
    good, odd = famous("rocksalt-NaCl"), famous("cesium-chloride-CsCl")
    odd = {
        "cell": lambda: odd.replace(cell=odd.cell * float("nan")),
        "position": lambda: odd.replace(frac=odd.frac * float("inf")),
        "element": lambda: odd.replace(numbers=odd.numbers.clamp_min(MASK)),
    }[damage]()
    judged = evaluate(Crystals.join([good, odd]), potential=Flat(), ids=["good", "odd"])
    table = judged.candidates.table.set_index("id")
    assert table["status"].to_dict() == {"good": "judged", "odd": "failed"}
    assert "Not judged: " in table.loc["odd", "reason"]
    assert table.loc["odd", ["unique", "novel", "sun"]].isna().all()
    assert judged.scorecard.missing.keys() == {"odd"}


@pytest.mark.parametrize("answer", [None, "short", "voigt"])
def test_an_answer_of_another_shape_is_declined_by_name(answer):
    class Odd(Flat):
        def __call__(self, crystals):
            right = super().__call__(crystals)
            if 55 not in crystals.numbers:
                return right
            parts = {name: getattr(right, name) for name in ("energy", "forces", "stress", "moments")} | {"declined": {}}
            spoilt = {"short": {"energy": right.energy[:0]}, "voigt": {"stress": torch.zeros(len(crystals), 6)}}
            return None if answer is None else SimpleNamespace(**(parts | spoilt[answer]))

    found = read(Odd(), Crystals.join([famous("rocksalt-NaCl"), famous("cesium-chloride-CsCl"), famous("fcc-Cu")]))
    assert set(found.declined) == {1}
    assert "was wanted" in found.declined[1]
    assert found.energy.isfinite().tolist() == [True, False, True]


def test_a_cell_that_turns_into_no_number_is_a_verdict():
    class Violent(Flat):
        def __call__(self, crystals):
            right = super().__call__(crystals)
            return dataclasses.replace(right, forces=right.forces + 1e200, stress=right.stress + 1e200)

    relaxed = relax(famous("rocksalt-NaCl"), Violent())
    assert not relaxed.energy.isfinite().any()
    assert relaxed.reasons[0]
    assert relaxed.crystals.cell.isfinite().all()


def test_nothing_is_claimed_of_a_range_that_nobody_measured():
    wish = Constraints(count=1, targets={"ml_bulk_modulus": (300.0, 400.0)})
    card = evaluate(famous("rocksalt-NaCl"), potential=Flat(), constraints=wish).scorecard
    assert not [name for name in card.metrics if "in range" in name]


def test_what_is_measured_afterwards_is_scored_and_its_columns_explained(tmp_path):
    write_extxyz(tmp_path / "crystals.extxyz", famous("rocksalt-NaCl"), [{"id": "a"}])
    reading = read_crystals(tmp_path / "crystals.extxyz")
    asked = dataclasses.replace(account(reading), constraints=Constraints(count=1, targets={"ml_bulk_modulus": (300.0, 400.0)}))
    measures = [lambda evaluation, _: dataclasses.replace(evaluation, candidates=evaluation.candidates.learn(ml_bulk_modulus=[350.0]))]
    card = judge_folder(reading, tmp_path / "out", potential=Flat(), reference=Reference.shipped(), accounted=asked, measures=measures)
    assert card["error to target ml_bulk_modulus"].value == 0.0
    assert card["ml_bulk_modulus in range"].hits == 1
    assert card["ml_bulk_modulus, median"].value == 350.0
    told = json.loads((tmp_path / "out" / "columns.json").read_text())
    assert told["ml_bulk_modulus"]["unit"] == COLUMNS["ml_bulk_modulus"].unit == "GPa"


def test_an_element_outside_the_palette_is_not_as_asked_and_stops_nothing():
    row = {"chemical_system": "O-U", "n_atoms": 3, "formula": "UO2"}
    assert not composition_obeyed(row, Constraints(chemical_system="Li-O"))
    assert not composition_obeyed(row, Constraints())


def test_an_element_is_never_called_novel():
    table = evaluate(Crystals.join([famous("fcc-Cu"), famous("hcp-Mg")]), potential=Flat(), ids=["Cu", "Mg"]).candidates.table
    assert not (table["novelty"] == "novel").any()
    assert table["reason"].str.contains("element, whose usual structure|Not new").all()
