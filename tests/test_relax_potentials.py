"""Potentials before the examiner, and what it must not let pass."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from model.crystals import Crystals
from model.relax.ase import AsePotential
from model.relax.chgnet import CHGNetPotential, neighbours, pair
from model.relax.potential import Potential, Reading
from model.testing import UnfitError, examine, famous


@pytest.fixture(scope="module")
def chgnet():
    return CHGNetPotential()


@pytest.fixture(scope="module")
def lennard_jones():
    return AsePotential(LennardJones(sigma=2.0, epsilon=0.1, rc=6.0, smooth=True), name="LJ")


def test_chgnet_passes_the_examiner(chgnet):
    assert isinstance(chgnet, Potential)
    examine(chgnet)


def test_an_ase_calculator_passes_the_examiner(lennard_jones):
    assert isinstance(lennard_jones, Potential)
    examine(lennard_jones)


class Spoiled:
    """A sound potential whose answer is spoiled on the way."""

    name = "spoiled"

    def __init__(self, potential, spoil):
        self.potential, self.spoil = potential, spoil

    def __call__(self, crystals: Crystals) -> Reading:
        return self.spoil(crystals, self.potential(crystals))


def with_field(name, change):
    return lambda crystals, reading: dataclasses.replace(reading, **{name: change(crystals, getattr(reading, name))})


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (with_field("forces", lambda _, f: 1.2 * f), "force"),
        (with_field("forces", lambda _, f: -f), "force"),
        (with_field("stress", lambda _, s: -s), "stress"),
        (with_field("stress", lambda _, s: s * 160.2), "stress"),
        (with_field("energy", lambda c, e: e + 0.5 * len(c)), "alone"),
        (with_field("energy", lambda c, e: e + torch.arange(len(c))), "batch"),
        (with_field("energy", lambda c, e: e + 9 * torch.zeros(len(c)).index_add_(0, c.owner, c.frac[:, 0].float())), "f"),
        (with_field("forces", lambda _, f: f * torch.nan), "not-a-number"),
        (with_field("forces", lambda c, f: f * torch.where(c.owner == len(c) - 1, 1.3, 1.0)[:, None]), "energy of crystal"),
        (with_field("forces", lambda c, f: f * (1 + 2.0 * (c.frac.abs() > 1).any(1))[:, None]), "changes a force"),
        (with_field("stress", lambda _, s: s + torch.diag(torch.tensor([0.0, 0.3, 0.0]))), "stress"),
        (with_field("stress", lambda _, s: s + 0.3 * torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])), "stress"),
    ],
)
def test_the_examiner_catches(lennard_jones, spoil, complaint):
    with pytest.raises(UnfitError, match=complaint):
        examine(Spoiled(lennard_jones, spoil))


def test_the_examiner_catches_a_wrong_shape(lennard_jones):
    def spoil(_, reading):
        return SimpleNamespace(
            energy=reading.energy[:, None], forces=reading.forces, stress=reading.stress, moments=reading.moments,
            declined={},
        )  # fmt: skip

    with pytest.raises(Exception, match=r"shape|Reading"):  # a checked annotation may refuse it even sooner
        examine(Spoiled(lennard_jones, spoil))


def test_chgnet_agrees_with_its_own_converter(chgnet):
    from chgnet.model import CHGNet

    from model.io import to_structures

    names = ("rutile-TiO2", "spinel-LiMn2O4", "bcc-Fe", "graphite-C", "bismuth-telluride-Bi2Te3")
    crystals = Crystals.join([famous(name) for name in names])
    crystals = crystals.replace(
        frac=crystals.frac + 0.02 * torch.randn(crystals.frac.shape, generator=torch.Generator().manual_seed(3))
    )
    theirs = CHGNet.load(verbose=False, use_device="cpu").predict_structure(to_structures(crystals))
    ours = chgnet(crystals)
    for row, answer in enumerate(theirs):
        mine = crystals.owner == row
        assert float(ours.energy[row] / crystals.n_atoms[row]) == pytest.approx(float(answer["e"]), abs=2e-6)
        assert ours.forces[mine].numpy() == pytest.approx(answer["f"], abs=2e-4)
        assert ours.stress[row].numpy() * 160.21766208 == pytest.approx(answer["s"], abs=2e-3)
        assert ours.moments[mine].numpy() == pytest.approx(answer["m"], abs=1e-5)


def test_memory_is_bounded_without_changing_the_answer(chgnet):
    crystals = Crystals.join([famous("rutile-TiO2"), famous("bcc-Fe"), famous("rocksalt-NaCl")])
    in_portions = CHGNetPotential(budget=1)(crystals)
    assert in_portions.energy.numpy() == pytest.approx(chgnet(crystals).energy.numpy(), abs=1e-5)


@pytest.mark.parametrize(
    ("cell", "frac", "reason"),
    [
        (torch.eye(3) * 30, [[0.0, 0, 0], [0.5, 0.5, 0.5]], "no neighbour"),
        (torch.eye(3) * 4, [[0.0, 0, 0], [0.001, 0, 0]], "apart"),
        (torch.diag(torch.tensor([4.0, 4.0, 1e-4])), [[0.0, 0, 0], [0.5, 0.5, 0.5]], "flat"),
        (torch.eye(3) * float("nan"), [[0.0, 0, 0], [0.5, 0.5, 0.5]], "finite"),
        (torch.eye(3) * 1.2, [[0.0, 0, 0], [0.5, 0.5, 0.5]], "Å³ each"),
    ],
)
def test_chgnet_declines_by_name_and_judges_the_others(chgnet, cell, frac, reason):
    odd = Crystals(
        frac=torch.tensor(frac), cell=cell[None], numbers=torch.tensor([11, 17]), n_atoms=torch.tensor([2])
    )
    good = famous("rocksalt-NaCl")
    reading = chgnet(Crystals.join([good, odd, good]))
    assert list(reading.declined) == [1]
    assert reason in reading.declined[1]
    assert torch.isnan(reading.energy[1])
    assert float(reading.energy[0]) == pytest.approx(float(chgnet(good).energy[0]), abs=1e-5)
    assert float(reading.energy[2]) == pytest.approx(float(reading.energy[0]), abs=1e-5)


def test_an_empty_batch_gives_an_empty_reading(chgnet):
    assert chgnet(Crystals.empty()).energy.shape == (0,)


def test_a_raising_calculator_declines_its_crystal_alone():
    emt = AsePotential(EMT())  # knows Cu and Al, and no Na
    reading = emt(Crystals.join([famous("fcc-Cu"), famous("rocksalt-NaCl"), famous("fcc-Al")]))
    assert list(reading.declined) == [1]
    assert "EMT raised" in reading.declined[1]
    assert torch.isfinite(reading.energy[[0, 2]]).all()


@pytest.mark.parametrize("name", ["bcc-Fe", "rutile-TiO2", "graphite-C"])
def test_bonds_pair_every_edge_with_its_reverse(name):
    edges = neighbours(famous(name), 6.0)
    graph = pair(edges, 3.0)
    assert len(graph.first) * 2 == len(edges.center)
    for bond in range(len(graph.first)):
        one, other = (graph.bond == bond).nonzero()[0]
        assert edges.center[one] == edges.neighbor[other]
        assert (edges.image[one] == -edges.image[other]).all()
    left, right = graph.angles.T
    assert (edges.center[left] == edges.center[right]).all()
    assert (left != right).all()
    fan = [((edges.center == atom) & (edges.length < 3.0)).sum() for atom in range(edges.center.max() + 1)]
    assert len(left) == sum(n * (n - 1) for n in fan)
