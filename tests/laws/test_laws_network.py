"""What must hold for any crystal: how the network's answers turn, move and repeat with it."""

import pytest
import torch

from model.conditions import Conditions
from model.crystals import Crystals
from model.network import graph
from model.network.basis import spherical_harmonics
from model.network.denoiser import GemNetDenoiser
from model.network.embeddings import multi_hot
from model.sampling.guidance import guided
from model.testing import famous

TINY = {"hidden": 16, "num_blocks": 2, "num_radial": 16, "emb_size_trip": 8, "emb_size_bil_trip": 8, "num_atom": 1,
        "cutoff": 4.5, "max_neighbors": 500}
NAMES = ("rocksalt-NaCl", "perovskite-SrTiO3", "rutile-TiO2")


@pytest.fixture(scope="module")
def denoiser():
    torch.manual_seed(0)
    return GemNetDenoiser(**TINY).double().eval()


@pytest.fixture(scope="module")
def shaken():
    """Famous crystals with every symmetry broken, in double precision."""
    crystals = Crystals.join([famous(name) for name in NAMES])
    g = torch.Generator().manual_seed(1)
    noise = 0.02 * torch.randn(crystals.frac.shape, generator=g, dtype=torch.double)
    strain = torch.eye(3) + 0.02 * torch.randn(len(crystals), 3, 3, generator=g, dtype=torch.double)
    return crystals.replace(frac=(crystals.frac.double() + noise) % 1, cell=crystals.cell.double() @ strain)


def answer(denoiser, crystals):
    with torch.no_grad():
        return denoiser(crystals, torch.full((len(crystals),), 0.4, dtype=torch.double))


def same(a, b, tolerance=1e-8):
    torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


def test_rotation_turns_the_cell_score_and_leaves_fractions(denoiser, shaken):
    q, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.double, generator=torch.Generator().manual_seed(2)))
    q = q * torch.linalg.det(q).sign()
    here, there = answer(denoiser, shaken), answer(denoiser, shaken.replace(cell=shaken.cell @ q))
    same(there.frac, here.frac)
    same(there.cell, q.T @ here.cell @ q)
    same(there.logits, here.logits)


def test_translation_leaves_all_answers(denoiser, shaken):
    here, there = answer(denoiser, shaken), answer(denoiser, shaken.replace(frac=(shaken.frac + 0.37) % 1))
    for name in ("frac", "cell", "logits"):
        same(getattr(there, name), getattr(here, name))


def test_order_of_atoms_only_orders_answers(denoiser, shaken):
    one = shaken[1]
    order = torch.randperm(len(one.frac), generator=torch.Generator().manual_seed(3))
    here, there = answer(denoiser, one), answer(denoiser, one.replace(frac=one.frac[order], numbers=one.numbers[order]))
    same(there.frac, here.frac[order])
    same(there.logits, here.logits[order])
    same(there.cell, here.cell)


def test_supercell_repeats_answers(denoiser, shaken):
    one = shaken[0]
    shift = torch.tensor([[0.5, 0, 0]], dtype=torch.double)
    half = one.frac * torch.tensor([0.5, 1, 1], dtype=torch.double)
    double = Crystals(
        frac=torch.cat([half, half + shift]), cell=one.cell * torch.tensor([2.0, 1, 1], dtype=torch.double)[:, None],
        numbers=one.numbers.repeat(2), n_atoms=2 * one.n_atoms,
    )
    here, there = answer(denoiser, one), answer(denoiser, double)
    same(there.cell, here.cell)
    same(there.logits, here.logits.repeat(2, 1))


def test_company_in_a_batch_changes_nothing(denoiser, shaken):
    together = answer(denoiser, shaken)
    alone = [answer(denoiser, one) for one in shaken]
    same(torch.cat([a.frac for a in alone]), together.frac)
    same(torch.cat([a.cell for a in alone]), together.cell)


def test_a_crystal_without_edges_is_answered(denoiser):
    far = Crystals(
        frac=torch.zeros(1, 3, dtype=torch.double), cell=torch.eye(3, dtype=torch.double)[None] * 50,
        numbers=torch.tensor([3]), n_atoms=torch.tensor([1]),
    )
    given = answer(denoiser, far)
    assert torch.isfinite(given.logits).all()
    assert given.cell.abs().max() == 0


def test_edges_are_mirrored(shaken):
    found = graph.build(shaken, 5.0, 12)
    swap = graph.swapped(torch.arange(len(found.source)))
    assert (found.source[swap] == found.target).all()
    same(found.direction[swap], -found.direction)
    assert (found.slots < len(found.source)).sum() == len(found.source)


def test_harmonics_obey_the_addition_theorem():
    g = torch.Generator().manual_seed(4)
    u, v = torch.nn.functional.normalize(torch.randn(2, 50, 3, dtype=torch.double, generator=g), dim=-1)
    a, b = spherical_harmonics(u), spherical_harmonics(v)
    cosine = (u * v).sum(-1)
    polynomials = [torch.ones_like(cosine), cosine]
    for l in range(2, 7):
        polynomials.append(((2 * l - 1) * cosine * polynomials[-1] - (l - 1) * polynomials[-2]) / l)
    for l in range(7):
        part = slice(l * l, (l + 1) ** 2)
        same((a[:, part] * b[:, part]).sum(-1), (2 * l + 1) / (4 * torch.pi) * polynomials[l], 1e-12)


@pytest.fixture(scope="module")
def listening():
    torch.manual_seed(5)
    return GemNetDenoiser(**TINY, properties=("chemical_system", "dft_band_gap", "space_group")).double().eval()


def conditions(batch):
    return Conditions.of(
        chemical_system=multi_hot([frozenset({"Na", "Cl"})] * batch).double(),
        dft_band_gap=torch.linspace(0, 3, batch, dtype=torch.double),
        space_group=torch.full((batch,), 225.0, dtype=torch.double),
    )


def test_a_fresh_adapter_answers_as_its_base(listening, shaken):
    t = torch.full((3,), 0.4, dtype=torch.double)
    with torch.no_grad():
        told, untold = listening(shaken, t, conditions(3)), listening(shaken, t)
    same(told.frac, untold.frac, 1e-14)
    same(told.logits, untold.logits, 1e-14)


def test_guidance_is_a_line_through_free_and_conditional(listening, shaken):
    with torch.no_grad():
        for layers in listening.adapters.cond_mixin_layers.values():
            for layer in layers:
                layer.weight.normal_(generator=torch.Generator().manual_seed(6), std=0.1)
    t, c = torch.full((3,), 0.4, dtype=torch.double), conditions(3)
    with torch.no_grad():
        free, full = listening(shaken, t), listening(shaken, t, c)
        assert (free.cell - full.cell).abs().max() > 1e-6
        same(guided(listening, 0.0)(shaken, t, c).cell, free.cell)
        same(guided(listening, 1.0)(shaken, t, c).cell, full.cell)
        same(guided(listening, 2.0)(shaken, t, c).cell, 2 * full.cell - free.cell)
        only = listening(shaken, t, c.only("dft_band_gap"))
        other = listening(shaken, t, c.only("space_group"))
        each = guided(listening, {"dft_band_gap": 2.0, "space_group": 0.5})(shaken, t, c)
        same(each.cell, free.cell + 2 * (only.cell - free.cell) + 0.5 * (other.cell - free.cell))


def test_no_second_evaluation_at_zero_and_one(shaken):
    sizes = []

    def counting(noisy, t, c):
        sizes.append(len(noisy))
        return GemNetDenoiser(**TINY).double()(noisy, t)

    t = torch.full((3,), 0.4, dtype=torch.double)
    for strength in (0.0, 1.0, 2.0):
        guided(counting, strength)(shaken, t, conditions(3))
    assert sizes == [3, 3, 6]
