"""Other ways from constraints to crystals: hard constraints kept, replayed from the seed, whatever the batch."""

import itertools
import warnings

import numpy as np
import pytest
import torch
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from model.baselines.habits import Habits, HabitsError, learn
from model.baselines.proposer import Proposer
from model.baselines.random_search import FEW_OPERATIONS, RandomSearch, compose, primitive
from model.baselines.screening import Screening
from model.baselines.substitution import Substitution, aflow, of_reference
from model.constraints import ConstraintError, Constraints, parse_formula
from model.crystals import Crystals
from model.data.sources import mini
from model.execution import Cancelled
from model.io import space_group, to_structures
from model.network.readout import Readout
from model.properties.readouts import Report, predict, save
from model.sampling.generate import Batch
from model.testing import famous, famous_names, sound

TINY = {"num_blocks": 1, "cutoff": 5.0, "emb_size_atom": 16, "emb_size_edge": 16, "num_radial": 8}


@pytest.fixture(scope="module")
def readout(tmp_path_factory):
    """An untaught readout: what it says is arbitrary, and ranks crystals all the same."""
    torch.manual_seed(0)
    made = Readout("dft_bulk_modulus", **TINY)
    folder = tmp_path_factory.mktemp("readout")
    save(made, Report(label="dft_bulk_modulus", taught=60, held_out=6, mean_absolute_error=2.0, error_of_the_mean=9.0),
         folder)
    return folder


@pytest.fixture(scope="module")
def screening(readout, tmp_path_factory):
    data = mini().save(tmp_path_factory.mktemp("data") / "known")
    return Screening.of(data.folder, [readout])


def ask(proposer, **wish):
    wish = {"count": 5, "seed": 3} | wish
    if isinstance(proposer, Screening):
        wish["targets"] = {"dft_bulk_modulus": 0.0}
    return Constraints(**wish)


@pytest.fixture(params=["random search", "substitution", "screening"])
def proposer(request):
    if request.param == "screening":
        return request.getfixturevalue("screening")
    return RandomSearch() if request.param == "random search" else Substitution()


# --- laws that every proposer keeps -----------------------------------------------------------------------------------


def test_the_same_crystals_whatever_the_batch_and_whatever_is_done(proposer):
    assert isinstance(proposer, Proposer)
    constraints = ask(proposer, n_atoms=(2, 12))
    heard = []
    whole = proposer(constraints, batch_size=2, watch=heard.append)
    rest = proposer(constraints, done={0, 1, 3}, batch_size=16)
    sound(whole, closest=0.5)
    for name in ("frac", "cell", "numbers"):
        assert torch.equal(getattr(whole[[2, 4]], name), getattr(rest, name))
    batches = [p.payload for p in heard if p.stage == "generate"]
    assert all(isinstance(batch, Batch) for batch in batches)
    assert [batch.indices for batch in batches] == [(0, 1), (2, 3), (4,)]
    assert [len(batch.crystals) for batch in batches] == [2, 2, 1]
    assert len(proposer.origins(constraints)) in {0, 5}


@pytest.mark.parametrize("wish", [
    {"chemical_system": "O-Ti", "count": 2}, {"allowed": {"O", "Mg", "Al", "Ti", "Si"}, "n_atoms": (2, 14), "count": 3},
    {"excluded": {"O", "S"}, "count": 4}, {"formula": "SrTiO3", "count": 1}, {"formula": "TiO2", "n_atoms": 6, "count": 2},
    {"n_atoms": 4, "count": 4},
])  # fmt: skip
def test_hard_constraints_are_kept(proposer, wish):
    constraints = ask(proposer, **wish)
    made = proposer(constraints)
    assert len(made) == constraints.count
    for structure in to_structures(made):
        elements = {element.symbol for element in structure.composition}
        assert elements <= constraints.palette
        assert constraints.required <= elements
        if constraints.n_atoms is not None:
            assert constraints.atom_range[0] <= len(structure) <= constraints.atom_range[1]
        if constraints.formula is not None:
            unit = parse_formula(constraints.formula)
            assert structure.composition.reduced_composition.get_el_amt_dict() == unit


def test_a_watch_may_stop_it(proposer):
    def watch(progress):
        if progress.done >= 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        proposer(ask(proposer, n_atoms=(2, 12)), batch_size=1, watch=watch)


@pytest.mark.parametrize(("made", "wish", "says"), [
    (RandomSearch, {"targets": {"dft_band_gap": 1}}, "follows no target"),
    (RandomSearch, {"chemical_system": "Li-O", "n_atoms": 1}, "at least 2 atoms"),
    (Substitution, {"targets": {"dft_band_gap": 1}}, "follows no target"),
    (Substitution, {"space_group": 225}, "no space group"),
    (Substitution, {"chemical_system": "Li-O", "count": 100_000}, "Only"),
    (Substitution, {"chemical_system": "Li-O-Na-K-Rb-Cs-F"}, "None of the"),
])  # fmt: skip
def test_what_cannot_be_followed_is_said_before_the_work(made, wish, says):
    with pytest.raises(ConstraintError, match=says):
        made()(Constraints(**wish))


# --- habits -----------------------------------------------------------------------------------------------------------


def test_volumes_that_add_up_are_found_again():
    rooms = {"Na": 20.0, "Cl": 28.0, "Mg": 15.0, "O": 9.0}
    crystals = []
    for first, second in itertools.combinations(rooms, 2):
        for n in (1, 2, 3):
            cube = Lattice.cubic((n * rooms[first] + rooms[second]) ** (1 / 3))
            points = np.random.default_rng(n).random((n + 1, 3))
            crystals.append(Structure(cube, [first] * n + [second], points))
    from model.io import from_structures

    found = learn(from_structures(crystals), "a game")
    assert found.volumes == pytest.approx(rooms, rel=1e-3)
    assert found.spread == pytest.approx(0, abs=1e-3)
    assert found.volume({"Na": 1, "O": 2}) == pytest.approx(38, rel=1e-3)


def test_distances_are_those_of_the_crystals():
    found = learn(Crystals.join([famous("rocksalt-NaCl"), famous("rocksalt-MgO")]), "two")
    assert found.distance("Cl", "Na") == found.distance("Na", "Cl") == pytest.approx(5.64 / 2, abs=1e-3)
    assert found.distance("Mg", "O") == pytest.approx(4.212 / 2, abs=1e-3)
    assert 0.7 <= found.distance("H", "Cs") <= 3.0  # never seen
    assert found.sizes == {2: 2}
    assert found.elements == {"O": 1, "Na": 1, "Mg": 1, "Cl": 1}


def test_a_second_round_is_tuned_by_the_first():
    shipped = Habits.shipped()
    swollen = famous("rocksalt-NaCl")
    swollen = swollen.replace(cell=swollen.cell * 1.2)
    tuned = shipped.retuned(swollen, "one crystal")
    assert tuned.distance("Na", "Cl") == 3.0  # 3.38 Å is beyond the farthest that is asked for
    volume = float(torch.linalg.det(swollen.cell[0]))
    assert tuned.volume({"Na": 1, "Cl": 1}) == pytest.approx(volume, rel=1e-5)
    assert tuned.volumes["O"] == shipped.volumes["O"]
    assert tuned.hash != shipped.hash


def test_habits_survive_the_disk_and_nothing_gives_none(tmp_path):
    Habits.shipped().save(tmp_path / "habits.json")
    assert Habits.load(tmp_path / "habits.json") == Habits.shipped()
    (tmp_path / "broken.json").write_text('{"volumes": {}}')
    for wrong in (tmp_path / "broken.json", tmp_path / "nowhere.json"):
        with pytest.raises(HabitsError, match="holds no habits"):
            Habits.load(wrong)
    with pytest.raises(HabitsError, match="found none"):
        learn(Crystals.empty(), "nothing")


def test_shipped_volumes_meet_famous_crystals():
    habits, off = Habits.shipped(), []
    for structure in to_structures(Crystals.join([famous(name) for name in famous_names()])):
        off.append(np.log(structure.volume / habits.volume(structure.composition.get_el_amt_dict())))
    assert np.median(np.abs(off)) < 0.15


# --- random search ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("group", "operations"), [(2, 2), (15, 4), (62, 8), (139, 16), (166, 12), (225, 48)])
def test_the_operations_of_a_space_group_asked_for_are_there(group, operations):
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    made = RandomSearch()(Constraints(chemical_system="Na-Cl", space_group=group, n_atoms=8, count=2, seed=1))
    for structure in to_structures(made):
        assert len(structure) == 8
        found = SpacegroupAnalyzer(structure, symprec=0.01).get_symmetry_operations()
        assert len(found) >= operations  # chance may set atoms more symmetrically, never less


def test_no_two_atoms_nearer_than_half_of_what_is_known():
    habits = Habits.shipped()
    for structure in to_structures(RandomSearch()(Constraints(chemical_system="Sr-Ti-O", count=3, seed=2))):
        first, second, _, apart = structure.get_neighbor_list(3.5)
        for i, j, d in zip(first, second, apart, strict=True):
            assert d >= 0.5 * habits.distance(structure[i].specie.symbol, structure[j].specie.symbol) - 1e-3


@pytest.mark.parametrize("name", [
    "rocksalt-NaCl", "bcc-Fe", "layered-LiCoO2", "perovskite-SrTiO3", "iron-arsenide-BaFe2As2", "arsenic-Bi",
    "cadmium-iodide-CdI2", "half-heusler-NiMnSb",
])  # fmt: skip
def test_the_primitive_cell_by_the_letter_of_the_centring(name):
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    structure = to_structures(famous(name))[0]
    found = SpacegroupAnalyzer(structure, symprec=0.01)
    conventional = found.get_conventional_standard_structure()
    small = primitive(conventional, found.get_space_group_symbol()[0])
    assert len(small) == len(structure)
    assert StructureMatcher(primitive_cell=False, scale=False).fit(small, structure)


@pytest.mark.slow
def test_processes_change_nothing():
    from model.execution import processes

    constraints = Constraints(chemical_system="Mg-O", n_atoms=(2, 6), count=4)
    with processes(2) as executor:
        spread = RandomSearch()(constraints, batch_size=3, executor=executor)
    assert torch.equal(spread.frac, RandomSearch()(constraints).frac)


def test_what_finds_no_place_is_told_as_bad():
    """Seven atoms of carbon in Fm-3m at 4 atoms a lattice point: no combination of sites gives five of them."""
    heard = []
    constraints = Constraints(chemical_system="C", space_group=227, n_atoms=5, count=1)
    made = RandomSearch()(constraints, watch=heard.append)
    batch = next(p.payload for p in heard if p.payload is not None)
    assert len(made) == 1
    assert "space group 227" in batch.problems[0] or "apart" in batch.problems[0]


def test_sizes_are_the_papers_ranges_and_compositions_all_alike():
    draws = [compose(Constraints(chemical_system="Sr-V-O", seed=0), Habits.shipped(), np.random.default_rng(i))
             for i in range(600)]  # fmt: skip
    sizes = np.array([sum(counts.values()) for counts in draws])
    thirds = [((sizes >= low) & (sizes <= high)).mean() for low, high in ((3, 9), (10, 15), (16, 20))]
    assert thirds == pytest.approx([1 / 3] * 3, abs=0.09)  # off by more once in 10⁵ trials
    assert all(min(counts.values()) >= 1 for counts in draws)
    assert len(FEW_OPERATIONS) == 45 + 8 + 4


# --- substitution -----------------------------------------------------------------------------------------------------


def test_assignments_that_give_one_crystal_are_taken_once():
    rocksalt = next(p for p in aflow() if p.name == "aflow:AB_cF8_225_a_b")
    fluorite = next(p for p in aflow() if p.name == "aflow:AB2_cF12_225_a_c")
    assert len(rocksalt.symmetries) == 2
    assert len(fluorite.symmetries) == 1
    for prototype, distinct in ((rocksalt, 1), (fluorite, 2)):
        both = Substitution(prototypes=(prototype,)).listed(Constraints(chemical_system="Na-Cl"), distinct)
        assert len({elements for _, elements in both}) == distinct
        with pytest.raises(ConstraintError, match=f"Only {distinct}"):
            Substitution(prototypes=(prototype,)).listed(Constraints(chemical_system="Na-Cl"), distinct + 1)


def test_every_assignment_comes_once_and_no_two_are_one_crystal():
    four = tuple(p for p in aflow() if p.kinds == 3 and p.n_atoms <= 6)
    listed = Substitution(prototypes=four)
    total = sum(6 // len(p.symmetries) for p in four)
    found = listed.listed(Constraints(chemical_system="Sr-Ti-O"), total)
    assert len(found) == len(set(found)) == total
    crystals = to_structures(Crystals.join([p.exchanged(e) for p, e in found if p is four[0]]))
    same = StructureMatcher(primitive_cell=False)
    assert not any(same.fit(a, b) for a, b in itertools.combinations(crystals, 2))


def test_the_cell_grows_with_what_it_holds():
    habits = Habits.shipped()
    salt = next(p for p in aflow() if p.name == "aflow:AB_cF8_225_a_b")
    before = float(torch.linalg.det(salt.crystal.cell[0]))
    old = [{11: "Na", 17: "Cl"}.get(z) for z in salt.numbers]
    assert old == ["Na", "Cl"], "AFLOW's rocksalt is halite"
    made = Substitution(prototypes=(salt,))(Constraints(chemical_system="Cs-Br", count=1))
    grown = habits.volume({"Cs": 1, "Br": 1}) / habits.volume({"Na": 1, "Cl": 1})
    assert float(torch.linalg.det(made.cell[0])) / before == pytest.approx(grown, rel=1e-5)


def test_without_a_system_elements_become_like_elements():
    prototypes = tuple(p for p in aflow() if p.kinds == 2)
    made = Substitution(prototypes=prototypes)
    exchanged = [made._like(Constraints(count=1, seed=8), index) for index in range(300)]
    from pymatgen.core import Element

    away = [abs(Element.from_Z(z).mendeleev_no - Element(new).mendeleev_no) for p, elements in exchanged
            for z, new in zip(p.numbers, elements, strict=True)]  # fmt: skip
    assert np.mean(away) < 12  # on a scale of 103; two elements at random are 34 apart
    assert all(len(set(elements)) == 2 for _, elements in exchanged)


def test_prototypes_of_a_reference_with_structures(tmp_path):
    from model.evaluation.build import build
    from model.evaluation.reference import Reference
    from model.io import write_cif

    folder = tmp_path / "cifs"
    folder.mkdir()
    for name in ("rocksalt-NaCl", "rocksalt-MgO", "perovskite-SrTiO3", "perovskite-KMnF3", "rutile-TiO2"):
        write_cif(folder / f"{name}.cif", to_structures(famous(name))[0])
    known = build([folder], tmp_path / "reference")
    prototypes = of_reference(known)
    assert [p.kinds for p in prototypes] == [3, 2, 2]  # one rocksalt, one perovskite, one rutile
    made = Substitution(prototypes=prototypes, source=known.name)(Constraints(formula="BaZrO3", count=1))
    assert space_group(to_structures(made)[0])[1] == 221
    with pytest.raises(ConstraintError, match="keeps no structures"):
        of_reference(Reference.shipped())


# --- screening --------------------------------------------------------------------------------------------------------


def test_the_nearest_to_the_target_come_first(screening, readout):
    known = mini().crystals()
    from model.properties.readouts import load

    said = predict(load(readout)[0], known).numpy()
    target = float(np.quantile(said, 0.8))
    constraints = Constraints(targets={"dft_bulk_modulus": target}, count=len(known))
    made = screening(constraints)
    expected = known[torch.from_numpy(np.argsort(np.abs(said - target), kind="stable").copy())]
    assert torch.equal(made.numbers, expected.numbers)
    names = [origin.split(" with ")[0] for origin in screening.origins(constraints)]
    assert names[0] == mini().ids[np.abs(said - target).argmin()]


def test_crystals_with_a_label_are_passed_over_and_too_few_are_said(readout, tmp_path):
    from dataclasses import replace

    labels = np.full(len(mini()), np.nan, dtype=np.float32)
    labels[:10] = 100.0
    data = replace(mini(), labels={**mini().labels, "dft_bulk_modulus": labels}, folder=None, known_statistics=None)
    data = data.save(tmp_path / "known")
    everything = Constraints(targets={"dft_bulk_modulus": 0.0}, count=len(data))
    with pytest.raises(ConstraintError, match=f"Only {len(data) - 10} known crystals"):
        Screening.of(data.folder, [readout]).check(everything)
    Screening.of(data.folder, [readout], labelled=True).check(everything)
    with pytest.raises(ConstraintError, match="give a target for dft_bulk_modulus"):
        Screening.of(data.folder, [readout]).check(Constraints(count=1))
    with pytest.raises(ConstraintError, match="asked for hhi_score"):
        Screening.of(data.folder, [readout]).check(Constraints(count=1, targets={"hhi_score": 1000}))
    with pytest.raises(ConstraintError, match="holds no readout"):
        Screening.of(data.folder, [tmp_path]).check(everything)


def test_a_space_group_is_screened_for(screening):
    constraints = Constraints(targets={"dft_bulk_modulus": 0.0}, space_group=225, count=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert {space_group(one)[1] for one in to_structures(screening(constraints))} == {225}
