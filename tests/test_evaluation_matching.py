"""Same or not: what must not matter, what must, and the matcher's own verdict found again sooner."""

import itertools

import numpy as np
import pytest
import torch
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from model.crystals import Crystals
from model.evaluation import known
from model.evaluation.build import Entry, admit
from model.evaluation.fingerprint import distance, fingerprint
from model.evaluation.matching import APART, CLOSE, Earlier, Matcher, groups, nearest, probe
from model.io import from_structures, to_structures
from model.testing import famous, famous_names

NAMES = famous_names()


def structure_of(name):
    return to_structures(famous(name))[0]


def gap(one: Structure, other: Structure) -> float:
    return float(distance(fingerprint(from_structures([one])), fingerprint(from_structures([other]))[None])[0])


@pytest.mark.parametrize("name", NAMES)
def test_a_fingerprint_does_not_see_the_choice_of_cell(name):
    start = structure_of(name)
    skewed = start.copy()
    skewed.make_supercell([[1, 1, 0], [0, 1, 0], [0, 1, 1]])
    double = start.copy()
    double.make_supercell([2, 1, 1])
    shifted = start.copy()
    shifted.translate_sites(list(range(len(start))), [0.13, 0.29, 0.71])
    turned = Structure(Lattice.from_parameters(*start.lattice.parameters), start.species, start.frac_coords)
    blown_up = start.copy()
    blown_up.scale_lattice(start.volume * 1.3)
    for same in (skewed, double, shifted, turned, blown_up, Structure.from_sites(list(start)[::-1])):
        assert gap(start, same) < 0.012  # one byte holds steps of 0.02


def test_a_little_shaking_stays_close_and_a_polymorph_does_not():
    rutile, anatase = structure_of("rutile-TiO2"), structure_of("anatase-TiO2")
    shaken = rutile.copy()
    shaken.perturb(0.03, seed=0)
    assert gap(rutile, shaken) < CLOSE < gap(rutile, anatase)


def test_a_cell_that_is_none_has_no_fingerprint_and_matches_nothing():
    flat = Crystals(
        frac=torch.tensor([[0.0, 0, 0], [0.5, 0.5, 0.5]]), cell=torch.zeros(1, 3, 3), numbers=torch.tensor([11, 17]),
        n_atoms=torch.tensor([2]),
    )  # fmt: skip
    with pytest.raises(ValueError, match="fingerprint"):
        fingerprint(flat)
    ready = probe(flat)
    assert ready.formula == "NaCl"
    assert not Matcher().same(ready, probe(famous("rocksalt-NaCl")))


def variants(seed=0):
    """Crystals of few formulas in many disguises, some the same and some not."""
    generator = np.random.default_rng(seed)
    found = []
    for name in ("rutile-TiO2", "anatase-TiO2", "boron-nitride-BN", "diamond-C", "graphite-C", "spinel-LiMn2O4"):
        for _ in range(5):
            structure = structure_of(name)
            structure.apply_strain(generator.uniform(-0.1, 0.1, 3))
            structure.perturb(generator.uniform(0, 0.5), seed=int(generator.integers(1 << 30)))
            if generator.random() < 0.4:
                structure.make_supercell([1, 1, 2])
            found.append(structure)
    return found


def test_the_same_verdicts_as_brute_force():
    structures = variants()
    probes = [probe(crystal) for crystal in from_structures(structures)]
    brute, ours = StructureMatcher(ltol=0.2, stol=0.3, angle_tol=5), Matcher()
    verdicts = [
        (brute.fit(structures[i], structures[j]), ours.same(probes[i], probes[j]))
        for i, j in itertools.combinations(range(len(structures)), 2)
    ]
    assert sum(theirs for theirs, _ in verdicts) > 20  # the disguises hide enough that is the same
    assert sum(not theirs for theirs, _ in verdicts) > 200
    assert all(theirs == mine for theirs, mine in verdicts)


def test_uniqueness_keeps_the_first_of_each_kind():
    crystals = Crystals.join([famous(n) for n in ("rutile-TiO2", "anatase-TiO2", "rutile-TiO2", "bcc-Fe", "rutile-TiO2")])
    assert groups(crystals, list("abcde")) == [["a", "c", "e"], ["b"], ["d"]]
    earlier = Earlier()
    assert earlier.first_like(probe(famous("bcc-Fe"), "first")) is None
    assert earlier.first_like(probe(famous("bcc-Fe"), "second")) == "first"


def table(names, structures):
    return known.tabulate([admit(Entry(name, structure_of(name))) for name in names], structures=structures)


@pytest.fixture(scope="module")
def with_structures():
    return table(NAMES, structures=True)


@pytest.fixture(scope="module")
def without_structures():
    return table(NAMES, structures=False)


def disguised(name, by=0.02):
    structure = structure_of(name)
    structure.perturb(by, seed=1)
    structure.make_supercell([[1, 0, 0], [1, 1, 0], [0, 0, 2]])
    return probe(from_structures([structure])[0])


@pytest.mark.parametrize("name", ["rutile-TiO2", "anatase-TiO2", "graphite-C", "diamond-C", "spinel-LiMn2O4", "quartz-SiO2"])
def test_a_known_crystal_is_known_in_disguise(with_structures, without_structures, name):
    for reference in (with_structures, without_structures):
        found = nearest(disguised(name, 0.0), reference, Matcher())
        assert found.id == name
        assert found.matches
        assert found.distance < CLOSE


def test_a_new_polymorph_is_new_and_its_nearest_is_named(with_structures, without_structures):
    lonely = [n for n in NAMES if n != "anatase-TiO2"]
    for structures, full in ((True, with_structures), (False, without_structures)):
        without_it = table(lonely, structures)
        found = nearest(disguised("anatase-TiO2"), without_it, Matcher())
        assert found.id == "rutile-TiO2"
        assert found.matches is False
        assert nearest(disguised("anatase-TiO2"), full, Matcher()).id == "anatase-TiO2"


def test_a_formula_nobody_knows_has_no_nearest(with_structures):
    structure = structure_of("rutile-TiO2")
    structure.replace_species({"Ti": "Pu"})
    assert nearest(probe(from_structures([structure])[0]), with_structures, Matcher()) is None


def test_fingerprints_alone_leave_the_middle_open(without_structures):
    start = structure_of("rutile-TiO2")
    verdicts = {}
    for by in (0.0, 0.25, 0.6):
        structure = start.copy()
        structure.perturb(by, seed=3)
        found = nearest(probe(from_structures([structure])[0]), table(["rutile-TiO2"], False), Matcher())
        verdicts[by] = found.matches
    assert verdicts == {0.0: True, 0.25: None, 0.6: False}
    assert without_structures.has_structures is False


def test_a_table_comes_back_from_disk_and_is_memory_mapped(tmp_path, with_structures):
    known.save(with_structures, tmp_path)
    back = known.load(tmp_path)
    assert back.table.equals(with_structures.table)
    row = back.row_of("rutile-TiO2")
    assert to_structures(back.structure(row))[0].composition.reduced_formula == "TiO2"
    with pytest.raises(LookupError, match="knows no crystal"):
        back.row_of("mp-0")


def test_without_structures_none_can_be_drawn(without_structures):
    with pytest.raises(LookupError, match="reference build"):
        without_structures.structure(0)


@pytest.mark.slow
def test_no_matching_pair_lies_apart_by_fingerprint(shared):
    """The sieve must not lose a match: crystals shaken and strained to the matcher's tolerance stay within it."""
    from model.evaluation.build import gather
    from model.io import parse_cif

    generator = np.random.default_rng(0)
    matcher, matches, most = StructureMatcher(ltol=0.2, stol=0.3, angle_tol=5), 0, 0.0
    for entry in gather([shared / "data/mp/val.csv.gz"]).entries[:250]:
        start = parse_cif(entry.source)[0]
        moved = start.copy()
        moved.apply_strain(generator.uniform(-0.15, 0.15, 3))
        spacing = (start.volume / len(start)) ** (1 / 3)
        moved.perturb(generator.uniform(0.05, 0.3) * spacing, seed=int(generator.integers(1 << 30)))
        if matcher.fit(moved, start):
            matches, most = matches + 1, max(most, gap(moved, start))
    assert matches > 100
    assert most < 0.8 * APART


@pytest.mark.slow
def test_two_thousand_crystals_get_the_verdicts_of_brute_force(shared):
    """A thousand known crystals rich in polymorphs, each again in disguise: every pair of one formula, compared both
    ways. Other pairs cannot match: pymatgen's matcher compares no two formulas.
    """
    from model.evaluation.build import gather
    from model.io import parse_cif

    entries = gather([shared / "data/mp" / name for name in ("rest.csv.gz", "train.csv.gz")]).entries
    kinds: dict[str, list[Structure]] = {}
    for entry in entries[:14_000]:
        start = parse_cif(entry.source)[0]
        if len(start) <= 24:
            kinds.setdefault(start.composition.reduced_formula, []).append(start)
    rich = [one for kin in sorted(kinds.values(), key=len, reverse=True) for one in kin[:6]][:1000]
    generator = np.random.default_rng(0)
    structures = rich + [disguise(one, generator) for one in rich]
    probes: dict[str, list[tuple[int, object]]] = {}
    for row, crystal in enumerate(from_structures(structures)):
        one = probe(crystal, str(row))
        probes.setdefault(one.formula, []).append((row, one))
    brute, ours = StructureMatcher(ltol=0.2, stol=0.3, angle_tol=5), Matcher()
    pairs = matches = 0
    wrong = []
    for kin in probes.values():
        for (i, one), (j, other) in itertools.combinations(kin, 2):
            theirs = bool(brute.fit(structures[i], structures[j]))
            pairs, matches = pairs + 1, matches + theirs
            if theirs != ours.same(one, other):
                wrong.append((i, j, theirs))
    assert len(structures) == 2000
    assert pairs > 3000
    assert 800 < matches < 1200
    assert not wrong


def disguise(structure, generator):
    """Another cell of the crystal, strained and shaken, some beyond the matcher's tolerance."""
    other = structure.copy()
    other.apply_strain(generator.uniform(-0.1, 0.1, 3))
    other.perturb(generator.uniform(0, 0.4), seed=int(generator.integers(1 << 30)))
    if generator.random() < 0.3:
        other.make_supercell([[1, 0, 0], [1, 1, 0], [0, 0, 1]])
    return other
