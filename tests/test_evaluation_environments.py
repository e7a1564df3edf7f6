"""Surroundings of atoms: textbook coordination, what does not matter, and what no known crystal shows."""

import numpy as np
import pytest
import torch

from model.crystals import Crystals
from model.evaluation.environments import KnownEnvironments, surroundings
from model.io import from_structures, to_structures
from model.testing import famous, famous_names


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("rocksalt-NaCl", {6}), ("cesium-chloride-CsCl", {12}), ("diamond-Si", {4}), ("rutile-TiO2", {3, 6}),
        ("bcc-Fe", {12}), ("graphite-C", {3}),
    ],
)  # fmt: skip
def test_textbook_coordination(name, numbers):
    found = surroundings(famous(name)).coordination
    assert set(np.rint(found).astype(int)) == numbers  # where 8 neighbours are closest, 6 a little further off count for 4


def test_bonds_go_both_ways_and_have_the_right_length():
    found = surroundings(famous("rocksalt-NaCl")).bonds
    assert len(found.length) == 12
    assert found.length == pytest.approx(to_structures(famous("rocksalt-NaCl"))[0].get_distance(0, 1), abs=1e-4)
    assert sorted(found.atom.tolist()) == sorted(found.other.tolist())


@pytest.mark.parametrize("name", famous_names()[:8])
def test_the_choice_of_cell_does_not_matter(name):
    known = KnownEnvironments.shipped()
    structure = to_structures(famous(name))[0]
    once = surroundings(famous(name)).coordination
    structure.make_supercell([[1, 1, 0], [0, 1, 0], [0, 0, 2]])
    twice = from_structures([structure])
    assert sorted(set(surroundings(twice).coordination.round(2))) == pytest.approx(sorted(set(once.round(2))), abs=0.02)
    assert known.judge(twice).known == pytest.approx(known.judge(famous(name)).known)


@pytest.mark.parametrize("name", ["rocksalt-NaCl", "rutile-TiO2", "perovskite-SrTiO3", "bcc-Fe"])
def test_textbook_crystals_are_usual_and_squeezed_ones_are_not(name):
    known = KnownEnvironments.shipped()
    good = famous(name)
    assert known.judge(good) == (1.0, ())
    found = known.judge(good.replace(cell=good.cell * 0.75))
    assert found.known == 0
    assert any("Å (known:" in word for word in found.odd)


def test_an_atom_in_the_wrong_place_is_named():
    salt = to_structures(famous("rocksalt-NaCl"))[0]
    salt.make_supercell(2)
    salt.translate_sites([0], [0, 0, 1.2], frac_coords=False)
    found = KnownEnvironments.shipped().judge(from_structures([salt]))
    assert 0 < found.known < 1
    assert any("Cl" in word and "Na" in word for word in found.odd)


def test_what_is_counted_is_crystals_and_few_of_them_accuse_nobody():
    salts = [famous("rocksalt-NaCl")] * 3
    table = KnownEnvironments.of(salts).table
    assert set(table["crystals"]) == {3}
    assert set(table["kind"]) == {"coordination", "bond"}
    few = KnownEnvironments.of(salts)
    assert few.judge(famous("rutile-TiO2")).known == 1  # neither element was ever met
    squeezed = famous("rocksalt-NaCl").replace(cell=famous("rocksalt-NaCl").cell * 0.7)
    assert few.judge(squeezed).known == 0


@pytest.mark.parametrize("cell", [torch.zeros(1, 3, 3), torch.full((1, 3, 3), torch.nan), 100 * torch.eye(3)[None]])
def test_a_cell_that_is_none_has_no_surroundings(cell):
    alone = Crystals(frac=torch.zeros(1, 3), cell=cell, numbers=torch.tensor([11]), n_atoms=torch.tensor([1]))
    with pytest.raises(ValueError, match=r"surroundings|no neighbour"):
        surroundings(alone)


@pytest.mark.slow
def test_nearly_all_crystals_the_table_has_not_seen_stand_as_known_ones(shared):
    from model.evaluation.build import gather
    from model.io import parse_cif

    known = KnownEnvironments.shipped()
    crystals = [from_structures([parse_cif(e.source)[0]]) for e in gather([shared / "data/mp/test.csv.gz"]).entries]
    assert np.mean([known.judge(one).known == 1 for one in crystals]) > 0.97
    generator = torch.Generator().manual_seed(0)
    shaken = []
    for one in crystals[:200]:
        shift = 0.2 * torch.randn(one.frac.shape, generator=generator) @ torch.linalg.inv(one.cell[0])
        shaken.append(one.replace(frac=torch.remainder(one.frac + shift, 1.0)))
    assert np.mean([known.judge(one).known == 1 for one in shaken]) < 0.25
