"""Like elements sharing sites: who is alike, what a parent is, and disordered crystals that are known."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition, Lattice, Structure

from model.baselines.substitution import of_reference
from model.crystals import MASK
from model.evaluation import known
from model.evaluation.build import Entry, Skipped, admit
from model.evaluation.disorder import alike, like_groups, parent, same_shares
from model.evaluation.matching import Earlier, Matcher, families, nearest, probe
from model.evaluation.reference import Reference
from model.io import from_structures, to_structures
from model.testing import famous

LIKE_AND_UNLIKE = ("Na", "K", "Cs", "Cl", "F", "O", "S", "Fe", "Co", "Ni", "Ir", "Os", "Ta", "Cr")
MIXED = Matcher(disordered=True)


def ready(structure, name=""):
    return probe(from_structures([structure]), name)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("Na", "K", True), ("Ta", "Cr", True), ("Ir", "Os", True), ("Na", "Cl", False), ("F", "Cl", False),
     ("Fe", "He", False), ("He", "Ne", False)],
)  # fmt: skip
def test_elements_are_alike_or_not(one, other, same):
    assert alike(one, other) is alike(other, one) is same


@given(st.sets(st.sampled_from(LIKE_AND_UNLIKE), min_size=1))
def test_groups_part_the_elements_whatever_their_order(symbols):
    groups = like_groups(symbols)
    assert sorted(s for group in groups for s in group) == sorted(symbols)
    for group in groups:
        for other in groups:
            assert group is other or not any(alike(a, b) for a in group for b in other)


def alloy(*symbols):
    """Body-centred cubic, the two sites of two cells taken by the symbols in turn."""
    cell = Structure(Lattice.cubic(3.0), ["Fe", "Fe"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    cell.make_supercell([2, 1, 1])
    for site, symbol in enumerate(symbols):
        cell.replace(site, symbol)
    return cell


def test_a_parent_keeps_the_composition_and_shares_the_sites_evenly():
    mixed = parent(alloy("Fe", "Fe", "Co", "Co"))
    assert all(site.species == Composition("Fe0.5Co0.5") for site in mixed)
    assert parent(to_structures(famous("rocksalt-NaCl"))[0]) is None


def test_two_orderings_match_by_their_parent_alone():
    one, other = ready(alloy("Fe", "Fe", "Co", "Co"), "one"), ready(alloy("Fe", "Co", "Fe", "Co"), "other")
    assert not Matcher().same(one, other)
    assert MIXED.same(one, other)
    assert "disordered" in MIXED.name
    assert "disordered" not in Matcher().name
    memory = Earlier(MIXED)
    assert (memory.first_like(one), memory.first_like(other)) == (None, "one")


def test_another_structure_or_composition_is_another_parent():
    tetragonal = alloy("Fe", "Fe", "Co", "Co")
    tetragonal.apply_strain([0.0, 0.4, 0.0])
    assert not MIXED.same(ready(alloy("Fe", "Co", "Fe", "Co")), ready(tetragonal))
    assert not MIXED.same(ready(alloy("Fe", "Fe", "Fe", "Co")), ready(alloy("Fe", "Fe", "Co", "Co")))
    salt = famous("rocksalt-NaCl")
    assert MIXED.same(probe(salt), probe(salt))


def test_families_are_found_and_twins_and_strangers_left():
    found = families([
        ready(alloy("Fe", "Fe", "Co", "Co"), "a"), probe(famous("rocksalt-NaCl"), "salt"),
        ready(alloy("Fe", "Co", "Fe", "Co"), "b"), probe(famous("rutile-TiO2"), "rutile"),
        probe(famous("anatase-TiO2"), "anatase"), ready(alloy("Fe", "Fe", "Fe", "Co"), "c"),
    ])  # fmt: skip
    assert sorted(found) == [["a", "b"], ["anatase"], ["c"], ["rutile"], ["salt"]]


def test_undecided_atoms_share_no_sites():
    salt = famous("rocksalt-NaCl")
    undecided = probe(salt.replace(numbers=torch.tensor([11, MASK])), "x")
    assert not MIXED.same_parent(undecided.reduced, undecided.reduced)
    assert len(families([undecided, undecided])) == 2
    assert families([probe(salt, "a"), probe(salt, "b")]) == [["a", "b"]]


@pytest.mark.parametrize(("other", "same"), [("Fe2Co2", True), ("Fe1.02Co0.98", True), ("Fe3Co", False), ("Fe", False)])
def test_shares_agree_within_tolerance(other, same):
    assert same_shares(Composition("FeCo"), Composition(other)) is same


# --- known disordered crystals ---------------------------------------------------------------------------------------


def disordered(name="alloy"):
    structure = Structure(Lattice.cubic(3.0), [{"Fe": 0.5, "Co": 0.5}] * 2, [[0, 0, 0], [0.5, 0.5, 0.5]])
    return Entry(name, structure.to(fmt="cif"))


@pytest.mark.parametrize("structures", [True, False])
def test_a_known_disordered_crystal_is_met_by_the_disordered_matcher_and_left_open_by_the_other(structures):
    reference = known.tabulate([admit(disordered()), admit(Entry("salt", to_structures(famous("rocksalt-NaCl"))[0]))],
                               structures=structures)  # fmt: skip
    ordering = ready(alloy("Fe", "Co", "Fe", "Co"))
    by_order = nearest(ordering, reference, Matcher())
    assert (by_order.id, by_order.matches) == ("alloy", None)
    by_disorder = nearest(ordering, reference, MIXED)
    assert (by_disorder.id, by_disorder.matches) == ("alloy", True if structures else None)
    assert nearest(probe(famous("rocksalt-NaCl")), reference, MIXED).id == "salt"
    assert nearest(ready(alloy("Fe", "Fe", "Fe", "Ni")), reference, MIXED) is None


def test_another_composition_of_the_same_elements_is_not_the_disordered_one():
    reference = known.tabulate([admit(disordered())], structures=True)
    assert nearest(ready(alloy("Fe", "Fe", "Fe", "Co")), reference, MIXED) is None


def test_an_ordered_known_crystal_is_met_by_its_parent():
    reference = known.tabulate([admit(Entry("chain", alloy("Fe", "Fe", "Co", "Co")))], structures=True)
    other = ready(alloy("Fe", "Co", "Fe", "Co"))
    assert nearest(other, reference, Matcher()).matches is False
    assert nearest(other, reference, MIXED).matches is True


def test_a_disordered_file_becomes_part_of_a_reference_and_comes_back(tmp_path, awkward):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "alloy.cif").write_text(disordered().source)
    (folder / "awkward.cif").write_text((awkward / "disordered.cif").read_text())
    (folder / "notes.txt").write_text("nothing")
    built = Reference.build([folder], tmp_path / "ref")
    assert {name for name, _ in built.about["skipped"]} == {"notes.txt"}
    row = built.known.row_of("alloy")
    assert built.known.sites(row) == [{"Fe": 0.5, "Co": 0.5}] * 2
    assert built.knows_formula("FeCo")
    assert built.known.is_disordered(np.array([row])).all()
    assert len(built.structure("alloy").numbers) == 2  # for pictures: the element that has most of each site
    assert nearest(ready(alloy("Fe", "Co", "Fe", "Co")), built.known, MIXED).matches
    assert not of_reference(built)  # no prototypes: elements cannot be exchanged on shared sites


def test_damaged_text_is_skipped_with_a_reason():
    found = admit(Entry("broken", disordered().source[:300]))
    assert isinstance(found, Skipped)
    assert found.reason


def test_the_authors_disordered_crystal_is_the_one_they_predicted(shared):
    folder = shared / "data/published/mattergen/experimental"
    entry = admit(Entry("made", (folder / "Ta0.66666667Cr1.33333333O4.cif").read_text()))
    assert entry.formula == "TaCr2O6"
    reference = known.tabulate([entry], structures=True)
    predicted = ready(Structure.from_file(folder / "TaCr2O6.cif"))
    assert nearest(predicted, reference, MIXED).matches
    assert nearest(predicted, reference, Matcher()).matches is None
