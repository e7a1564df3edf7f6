"""Statistics: counted by hand on a few crystals, and the same after JSON."""

import json
import math

import numpy as np
import pytest

from model.data.sources import mini
from model.statistics import BINS, LabelStatistics, Statistics


def by_hand():
    cell = np.stack([np.eye(3) * 2, np.eye(3) * 3, np.diag([1.0, 1.0, -4.0])])
    numbers = np.array([11, 17, 11, 8, 8, 17, 11])
    labels = {"space_group": np.float32([225, math.nan, 225]), "dft_band_gap": np.float32([1, 3, math.nan])}
    return Statistics.of(cell, numbers, np.array([2, 3, 2]), labels)


def test_counts_are_those_counted_by_hand():
    found = by_hand()
    assert found.count == 3
    assert found.n_atoms == {2: 2, 3: 1}
    assert found.n_atoms_by_space_group == {225: {2: 2}}
    assert found.elements == {"O": 1, "Na": 3, "Cl": 2}
    assert found.chemical_systems == 2  # Na-Cl twice, O-Na once
    assert found.density == pytest.approx((2 / 8 + 3 / 27 + 2 / 4) / 3)
    gap = found.labels["dft_band_gap"]
    assert (gap.n, gap.mean, gap.std, gap.low, gap.high) == (2, 2.0, 1.0, 1.0, 3.0)  # the population's spread
    assert gap.counts[0] == gap.counts[-1] == 1
    assert found.sizes() == {2: 2, 3: 1}
    assert found.sizes(225) == {2: 2}
    assert found.sizes(1) == found.sizes()


@pytest.mark.parametrize("found", [by_hand(), mini().statistics], ids=["by hand", "mini"])
def test_json_gives_back_the_same(found):
    assert Statistics.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_bins_hold_every_known_value():
    values = np.random.default_rng(1).normal(size=1000)
    values[::7] = math.nan
    found = LabelStatistics.of(values)
    assert sum(found.counts) == found.n == np.isfinite(values).sum()
    assert len(found.counts) == BINS == len(found.edges) - 1
    counts, _ = np.histogram(values[np.isfinite(values)], bins=found.edges)
    np.testing.assert_array_equal(counts, found.counts)


def test_one_value_and_no_value_do_not_break():
    one = LabelStatistics.of(np.array([2.0, math.nan]))
    assert (one.n, one.mean, one.std, sum(one.counts)) == (1, 2.0, 0.0, 1)
    none = LabelStatistics.of(np.array([math.nan]))
    assert none.n == sum(none.counts) == 0
    assert math.isnan(none.mean)


def test_totals_of_the_prototypes_add_up():
    found = mini().statistics
    assert sum(found.n_atoms.values()) == found.count == len(mini())
    assert sum(n for sizes in found.n_atoms_by_space_group.values() for n in sizes.values()) == found.count
    assert found.labels["space_group"].n == found.count
