"""Rates that say what they are, and refuse to be when counts do not add up."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from model.constraints import Constraints
from model.evaluation.metrics import displacement, geometry_valid, paired_displacement, wilson
from model.evaluation.obedience import composition_obeyed, learn_obedience
from model.evaluation.scorecard import ScorecardError, score
from model.io import from_structures, to_structures
from model.testing import famous


def table(**columns):
    n = len(next(iter(columns.values())))
    rest = {
        "id": [f"c{i}" for i in range(n)], "formula": ["NaCl"] * n, "status": ["judged"] * n, "reason": [""] * n,
        "energy_above_hull": [0.0] * n, "unique": [True] * n, "novel": [True] * n, "novelty": ["novel"] * n,
        "rmsd": [0.1] * n, "structure_valid": [True] * n, "relaxed_converged": [True] * n,
        "space_group_number": [225] * n, "relaxed_space_group_number": [225] * n, "composition_valid": [True] * n,
    }  # fmt: skip
    return pd.DataFrame(rest | columns)


def card(rows, made=None, missing=None):
    missing = missing or {}
    return score(rows, made=len(rows) + len(missing) if made is None else made, missing=missing, reference="ref",
                 energy_model="springs", matcher="matcher")  # fmt: skip


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_scipys(counts):
    hits, n = counts
    theirs = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    ours = wilson(hits, n)
    assert ours.low == pytest.approx(theirs.low, abs=1e-9)
    assert ours.high == pytest.approx(theirs.high, abs=1e-9)


@pytest.mark.parametrize(("hits", "n"), [(-1, 3), (4, 3), (0, 0)])
def test_no_rate_out_of_impossible_counts(hits, n):
    with pytest.raises(ValueError, match=f"found {hits} of {n}"):
        wilson(hits, n)


def test_stable_has_three_conventions():
    rates = card(table(energy_above_hull=[-0.2, 0.0, 0.05, 0.1, 0.1001, math.nan]))
    assert rates["stable"].hits == 4
    assert rates["on or below the hull"].hits == 2
    assert rates["metastable"].hits == 2
    assert rates["S.U.N."].hits == 4
    assert rates["S.U.N. on the hull"].hits + rates["S.U.N. metastable"].hits == rates["S.U.N."].hits


def test_undecided_is_not_novel():
    rates = card(table(novel=[True, None, False], novelty=["novel", "undecided", "known"]))
    assert rates["novel"].hits == 1
    assert rates["novelty undecided"].hits == 1
    assert rates["S.U.N."].hits == 1


def test_failed_and_missing_count_against_stability_but_not_against_uniqueness():
    rows = table(status=["judged", "judged", "failed"], reason=["", "", "Not judged: it burst."],
                 energy_above_hull=[0.0, 0.5, math.nan])  # fmt: skip
    rates = card(rows, missing={"gone.cif": "truncated"})
    assert rates["stable"].n == 4
    assert rates["stable"].hits == 1
    assert rates["unique"].n == 2
    assert rates.judged == 2
    assert rates.missing == {"gone.cif": "truncated", "c2": "Not judged: it burst."}


@pytest.mark.parametrize("made", [1, 3, 1024])
def test_a_rate_is_refused_until_the_missing_are_named(made):
    with pytest.raises(ScorecardError, match="unaccounted"):
        card(table(rmsd=[0.1, 0.2]), made=made)
    assert card(table(rmsd=[0.1, 0.2]), made=3, missing={"x": "lost"}).made == 3


def test_it_prints_and_keeps_all_it_takes_to_compare():
    rates = card(table(rmsd=[0.1, 0.2, math.nan]))
    text = str(rates)
    for word in ("ref", "springs", "matcher", "S.U.N.", "100.0%", "3 of 3", "energy above hull ≤ 0.1"):
        assert word in text
    kept = json.loads(json.dumps(rates.to_json(), allow_nan=False))
    sun = kept["metrics"]["S.U.N."]
    assert (sun["hits"], sun["n"], sun["value"]) == (3, 3, 1.0)
    assert sun["definition"]
    assert 0 < sun["low"] < 1 == sun["high"]
    assert kept["metrics"]["RMSD"]["n"] == 2
    assert kept["reference"] == "ref"


def test_nothing_judged_gives_no_rate_and_no_error():
    empty = card(table(rmsd=[])[:0], missing={"a": "lost"})
    assert empty["stable"].value == 0
    assert "unique" not in empty.metrics


def test_geometry_is_valid_unless_atoms_meet_or_the_cell_vanishes():
    good = famous("rocksalt-NaCl")
    assert geometry_valid(good)
    assert not geometry_valid(good.replace(frac=good.frac * 0.05))
    assert not geometry_valid(good.replace(cell=good.cell * 0.01))
    assert not geometry_valid(good.replace(cell=good.cell * math.nan))


def test_a_displacement_is_what_was_moved():
    start = to_structures(famous("perovskite-SrTiO3"))[0]
    moved = start.copy()
    moved.translate_sites([0], [0.1, 0, 0], frac_coords=False)
    wanted = math.sqrt((0.08**2 + 4 * 0.02**2) / 5)  # the matcher takes out the common shift of a fifth
    assert displacement(start, moved) == pytest.approx(wanted, rel=0.02)
    assert displacement(start, start) == pytest.approx(0, abs=1e-6)
    turned = from_structures([start])
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turned = turned.replace(cell=turned.cell @ torch.from_numpy(turn).float())
    assert displacement(to_structures(turned)[0], moved) == pytest.approx(wanted, rel=0.02)


def test_what_cannot_be_matched_counts_half_a_spacing():
    rutile, fluorite = (to_structures(famous(n))[0] for n in ("rutile-TiO2", "fluorite-CaF2"))
    fluorite.replace_species({"Ca": "Ti", "F": "O"})
    fluorite.scale_lattice(rutile.volume / len(rutile) * len(fluorite) * 2)
    found = displacement(rutile, fluorite)
    spacing = (fluorite.volume / len(fluorite)) ** (1 / 3)
    assert found == pytest.approx(0.5 * spacing, rel=0.35)  # the mean lattice's volume stands between the two


def test_a_displacement_with_atoms_paired_knows_no_cell_no_order_and_no_drift():
    start = famous("perovskite-SrTiO3")
    moved = start.replace(frac=start.frac.clone().double(), cell=start.cell.double())
    step = torch.tensor([0.1, 0, 0], dtype=torch.float64) @ torch.linalg.inv(moved.cell[0])
    moved.frac[0] += step
    wanted = math.sqrt((0.08**2 + 4 * 0.02**2) / 5)  # the drift of a fifth is taken out
    assert paired_displacement(start, moved) == pytest.approx(wanted, rel=1e-3)
    drifted = moved.replace(frac=torch.remainder(moved.frac + torch.tensor([0.3, 0.6, 0.9]), 1.0))
    assert paired_displacement(start, drifted) == pytest.approx(wanted, rel=1e-3)
    order = [4, 0, 2, 1, 3]
    assert paired_displacement(start, moved.replace(frac=moved.frac[order], numbers=moved.numbers[order])) == \
        pytest.approx(wanted, rel=1e-3)  # fmt: skip
    assert paired_displacement(start, start.replace(cell=start.cell * 1.05)) == pytest.approx(0, abs=1e-5)
    assert math.isnan(paired_displacement(start, start.replace(cell=start.cell * math.nan)))


@given(st.integers(0, 2**32 - 1))
def test_both_displacements_agree_on_small_moves(seed):
    start = to_structures(famous("rutile-TiO2"))[0]
    moved = start.copy()
    moved.perturb(0.08, seed=seed)
    paired = paired_displacement(from_structures([start]), from_structures([moved]))
    assert displacement(start, moved) == pytest.approx(paired, rel=0.05)


def test_one_crystal_has_numbers_and_no_interval():
    text = str(card(table(rmsd=[0.1], rmsd_paired=[0.05])))
    assert "nan" not in text
    assert "no interval from one" in text
    kept = card(table(rmsd=[0.1])).to_json()["metrics"]["RMSD"]
    assert (kept["value"], kept["low"], kept["n"]) == (0.1, None, 1)


def test_symmetry_is_told_at_two_tolerances():
    rates = card(table(
        space_group_number=[225, 1, 62], relaxed_space_group_number=[225, 62, 62], space_group_tight=[1, 1, 62],
        relaxed_space_group_tight=[225, 62, 62],
    ))  # fmt: skip
    assert (rates["P1"].hits, rates["P1 at 0.01 Å"].hits) == (1, 2)
    assert (rates["space group kept"].hits, rates["space group kept at 0.01 Å"].hits) == (2, 1)


def test_cells_of_one_parent_are_counted_as_one():
    rates = card(table(
        rmsd=[0.1] * 5, disordered_parent=["c0", "c0", None, "c3", "c3"], unique=[True, True, True, True, False],
        sun=[True, True, False, True, False],
    ))  # fmt: skip
    assert rates["unique parents"].hits == 3
    assert rates["shares a parent"].hits == 2  # the last two are twins: one crystal, not two cells of a parent
    assert (rates["S.U.N. parents"].hits, rates["S.U.N. parents"].n) == (2, 3)


def test_a_second_hull_is_told_beside_the_first():
    rows = table(energy_above_hull=[0.0, 0.05, math.nan], status=["judged", "judged", "failed"])
    rates = score(rows, made=3, missing={}, reference="ref", energy_model="springs", matcher="m",
                  others={"another": np.array([0.0, 0.3, math.nan])})  # fmt: skip
    assert (rates["stable"].hits, rates["stable by another"].hits, rates["stable by another"].n) == (2, 1, 3)
    assert rates["energy above hull by another"].value == pytest.approx(0.15)


def test_novel_systems_and_recall_count_kinds():
    rates = score(
        table(
            chemical_system=["Na-Cl", "Na-Cl", "Fe-Xe"], novel_system=[False, False, True], novelty=["known"] * 3,
            nearest_known=["mp-1", "mp-1", "mp-2"],
        ), made=3, missing={}, reference="ref", energy_model="springs", matcher="m", known=50,
    )  # fmt: skip
    assert (rates["novel systems"].hits, rates["novel systems"].n) == (1, 3)
    assert (rates["recall"].hits, rates["recall"].n) == (2, 50)
    assert rates["precision"].hits == 3


ASKED = Constraints(chemical_system="Cl-Na", space_group=225, n_atoms=(2, 4), targets={"dft_mag_density": (0.1, 0.2)})


@pytest.mark.parametrize(
    ("constraints", "row", "obeyed"),
    [
        (ASKED, {"chemical_system": "Cl-Na", "formula": "NaCl", "n_atoms": 2}, True),
        (ASKED, {"chemical_system": "Cl-Na", "formula": "NaCl", "n_atoms": 8}, False),
        (ASKED, {"chemical_system": "Cl-Na-O", "formula": "NaClO", "n_atoms": 3}, False),
        (ASKED, {"chemical_system": "Cl", "formula": "Cl2", "n_atoms": 2}, False),
        (Constraints(excluded={"Cl"}), {"chemical_system": "Cl-Na", "formula": "NaCl", "n_atoms": 2}, False),
        (Constraints(allowed={"Na", "Cl", "O"}), {"chemical_system": "Cl-Na", "formula": "NaCl", "n_atoms": 2}, True),
        (Constraints(formula="Ti2O4"), {"chemical_system": "O-Ti", "formula": "TiO2", "n_atoms": 6}, True),
        (Constraints(formula="TiO2"), {"chemical_system": "O-Ti", "formula": "Ti2O3", "n_atoms": 5}, False),
    ],
)  # fmt: skip
def test_a_composition_is_as_asked_or_not(constraints, row, obeyed):
    assert composition_obeyed(row, constraints) is obeyed


def test_what_was_asked_is_compared_with_what_came():
    rows = learn_obedience(table(
        rmsd=[0.1] * 4, chemical_system=["Cl-Na", "Cl-Na", "Cl-Na", "Na-O"], n_atoms=[2, 2, 6, 2],
        relaxed_space_group_number=[225, 62, 225, None], ml_mag_density=[0.15, 0.25, 0.0, math.nan],
    ), ASKED)  # fmt: skip
    assert rows["composition_obeyed"].tolist() == [True, True, False, False]
    assert rows["space_group_obeyed"].tolist() == [True, False, True, True]  # the last never relaxed: as generated
    rates = score(rows, made=4, missing={}, reference="ref", energy_model="springs", matcher="m", constraints=ASKED)
    assert rates["composition as asked"].hits == 2
    assert rates["space group as asked"].hits == 3
    error = rates["error to target dft_mag_density"]
    assert (error.n, error.value, error.unit) == (3, pytest.approx((0 + 0.05 + 0.1) / 3), "Å⁻³")
    assert rates["dft_mag_density in range"].hits == 1
    assert rates["S.U.N. and in range"].hits == 1
    point = Constraints(targets={"dft_mag_density": 0.2})
    again = score(rows, made=4, missing={}, reference="ref", energy_model="springs", matcher="m", constraints=point)
    assert again["error to target dft_mag_density"].value == pytest.approx((0.05 + 0.05 + 0.2) / 3)
    assert "dft_mag_density in range" not in again.metrics


@pytest.mark.parametrize(("ids", "missing", "said"), [
    (["a", "a"], {}, "a is in the table twice"), (["a", "b"], {"a": "lost"}, "named as missing and is in the table"),
    (["a", "b"], {"c": " "}, "without a reason"),
])
def test_nobody_is_counted_twice_or_missed_in_silence(ids, missing, said):
    table = pd.DataFrame({"id": ids, "status": "judged"})
    with pytest.raises(ScorecardError, match=said):
        score(table, made=len(ids) + len(missing), missing=missing, reference="r", energy_model="e", matcher="m")


@pytest.mark.parametrize("name", ["rocksalt-NaCl", "rutile-TiO2", "perovskite-SrTiO3"])
def test_a_pairing_is_found_whatever_the_shift_of_the_whole(name):
    one = famous(name)
    shaken = one.replace(frac=one.frac + 0.01 * torch.randn(one.frac.shape, generator=torch.Generator().manual_seed(3), dtype=one.frac.dtype))
    order = torch.randperm(len(one.numbers), generator=torch.Generator().manual_seed(4))
    near = paired_displacement(one, shaken)
    for shift in (0.0, 0.17, 0.29, 0.5):
        moved = shaken.replace(frac=(shaken.frac[order] + shift) % 1, numbers=shaken.numbers[order])
        assert paired_displacement(one, moved) == pytest.approx(near, abs=1e-4)
