"""Fast products are the ordinary ones, and work in pieces is the work as a whole."""

import pytest
import torch
from torch.nn import functional as F

from model.network import products
from model.network.products import by_rows, product, sum_by_rows


@pytest.mark.parametrize("rows", [0, 1, 7, 600])
@pytest.mark.parametrize(("after", "function"), [("none", lambda x: x), ("swish", F.silu), ("relu", F.relu)])
def test_products_without_gradients_are_those_with_gradients(rows, after, function, tight):
    g = torch.Generator().manual_seed(0)
    x, bias = torch.randn(rows, 33, generator=g), torch.randn(20, generator=g)
    for weight in (torch.randn(20, 33, generator=g), torch.randn(33, 20, generator=g).T, torch.randn(20, 99, generator=g)[:, 33:66]):
        expected = function(x.double() @ weight.double().T + bias)
        told = product(x, weight, bias, after)
        with torch.no_grad():
            quick = product(x, weight, bias, after)
        for ours in (told, quick):
            torch.testing.assert_close(ours.double(), expected, atol=20 * tight, rtol=20 * tight)


def test_double_precision_stays_double(exact):
    x, weight = torch.randn(5, 8, dtype=torch.double), torch.randn(3, 8, dtype=torch.double)
    with torch.no_grad():
        torch.testing.assert_close(product(x, weight), x @ weight.T, atol=exact, rtol=exact)


@pytest.mark.parametrize("rows", [0, 1, 4, 5, 13])
def test_pieces_make_the_whole(monkeypatch, rows, tight):
    monkeypatch.setattr(products, "ROWS", 4)
    x, y = torch.randn(rows, 3), torch.randn(rows, 3)
    index = torch.arange(rows) % 3
    seen = []

    def work(a, b):
        seen.append(len(a))
        return a * b + 1

    with torch.no_grad():
        torch.testing.assert_close(by_rows(work, x, y), x * y + 1)
        assert max(seen) <= 4 * torch.get_num_threads()
        assert sum(seen) == rows
        total = torch.zeros(3, 3).index_add(0, index, x * y + 1)
        torch.testing.assert_close(sum_by_rows(work, index, 3, x, y), total, atol=tight, rtol=tight)
    seen.clear()
    by_rows(work, x, y)
    assert seen == [rows]  # gradients want it whole


def test_geometry_stays_in_single_precision_where_a_model_computes_in_bf16(loose):
    """In bf16 positions would be rounded to 0.03 Å, and scores of nearly finished crystals would be noise."""
    from model.crystals import Crystals
    from model.network.denoiser import GemNetDenoiser
    from model.testing import famous

    torch.manual_seed(0)
    denoiser = GemNetDenoiser(hidden=32, num_blocks=2, num_radial=64, emb_size_trip=8, emb_size_bil_trip=8, num_atom=1)
    crystals = Crystals.join([famous("perovskite-SrTiO3"), famous("rutile-TiO2")])
    shaken = crystals.replace(frac=(crystals.frac + 0.01 * torch.randn(crystals.frac.shape)) % 1)
    t = torch.tensor([0.02, 0.5])
    for train in (False, True):
        with torch.set_grad_enabled(train):
            full = denoiser(shaken, t)
            with torch.autocast("cpu", torch.bfloat16):
                half = denoiser(shaken, t)
        for name in ("frac", "cell", "logits"):
            ours, exact = getattr(half, name), getattr(full, name)
            assert ours.dtype == torch.float32
            assert float((ours - exact).detach().norm() / exact.detach().norm()) < 100 * loose
