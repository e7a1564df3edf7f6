"""The hull: what pymatgen says, what the table says, and what lies outside."""

import math

import numpy as np
import pandas as pd
import pytest
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition, Element

from model.evaluation.elemental import fit
from model.evaluation.hull import HullTable
from model.evaluation.reference import Reference


def table(*rows):
    return HullTable.of(pd.DataFrame(rows, columns=["formula", "formation_energy", "kind"]))


SIMPLE = (("NaCl", -2.0, "hull"), ("Na2O", -1.5, "phase"), ("NaO2", -0.9, "phase"), ("ClO2", 0.3, "phase"))


def test_halfway_between_two_phases():
    hull = table(*SIMPLE)
    below = hull.below({"Na": 3, "Cl": 1})  # half NaCl, half Na
    assert below.energy == pytest.approx(-1.0)
    assert dict(below.phases) == pytest.approx({"NaCl": 0.5, "Na": 0.5})
    assert not below.exact


def test_a_phase_above_the_hull_bounds_nothing():
    assert table(*SIMPLE).below({"Cl": 1, "O": 2}).energy == pytest.approx(0.0)


def test_a_hull_row_is_the_hull_there_even_above_its_neighbours():
    hull = table(("NaCl", -2.0, "hull"), ("Na2Cl2O", -0.9, "hull"))
    assert hull.below({"Na": 4, "Cl": 4, "O": 2}).energy == -0.9
    assert hull.below({"Na": 4, "Cl": 4, "O": 2}).exact


def test_amounts_do_not_matter_only_shares():
    hull = table(*SIMPLE)
    assert hull.below({"Na": 1, "O": 1}).energy == pytest.approx(hull.below({"Na": 7, "O": 7}).energy)


def test_an_element_lies_at_zero_and_a_stranger_outside():
    hull = table(*SIMPLE)
    assert hull.below({"Na": 4}).energy == 0.0
    strange = hull.below({"Na": 1, "Xe": 1})
    assert math.isnan(strange.energy)
    assert strange.outside == ("Xe",)


def test_coverage_counts_phases_of_the_system_and_its_subsystems():
    hull = table(*SIMPLE)
    assert hull.below({"Na": 1, "O": 1}).known == 2
    assert hull.below({"Na": 1, "O": 1, "Cl": 1}).known == 4


def test_leaving_rows_out_never_lowers_the_hull():
    hull = table(*SIMPLE)
    for composition in ({"Na": 1, "Cl": 1}, {"Na": 3, "Cl": 2}, {"Na": 2, "O": 1}):
        assert hull.without(["NaCl"]).below(composition).energy >= hull.below(composition).energy - 1e-9


@pytest.mark.parametrize("system", ["Li-O", "Sr-Ti-O", "Fe-Na-O-P", "Ba-Ca-Cu-O"])
def test_the_shipped_hull_is_pymatgens(system):
    elements = system.split("-")
    phases = Reference.shipped().hull.entries(elements)
    entries = [PDEntry(Composition(f), e * Composition(f).num_atoms) for f, e in
               zip(phases["formula"], phases["formation_energy"], strict=True)]  # fmt: skip
    diagram = PhaseDiagram(entries, [Element(e) for e in elements])
    bare = HullTable.of(phases[phases["kind"] != "element"].assign(kind="phase"))
    generator = np.random.default_rng(0)
    for _ in range(20):
        composition = dict(zip(elements, map(int, generator.integers(1, 7, len(elements))), strict=True))
        theirs = diagram.get_hull_energy_per_atom(Composition(composition))
        assert bare.below(composition).energy == pytest.approx(theirs, abs=1e-6)


def test_entries_start_with_the_elements_at_zero():
    entries = Reference.shipped().hull.entries(["O", "Li"])
    assert entries["formula"].tolist()[:2] == ["Li", "O"]
    assert (entries["formation_energy"][:2] == 0).all()
    assert {"LiO8", "Li2O"} <= set(entries["formula"])


def test_elemental_energies_are_found_again():
    truth = {"Li": -1.9, "O": -4.9, "Fe": -8.4}
    generator = np.random.default_rng(1)
    compositions = [
        {s: int(n) for s, n in zip(truth, generator.integers(0, 4, 3), strict=True) if n} or {"Li": 1} for _ in range(80)
    ]
    formation = generator.normal(-1, 0.5, len(compositions))
    share = np.array([sum(n * truth[s] for s, n in c.items()) / sum(c.values()) for c in compositions])
    energy = share + formation
    energy[:5] += 1.5  # gross errors of the energy model
    found = fit(compositions, energy, formation)
    assert found.energies == pytest.approx(truth, abs=0.02)
    assert found.n == 80
    with pytest.raises(ValueError, match="found none"):
        fit([], np.zeros(0), np.zeros(0))


@pytest.mark.slow
def test_the_data_files_own_energies(shared):
    """Arithmetic: the table holds these compositions, so 0.002 eV/atom must be met."""
    given = pd.read_csv(shared / "data/mp/test.csv.gz", keep_default_na=False, na_values=[""])
    hull = Reference.shipped().hull
    below = [hull.below(Composition(f).get_el_amt_dict()).energy for f in given["pretty_formula"]]
    off = np.abs(given["formation_energy_per_atom"] - below - given["e_above_hull"])
    assert off.mean() < 0.002
    assert off.max() < 0.01


def test_a_sets_own_hull_keeps_subsystems_and_leaves_its_very_system_out():
    hull = table(("NaCl", -2.0, "hull"), ("Na2O", -1.5, "phase"), ("Na2ClO", -3.0, "hull"))
    own = [{"Na": 2, "Cl": 1, "O": 1}, {"Na": 2, "Cl": 1, "O": 1}, {"Na": 1, "Cl": 1}, {"Na": 3, "Cl": 1}, {"Xe": 1, "O": 1}]
    energies = np.array([-1.6, -1.8, -1.9, -0.5, -0.1])
    found = hull.own(own, energies)
    # NaCl, half a Na2O and half an O, known subsystems all: (-4 - 2.25) / 4 = -1.5625
    assert found[0] == pytest.approx(0.2)  # its twin lies lower than any mixture
    assert found[1] == pytest.approx(0.0)
    assert found[2] == pytest.approx(0.0)  # the known NaCl is of its very system, and left out
    assert found[3] == pytest.approx(-0.5 + 1.9 / 2)
    assert math.isnan(found[4])
    assert np.isnan(hull.own(own[:1], np.array([math.nan]))).all()


def test_which_systems_are_known():
    hull = table(*SIMPLE)
    assert hull.knows_system({"Na", "Cl"})
    assert hull.knows_system(["Na"])
    assert not hull.knows_system({"Na", "Cl", "O"})
    assert not hull.knows_system({"Xe"})
