"""MatterSim, stood in for by a calculator with its call signatures: from a file of weights to verdicts."""

import re
import sys
import types

import numpy as np
import pandas as pd
import pytest
from ase.calculators.calculator import Calculator
from ase.calculators.lj import LennardJones
from ase.units import GPa
from typer.testing import CliRunner

from model.evaluation.reference import BadReferenceError, Reference
from model.io import to_structures, write_cif
from model.relax.mattersim import DEFAULT, mattersim
from model.testing import examine, famous
from workbench.cli import app


class MatterSimCalculator(Calculator):
    """The signatures and the forms of answers of mattersim.forcefield, over Lennard-Jones."""

    implemented_properties = ("energy", "free_energy", "forces", "stress")

    def __init__(self, potential=None, args_dict=None, compute_stress=True, stress_weight=GPa, device="cuda", **kwargs):
        super().__init__(**kwargs)
        load_path = kwargs["load_path"]
        if not load_path.endswith(".pth") or "/" not in load_path:
            raise AssertionError("a name alone would be fetched from a network")
        with open(load_path, "rb") as file:
            assert file.read() == b"weights"
        assert device == "cpu"
        self.inner = LennardJones(sigma=2.0, epsilon=0.1, rc=6.0, smooth=True)
        self.stress_weight = stress_weight

    def calculate(self, atoms=None, properties=None, system_changes=None):
        super().calculate(atoms=atoms, properties=properties or ["energy"], system_changes=system_changes or ["cell"])
        copy = atoms.copy()
        copy.calc = self.inner
        energy = np.float64(copy.get_potential_energy())
        self.results.update(energy=energy, free_energy=energy, forces=copy.get_forces().astype(np.float64))
        self.results.update(stress=self.stress_weight * (copy.get_stress() / GPa))  # they keep stresses in GPa


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """MatterSim installed, its home folder empty."""
    module = types.ModuleType("mattersim.forcefield")
    module.MatterSimCalculator = MatterSimCalculator
    monkeypatch.setitem(sys.modules, "mattersim", types.ModuleType("mattersim"))
    monkeypatch.setitem(sys.modules, "mattersim.forcefield", module)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def weights(installed):
    file = installed / ".local/mattersim/pretrained_models" / DEFAULT
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    return file


def test_where_it_is_not_installed_the_way_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "mattersim", None)
    with pytest.raises(ImportError, match="pip install mattersim"):
        mattersim()


def test_nothing_is_fetched(installed):
    with pytest.raises(FileNotFoundError, match=r"pretrained_models/mattersim-v1\.0\.0-1M\.pth"):
        mattersim()


@pytest.mark.parametrize("name", [DEFAULT, "MatterSim-v1.0.0-1M", "MatterSim-v1.0.0-1M.pth"])
def test_its_own_weights_are_found_under_either_spelling(weights, name):
    found = mattersim(name)
    assert found.name == "MatterSim-v1.0.0-1M"
    examine(found)


def test_a_file_of_ones_own_gives_its_name(installed):
    (installed / "taught.pth").write_bytes(b"weights")
    assert mattersim(installed / "taught.pth").name == "MatterSim taught"


def run(*words):
    return CliRunner().invoke(app, list(map(str, words)))


@pytest.fixture
def table(tmp_path):
    """Crystals whose formation energies are the stand-in's own, by elements at -0.2 eV/atom."""
    names = ("rocksalt-NaCl", "cesium-chloride-CsCl", "rutile-TiO2", "bcc-Fe")
    potential = LennardJones(sigma=2.0, epsilon=0.1, rc=6.0, smooth=True)
    rows = []
    for name in names:
        atoms = to_structures(famous(name))[0].to_ase_atoms()
        atoms.calc = potential
        rows.append(atoms.get_potential_energy() / len(atoms) + 0.2)
    pd.DataFrame({
        "material_id": names, "formation_energy_per_atom": rows, "e_above_hull": 0.0,
        "cif": [to_structures(famous(name))[0].to(fmt="cif") for name in names],
    }).to_csv(tmp_path / "known.csv", index=False)  # fmt: skip
    return tmp_path / "known.csv"


def test_from_elemental_energies_to_verdicts_at_the_command_line(weights, table, tmp_path):
    folder = tmp_path / "made"
    folder.mkdir()
    write_cif(folder / "salt.cif", to_structures(famous("rocksalt-NaCl"))[0])
    refused = run("evaluate", folder, "--energy-model", "mattersim", "--no-relax")
    assert refused.exit_code == 2
    assert "workbench reference fit" in refused.stderr
    fitted = run("reference", "fit", table, "--energy-model", "mattersim", "--out", tmp_path / "ref")
    assert fitted.exit_code == 0, fitted.output
    assert re.search(r"MatterSim-v1\.0\.0-1M: 6 elements fitted on 4 crystals, mean error 0\.000", fitted.stdout)
    reference = Reference.load(tmp_path / "ref")
    assert {"CHGNet 0.3.0", "MatterSim-v1.0.0-1M"} <= set(reference.energies)
    assert len(reference.hull) == len(Reference.shipped().hull)
    result = run("evaluate", folder, "--energy-model", "mattersim", "--reference", tmp_path / "ref", "--no-relax",
                 "--out", tmp_path / "out")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "energy model  MatterSim-v1.0.0-1M" in result.stdout
    found = pd.read_csv(tmp_path / "out" / "candidates.csv")
    given = pd.read_csv(table).set_index("material_id")["formation_energy_per_atom"]
    assert found["formation_energy"][0] == pytest.approx(given["rocksalt-NaCl"], abs=1e-3)
    assert run("reference", "fit", table, "--out", tmp_path / "ref").exit_code == 2


def test_a_file_of_weights_is_named_at_the_command_line(installed, table, tmp_path):
    (installed / "taught.pth").write_bytes(b"weights")
    fitted = run("reference", "fit", table, "--energy-model", f"mattersim:{installed / 'taught.pth'}", "--out", tmp_path / "r")
    assert fitted.exit_code == 0, fitted.output
    assert "MatterSim taught" in Reference.load(tmp_path / "r").energies
    assert run("reference", "fit", table, "--energy-model", "springs", "--out", tmp_path / "x").exit_code == 2


def test_another_model_is_refused_by_name():
    with pytest.raises(BadReferenceError, match="No elemental energies were fitted for MatterSim taught"):
        Reference.shipped().elemental("MatterSim taught")
