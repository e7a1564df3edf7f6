"""How well hull and energies are met: exactly by the truth, and by as much as is wrong otherwise."""

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from model.evaluation.check import check, coverage, fit_elements, with_elements
from model.evaluation.hull import HullTable
from model.evaluation.reference import BadReferenceError, Reference
from model.io import to_structures
from model.relax.potential import Reading, silence
from model.testing import famous
from workbench.commands.reference import app

NAMES = ("rocksalt-NaCl", "rutile-TiO2", "anatase-TiO2", "cesium-chloride-CsCl", "perovskite-SrTiO3")
ELEMENTS = {"Na": -1.3, "Cl": -1.8, "Ti": -7.7, "O": -4.9, "Cs": -0.9, "Sr": -1.6}


@pytest.fixture
def hull():
    rows = [
        ("NaCl", -2.1, "hull"), ("TiO2", -3.4, "hull"), ("CsCl", -2.2, "hull"), ("SrTiO3", -3.5, "hull"),
        ("SrO", -3.0, "phase"), ("Na2O", -1.5, "phase"), ("Cs2O", -1.2, "phase"), ("TiCl4", -1.6, "phase"),
    ]  # fmt: skip
    return HullTable.of(pd.DataFrame(rows, columns=["formula", "formation_energy", "kind"]))


@pytest.fixture
def reference(hull):
    return Reference(name="r", hull=hull, known=Reference.shipped().known, energies={"true": ELEMENTS})


@pytest.fixture
def table(hull, tmp_path):
    structures = [to_structures(famous(name))[0] for name in NAMES]
    below = np.array([hull.below(s.composition.get_el_amt_dict()).energy for s in structures])
    above = np.array([0.0, 0.0, 0.12, 0.0, 0.0])
    pd.DataFrame({
        "material_id": NAMES, "formation_energy_per_atom": below + above, "e_above_hull": above,
        "cif": [s.to(fmt="cif") for s in structures],
    }).to_csv(tmp_path / "known.csv", index=False)  # fmt: skip
    return tmp_path / "known.csv"


class Truth:
    """A potential that knows the table, `off` eV/atom beside it, and gives up on caesium."""

    name = "true"

    def __init__(self, file, off=0.0, declines=False):
        given = pd.read_csv(file)
        self.known = dict(zip((len(c) for c in given["cif"]), given["formation_energy_per_atom"], strict=True))
        self.given, self.off, self.declines = given.set_index("material_id"), off, declines

    def __call__(self, crystals):
        reading = silence(crystals, "")
        energies = reading.energy.clone()
        for row, structure in enumerate(to_structures(crystals)):
            if self.declines and "Cs" in structure.composition.chemical_system:
                continue
            same = [n for n in NAMES if to_structures(famous(n))[0].composition == structure.composition]
            name = min(same, key=lambda n: abs(to_structures(famous(n))[0].volume - structure.volume))
            elements = sum(ELEMENTS[s] * n for s, n in structure.composition.get_el_amt_dict().items())
            energies[row] = elements + len(structure) * (self.given["formation_energy_per_atom"][name] + self.off)
        zeros = (reading.forces * 0).nan_to_num(), (reading.stress * 0).nan_to_num()
        declined = {row: "caesium" for row in range(len(crystals)) if energies[row].isnan()}
        return Reading(energy=energies, forces=zeros[0], stress=zeros[1], moments=reading.moments, declined=declined)


def test_the_truth_is_met_and_leaving_rows_out_costs_what_they_held(table, reference):
    found = {one.name: one for one in check([table], reference, Truth(table))}
    exact = found["energy above hull, energies as given"]
    assert (exact.n, exact.same_verdict) == (5, 1.0)
    assert exact.mean_error == pytest.approx(0, abs=1e-9)
    lacking = found["energy above hull, energies as given, these compositions left out of the hull"]
    assert (lacking.n, lacking.mean_error, lacking.bias) == (5, pytest.approx(0.12 / 5), pytest.approx(-0.12 / 5))
    assert lacking.same_verdict == pytest.approx(4 / 5)  # the one above the hull drops below what is left of it
    assert found["formation energy, energies of true, unrelaxed"].mean_error == pytest.approx(0, abs=1e-5)


def test_an_error_of_the_energies_comes_out(table, reference):
    found = {one.name: one for one in check([table], reference, Truth(table, off=0.06))}
    formation = found["formation energy, energies of true, unrelaxed"]
    assert (formation.mean_error, formation.bias) == (pytest.approx(0.06, abs=1e-5), pytest.approx(0.06, abs=1e-5))
    assert formation.within == 0
    assert "mean error 0.0600 eV/atom, bias +0.0600" in formation.text


def test_what_is_declined_is_not_counted(table, reference):
    found = check([table], reference, Truth(table, declines=True))
    assert {one.n for one in found} == {5, 4}


def test_elements_are_fitted_again_and_kept_beside_the_others(table, reference):
    energies = fit_elements([table], Truth(table))
    assert energies.n == 5
    assert energies.mean_error == pytest.approx(0, abs=1e-4)
    both = with_elements(reference, "again", energies)
    assert set(both.energies) == {"true", "again"}
    salt = {"Na": 1, "Cl": 1}
    assert both.formation_energy(salt, -6.0, "again") == pytest.approx(both.formation_energy(salt, -6.0, "true"), abs=1e-3)


def test_a_choice_at_random_is_the_same_again(table, reference):
    some = [check([table], reference, count=3, seed=seed)[0] for seed in (1, 1)]
    assert some[0] == some[1]
    assert some[0].n == 3


def test_crystals_without_energies_are_refused(tmp_path, reference):
    pd.DataFrame({"material_id": ["a"], "cif": [to_structures(famous("bcc-Fe"))[0].to(fmt="cif")]}).to_csv(
        tmp_path / "bare.csv", index=False
    )
    with pytest.raises(BadReferenceError, match="formation_energy_per_atom and e_above_hull"):
        check([tmp_path / "bare.csv"], reference)


def test_coverage_counts_phases_and_systems_without_any(hull):
    assert coverage(hull, ["Sr", "Ti", "O"]) == (3, 1)  # nothing is known in Sr-Ti


def test_the_command_checks_the_shipped_hull(table):
    found = CliRunner().invoke(app, ["check", str(table), "--energy-model", "none", "--count", "2"])
    assert found.exit_code == 0, found.output
    assert "energies as given, these compositions left out of the hull: mean error" in found.stdout
    assert found.stdout.count("(n = 2)") == 2
