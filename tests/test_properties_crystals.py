"""Properties: what textbooks and exact curves say."""

import numpy as np
import pytest
import torch

from model.crystals import Crystals
from model.properties.bulk_modulus import birch_murnaghan, bulk_moduli
from model.properties.composition import balanced
from model.properties.magnetism import magnetic_density
from model.relax.chgnet import CHGNetPotential
from model.relax.potential import GPA
from model.relax.relaxer import relax
from model.testing import famous


def curve(volumes, e0, v0, k0, k1):
    """Birch and Murnaghan's own formula."""
    x = (v0 / volumes) ** (2 / 3)
    return e0 + 9 * v0 * k0 / GPA / 16 * ((x - 1) ** 3 * k1 + (x - 1) ** 2 * (6 - 4 * x))


@pytest.mark.parametrize(("v0", "k0", "k1"), [(40.0, 100.0, 4.0), (11.3, 443.0, 3.6), (75.0, 12.0, 5.5)])
def test_the_curves_own_modulus_is_found_again(v0, k0, k1):
    volumes = v0 * np.linspace(0.9, 1.08, 7)
    found = birch_murnaghan(volumes, curve(volumes, -7.0, v0, k0, k1))
    assert found.modulus == pytest.approx(k0, rel=1e-6)
    assert found.volume == pytest.approx(v0, rel=1e-6)
    assert found.misfit < 1e-6


def test_no_modulus_without_a_minimum_or_a_smooth_curve():
    volumes = 40 * np.linspace(0.9, 1.08, 7)
    sloping = birch_murnaghan(volumes, curve(volumes, 0.0, 60.0, 100.0, 4.0))
    assert np.isnan(sloping.modulus)
    assert "rest within the strains" in sloping.reason
    noise = 0.1 * np.random.default_rng(0).normal(size=7)
    assert np.isnan(birch_murnaghan(volumes, curve(volumes, 0.0, 40.0, 100.0, 4.0) + noise).modulus)
    assert "failed" in birch_murnaghan(volumes, np.full(7, np.nan)).reason


def test_chgnet_knows_hard_from_soft():
    """Within 20 % of experiment: diamond 443, copper 140, magnesium oxide 160 GPa."""
    chgnet = CHGNetPotential()
    crystals = Crystals.join([famous(name) for name in ("diamond-C", "fcc-Cu", "rocksalt-MgO")])
    relaxed = relax(crystals, chgnet, fmax=0.02).crystals
    found = [state.modulus for state in bulk_moduli(relaxed, chgnet)]
    assert found == pytest.approx([443, 140, 160], rel=0.2)


@pytest.mark.parametrize(
    ("formula", "passes"),
    [
        ({"Na": 1, "Cl": 1}, True), ({"Na": 1, "Cl": 2}, False), ({"Ti": 1, "O": 2}, True), ({"Fe": 4}, True),
        ({"Fe": 1, "Ni": 3}, True), ({"K": 1, "Cl": 8}, False), ({"Ca": 2, "Ti": 2, "O": 6}, True),
    ],
)  # fmt: skip
def test_charges_balance_or_not(formula, passes):
    assert balanced(formula) is passes


def test_moments_over_volume_whatever_their_sign():
    crystals = Crystals.join([famous("bcc-Fe"), famous("rocksalt-NaCl")])
    moments = torch.tensor([-2.2, 0.0, 0.0], dtype=torch.float64)
    iron, salt = magnetic_density(crystals, moments).tolist()
    assert iron == pytest.approx(2.2 / float(torch.linalg.det(crystals.cell[0])), rel=1e-5)
    assert salt == 0
    assert torch.isnan(magnetic_density(crystals, moments * torch.nan)).all()


def test_relaxing_atoms_alone_leaves_the_cell():
    crystal = famous("rutile-TiO2")
    crystal = crystal.replace(frac=torch.remainder(crystal.frac + 0.02, 1), cell=crystal.cell * 1.02)
    crystal = crystal.replace(frac=torch.remainder(crystal.frac + torch.linspace(0, 0.03, 6)[:, None], 1))
    found = relax(crystal, CHGNetPotential(), cell=False)
    assert found.converged.all()
    assert found.crystals.cell.numpy() == pytest.approx(crystal.cell.numpy(), abs=1e-6)
    assert (found.crystals.frac - crystal.frac.double()).abs().max() > 1e-3
