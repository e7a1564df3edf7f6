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

from model.evaluation.metrics import displacement, geometry_valid, wilson
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
