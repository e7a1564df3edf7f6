"""What must hold for the noise processes: exact scores and posteriors, symmetric cells, right moments."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.cell import symmetric, wrapped
from model.diffusion.coordinates import WrappedNoise, wrapped_score
from model.diffusion.crystal import CrystalDiffusion
from model.diffusion.lattice import LatticeNoise, symmetric_noise
from model.diffusion.schedule import grid, keep_probability, level
from model.diffusion.species import MaskNoise, draw
from model.randomness import Streams, philox


@pytest.mark.parametrize("std", [0.03, 0.2, 0.5])
def test_wrapped_score_is_the_slope_of_the_log_density(std):
    delta = (torch.rand(40, 3, dtype=torch.double, generator=torch.Generator().manual_seed(0)) - 0.5).requires_grad_()
    images = torch.arange(-3, 4, dtype=torch.double)
    log_density = torch.logsumexp(-((delta[..., None] + images) ** 2) / (2 * std**2), dim=-1).sum()
    (slope,) = torch.autograd.grad(log_density, delta)
    ours = wrapped_score(delta.detach(), torch.full((40,), std, dtype=torch.double))
    torch.testing.assert_close(ours, slope, atol=1e-10, rtol=1e-10)


def test_species_posteriors_sum_to_one_over_the_full_law():
    """Bayes, term by term: q(a_s | a_t, a_0) from the marginals of all elements."""
    noise, now, then = MaskNoise(), torch.tensor([700]), torch.tensor([300])
    clean = torch.nn.functional.one_hot(torch.tensor([5]), 101).float()
    p = torch.softmax(noise.posterior_logits(clean, torch.tensor([101]), now, then), -1)[0]
    k_now, k_then = float(keep_probability(now)), float(keep_probability(then))
    assert float(p[5]) == pytest.approx((k_then - k_now) / (1 - k_now), rel=1e-5)
    assert float(p[100]) == pytest.approx((1 - k_then) / (1 - k_now), rel=1e-5)
    assert float(noise.reveal_chance(now, then)) == pytest.approx(float(p[5]), rel=1e-5)


def test_skipping_steps_reveals_as_often_as_taking_them_all():
    noise = MaskNoise()
    for start, stop in ((1000, 0), (900, 350), (400, 399)):
        still = math.prod(
            1 - float(noise.reveal_chance(torch.tensor([j + 1]), torch.tensor([j]))) for j in range(stop, start)
        )
        whole = 1 - float(noise.reveal_chance(torch.tensor([start]), torch.tensor([stop])))
        assert still == pytest.approx(whole, abs=1e-4)


def test_levels_on_the_published_grid():
    times = grid(1000)
    assert level(times).tolist() == list(range(1000, -1, -1))
    assert times[-1] == 0
    assert float(times[-2]) == pytest.approx(1e-3)


@pytest.mark.parametrize("t", [0.1, 0.6, 1.0])
def test_corrupted_cells_have_the_stated_moments(t):
    noise, n = LatticeNoise(), torch.full((40_000,), 8)
    z = Streams(0, torch.arange(40_000)).normal(9).reshape(-1, 3, 3)
    clean = torch.diag(torch.tensor([4.0, 5.0, 6.0])).expand(40_000, 3, 3)
    cells = noise.corrupt(clean, z, torch.full((40_000,), t), n)
    assert (cells == cells.mT).all()
    alpha, std = (float(v[0]) for v in noise.at(torch.tensor([t]), n[:1]))
    expected = alpha * clean[0] + (1 - alpha) * noise.mean(n[:1])[0]
    torch.testing.assert_close(cells.mean(0), expected, atol=5 * std / 200, rtol=0)  # five standard errors
    torch.testing.assert_close(cells.std(0), torch.full((3, 3), std), rtol=0.02, atol=0)


def test_symmetric_noise_has_six_independent_numbers_of_unit_variance():
    z = symmetric_noise(Streams(1, torch.arange(50_000)).normal(9).reshape(-1, 3, 3))
    i, j = torch.triu_indices(3, 3)
    covariance = torch.cov(z[:, i, j].T)
    torch.testing.assert_close(covariance, torch.eye(6), atol=0.03, rtol=0)


@settings(max_examples=25, deadline=None)
@given(st.floats(0.01, 0.99), st.floats(0.0, 0.98), st.integers(1, 20))
def test_a_step_with_the_true_answer_has_the_true_marginal(t, share, n):
    """From x_t = α x_0 + σ_t ε, the mean of the step keeps x_0 and the exact posterior share of ε."""
    noise, counts = LatticeNoise(), torch.tensor([n])
    s = t * share
    at, to = torch.tensor([t], dtype=torch.double), torch.tensor([s], dtype=torch.double)
    clean = torch.diag(torch.tensor([3.0, 4.0, 5.0], dtype=torch.double))[None]
    eps = symmetric_noise(torch.randn(1, 3, 3, dtype=torch.double, generator=torch.Generator().manual_seed(n)))
    noisy = noise.corrupt(clean, torch.zeros_like(eps), at, counts) + noise.std(at, counts)[:, None, None] * eps
    zero = torch.zeros_like(eps)
    deterministic = noise.step(noisy, -eps, at, to, zero, counts, 0.0)
    expected = noise.corrupt(clean, zero, to, counts) + noise.std(to, counts)[:, None, None] * eps
    torch.testing.assert_close(deterministic, expected, atol=1e-5, rtol=1e-5)


def test_the_last_step_leaves_no_noise():
    noise, n = WrappedNoise(), torch.tensor([3])
    t, zero = torch.tensor([1e-3]), torch.tensor([0.0])
    clean = torch.rand(3, 3, generator=torch.Generator().manual_seed(2))
    z = torch.randn(3, 3, generator=torch.Generator().manual_seed(3))
    noisy = noise.corrupt(clean, z, t, n)
    back = noise.step(noisy, noise.target(clean, noisy, t, n), t, zero, z, n, 1.0)
    apart = (back - clean + 0.5) % 1 - 0.5
    assert float(apart.abs().max()) < 1e-6


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=9, max_size=9))
def test_polar_form_keeps_lengths_and_angles(values):
    cell = torch.tensor(values, dtype=torch.double).reshape(1, 3, 3)
    turned = symmetric(cell)
    torch.testing.assert_close(turned, turned.mT, atol=1e-9, rtol=0)
    torch.testing.assert_close(turned @ turned.mT, cell @ cell.mT, atol=1e-8, rtol=1e-8)


def test_wrapping_never_gives_one():
    assert float(wrapped(torch.tensor([[-1e-9, 1.0, 2.5]])).max()) < 1


def test_philox_known_answers():
    """The published test vectors of Philox-4x32-10 (Random123)."""
    assert philox(torch.tensor([[0, 0, 0, 0]]), 0)[0].tolist() == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    ones = 0xFFFFFFFF
    found = philox(torch.full((1, 4), ones), ones | ones << 32)[0].tolist()
    assert found == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    pi = torch.tensor([[0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344]])
    assert philox(pi, 0xA4093822 | 0x299F31D0 << 32)[0].tolist() == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]


def test_streams_belong_to_crystals_not_to_batches():
    n = torch.tensor([3, 7, 2])
    together = Streams(5, torch.tensor([4, 9, 11])).normal_atoms(n)
    alone = torch.cat([Streams(5, torch.tensor([i])).normal_atoms(k[None]) for i, k in zip((4, 9, 11), n, strict=True)])
    assert (together == alone).all()
    later = Streams(5, torch.tensor([4]), torch.tensor([1])).normal_atoms(n[:1])
    assert not torch.isclose(later, together[:3]).any()


def test_draws_follow_their_probabilities_and_never_take_the_impossible():
    p = torch.tensor([0.0, 0.2, 0.0, 0.5, 0.3, 0.0]).expand(60_000, 6)
    uniform = Streams(6, torch.arange(60_000)).uniform()[:, 0]
    share = torch.bincount(draw(p, uniform), minlength=6) / 60_000
    torch.testing.assert_close(share, p[0], atol=0.01, rtol=0)
    assert share[[0, 2, 5]].sum() == 0
    extremes = draw(p[:2], torch.tensor([1e-12, 1 - 1e-12], dtype=torch.double))
    assert extremes.tolist() == [1, 4]


def test_knowing_cells_beforehand_is_exact_for_normal_cells():
    """Where clean cells are normal as said, the answer with a silent network is the exact score."""
    noise, n = LatticeNoise(beforehand=(2.8, 0.6)), torch.tensor([8])
    t = torch.tensor([0.4])
    noisy = noise.mean(n) + 0.3
    alpha, std = (float(v[0]) for v in noise.at(t, n))
    mean = alpha * 2.8 * 2 * torch.eye(3) + (1 - alpha) * noise.mean(n)[0]
    variance = (alpha * 0.6 * 2) ** 2 + std**2
    expected = -std * (noisy[0] - mean) / variance
    torch.testing.assert_close(noise.read(torch.zeros(1, 3, 3), noisy, t, n)[0], expected)


def test_prior_has_every_species_undecided():
    prior = CrystalDiffusion().prior(torch.tensor([4, 2]), Streams(0, torch.arange(2)))
    assert (prior.numbers == 101).all()
    assert (prior.cell == prior.cell.mT).all()
    assert ((prior.frac >= 0) & (prior.frac < 1)).all()
