"""The gate lets sound crystals through and names what is wrong with others."""

import pytest
import torch

from model.crystals import MASK, Crystals
from model.io import read_crystals
from model.testing import UnsoundError, famous_names, shortest_distance, sound


def test_famous_crystals_pass(famous):
    for name in famous_names():
        sound(famous(name), closest=1.0)
    with pytest.raises(KeyError, match="rocksalt-NaCl"):
        famous("unobtainium")


@pytest.mark.parametrize(
    ("field", "spoil", "found"),
    [
        ("frac", lambda x: x + 1, "outside"),
        ("frac", lambda x: x - 1e-3, "outside"),
        ("frac", lambda x: x * torch.nan, "not finite"),
        ("frac", lambda x: x[:1], "speak of"),
        ("cell", lambda x: -x, "left-handed"),
        ("cell", lambda x: x * 0, "left-handed or flat"),
        ("cell", lambda x: x * torch.inf, "not finite"),
        ("cell", lambda x: torch.cat([x, x]), "cells for"),
        ("numbers", lambda z: z * 0, "atomic number"),
        ("numbers", lambda z: z * 0 + MASK, "atomic number"),
        ("numbers", lambda z: z.float(), "int64"),
        ("n_atoms", lambda n: n + 1, "speak of"),
        ("n_atoms", lambda n: torch.cat([n, n * 0]), "cells for"),
    ],
)
def test_each_flaw_is_named(famous, field, spoil, found):
    crystal = famous("rocksalt-NaCl")
    values = {name: getattr(crystal, name) for name in ("frac", "cell", "numbers", "n_atoms")}
    values[field] = spoil(values[field])
    spoilt = Crystals.__new__(Crystals)  # past the shape check, as a faulty program might
    for name, value in values.items():
        object.__setattr__(spoilt, name, value)
    with pytest.raises(UnsoundError, match=found):
        sound(spoilt)


def test_undecided_atoms_pass_only_where_asked(famous):
    crystal = famous("rocksalt-NaCl")
    undecided = crystal.replace(numbers=torch.full_like(crystal.numbers, MASK))
    sound(undecided, masked=True)


def test_atoms_too_close_are_named(awkward):
    reading = read_crystals(awkward)
    crystals = reading.crystals
    at = reading.ids.index("overlapping_atoms")
    sound(crystals[at])
    with pytest.raises(UnsoundError, match=r"within 0\.101 Å"):
        sound(crystals[at], closest=0.5)


@pytest.mark.parametrize("name", ["fcc-Cu", "hcp-Zn", "quartz-SiO2", "graphite-C", "bismuth-telluride-Bi2Te3"])
def test_the_shortest_distance_is_pymatgens(famous, name):
    from model.io import to_structures

    (structure,) = to_structures(famous(name))
    nearest = min(n.nn_distance for site in structure for n in structure.get_neighbors(site, 5.0))
    assert shortest_distance(famous(name)) == pytest.approx(nearest, abs=1e-5)
