"""Elastic tensors: known tensors are found again, symmetry is kept, and the bulk modulus is that of the curve."""

import numpy as np
import pytest
import torch
from ase.calculators.lj import LennardJones

from model.crystals import Crystals
from model.properties.bulk_modulus import bulk_moduli
from model.properties.elastic import deformations, elasticity, moduli
from model.relax.ase import AsePotential
from model.relax.relaxer import relax
from model.testing import famous

SMALL = (-0.005, 0.005)


@pytest.fixture(scope="module")
def argon():
    """Face-centred and hexagonal crystals of a Lennard-Jones potential, relaxed."""
    potential = AsePotential(LennardJones(sigma=2.3, epsilon=0.4, rc=8.0, smooth=True), "LJ")
    crystals = Crystals.join([famous("fcc-Cu"), famous("hcp-Mg")])
    return potential, relax(crystals, potential, fmax=1e-4, steps=2000).crystals


def test_a_known_tensor_is_found_again():
    generator = np.random.default_rng(0)
    half = generator.normal(size=(6, 6))
    wanted = half @ half.T * 10 + 50 * np.eye(6)
    each = deformations((-1e-5, 1e-5))
    green = [(d.T @ d - np.eye(3)) / 2 for d in each]
    voigt = [np.array([g[0, 0], g[1, 1], g[2, 2], 2 * g[1, 2], 2 * g[0, 2], 2 * g[0, 1]]) for g in green]
    stresses = []
    for strain in voigt:
        xx, yy, zz, yz, xz, xy = wanted @ strain
        stresses.append([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    found = moduli(each, np.array(stresses), ions=True)
    assert found.tensor == pytest.approx(wanted, rel=1e-3, abs=1e-2)
    compliance = np.linalg.inv(wanted)
    assert found.bulk_voigt == pytest.approx(wanted[:3, :3].sum() / 9, rel=1e-3)
    assert found.bulk_reuss == pytest.approx(1 / compliance[:3, :3].sum(), rel=1e-3)
    assert found.bulk == pytest.approx((found.bulk_voigt + found.bulk_reuss) / 2)


def test_the_bulk_modulus_is_that_of_the_equation_of_state(argon):
    potential, crystals = argon
    curves = [state.modulus for state in bulk_moduli(crystals, potential)]
    found = elasticity(crystals, potential, strains=SMALL)
    assert [one.bulk for one in found] == pytest.approx(curves, rel=0.02)
    assert all(one.reason == "" and one.ions for one in found)
    cubic, hexagonal = found
    assert cubic.bulk_voigt == pytest.approx(cubic.bulk_reuss, rel=1e-3)  # alike in all directions under pressure
    assert hexagonal.bulk_voigt >= hexagonal.bulk_reuss - 1e-6


def test_the_cell_may_be_turned(argon):
    potential, crystals = argon
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64))[0]
    turn = turn * torch.sign(torch.linalg.det(turn))
    turned = crystals.replace(cell=crystals.cell.double() @ turn)
    found, again = (elasticity(some, potential, strains=SMALL) for some in (crystals, turned))
    for before, after in zip(found, again, strict=True):
        assert after.bulk == pytest.approx(before.bulk, rel=5e-3)
        assert after.shear == pytest.approx(before.shear, rel=5e-3)


def test_clamped_ions_never_soften(argon):
    potential, crystals = argon
    free, clamped = (elasticity(crystals, potential, strains=SMALL, relax_ions=ions) for ions in (True, False))
    for soft, hard in zip(free, clamped, strict=True):
        assert np.trace(hard.tensor) >= np.trace(soft.tensor) - 1e-2
        assert not hard.ions


def test_what_is_unstable_or_fails_gets_a_reason(argon):
    potential, crystals = argon
    stretched = crystals.replace(cell=crystals.cell * 1.25)
    assert all("unstable" in one.reason and np.isnan(one.bulk) for one in elasticity(stretched, potential, relax_ions=False))

    class Mute:
        name = "mute"

        def __call__(self, crystals):
            raise RuntimeError("no voice")

    assert "no voice" in elasticity(crystals, Mute())[0].reason
    assert elasticity(Crystals.empty(), potential) == []


@pytest.mark.parametrize("how", ["raises", "answers NaN"])
def test_one_that_fails_takes_no_other_with_it(argon, how):
    inner, crystals = argon

    class Trouble:
        name = "trouble"

        def __call__(self, some):
            ill = torch.zeros(len(some)).index_add_(0, some.owner, (some.numbers == 12).float()) > 0
            if how == "raises" and ill.any():
                raise RuntimeError("magnesium!")
            reading = inner(some)
            reading.energy[ill] = torch.nan
            return reading

    copper, magnesium = elasticity(crystals, Trouble(), strains=SMALL, relax_ions=False)
    alone = elasticity(crystals[[0]], inner, strains=SMALL, relax_ions=False)[0]
    assert copper.bulk == pytest.approx(alone.bulk, rel=1e-6)
    assert np.isnan(magnesium.bulk)
    assert ("magnesium!" if how == "raises" else "not-a-number") in magnesium.reason
    copper, magnesium = bulk_moduli(crystals, Trouble(), relax_atoms=False)
    assert np.isfinite(copper.modulus)
    assert np.isnan(magnesium.modulus)
    assert "failed" in magnesium.reason
