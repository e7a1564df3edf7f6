"""Conformance numbers of the published implementation (section 12 of the facts), kept in tests/golden/vectors.json."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from model.cell import symmetric
from model.conditions import Conditions
from model.crystals import Crystals, Prediction
from model.diffusion.coordinates import wrapped_score
from model.diffusion.crystal import CrystalDiffusion, Noised
from model.diffusion.species import MaskNoise
from model.network import graph
from model.network.basis import envelope
from model.network.denoiser import GemNetDenoiser
from model.network.embeddings import multi_hot
from model.network.gemnet import InteractionBlock, LatticeBlock, OutputBlock, TripletInteraction
from model.published import published_keys
from model.sampling.guidance import guided

GOLDEN = json.loads((Path(__file__).parent / "golden" / "vectors.json").read_text())
T = torch.tensor([0.3, 0.85])


def batch(told):
    return Crystals(
        frac=torch.tensor(told["frac"]), cell=torch.tensor(told["cell"]), numbers=torch.tensor(told["numbers"]),
        n_atoms=torch.tensor([3, 2]),
    )


NOISY, CLEAN = batch(GOLDEN["noisy"]), batch(GOLDEN["clean"])


def filled(**arguments):
    """The full-size network with every weight given by the rule of section 12.1."""
    denoiser = GemNetDenoiser(energy=True, **arguments)
    own = denoiser.state_dict()
    parameters = {name for name, _ in denoiser.named_parameters()}
    names = {
        theirs: ours for theirs, ours in published_keys(denoiser).items()
        if ours in parameters and "scale_factor" not in theirs and "seq_energy" not in theirs
    }
    for rank, name in enumerate(sorted(names)):
        value = own[names[name]]
        i = np.arange(1, value.numel() + 1, dtype=np.float64)
        v = np.sin(12.9898 * i + 78.233 * (rank + 1)) * 43758.5453
        u = v - np.floor(v)
        if value.dim() == 1:
            size = 0.1
        elif name == "gemnet.atom_emb.embeddings.weight":
            size = 3**0.5
        elif value.dim() == 2:
            size = (3 / value.shape[1]) ** 0.5
        else:
            size = (3 / (value.shape[0] * value.shape[1])) ** 0.5
        value.copy_(torch.from_numpy((2 * u - 1) * size).float().reshape(value.shape))
    return denoiser.eval(), len(names)


@pytest.fixture(scope="module")
def base():
    return filled()


@pytest.fixture(scope="module")
def seen(base):
    """What every block gave, on the test batch."""
    denoiser, _ = base
    kept: dict[str, list] = {"h": [], "m": [], "T": [], "F": [], "S": []}
    names = {TripletInteraction: "T", OutputBlock: "F", LatticeBlock: "S"}

    def keep(module, _inputs, out):
        if isinstance(module, InteractionBlock):
            kept["h"].append(out[0].clone())
            kept["m"].append(out[1].clone())
        else:
            kept[names[type(module)]].append(out.clone())

    kinds = (InteractionBlock, *names)
    hooks = [m.register_forward_hook(keep) for m in denoiser.modules() if isinstance(m, kinds)]
    with torch.no_grad():
        answer = denoiser(NOISY, T)
    for hook in hooks:
        hook.remove()
    return answer, kept


def test_the_published_size(base):
    denoiser, tensors = base
    assert sum(p.numel() for p in denoiser.parameters()) == 44_562_043
    assert tensors == 221


def test_graph():
    found = graph.build(NOISY)
    degree = found.degree()
    assert torch.bincount(found.owner).tolist() == [80, 100]
    assert degree.tolist() == [27, 25, 28, 50, 50]
    assert int((degree * (degree - 1)).sum()) == 6958
    assert float(found.distance.double().sum()) == pytest.approx(959.52985, abs=2e-4)
    assert torch.unique(found.distance)[:4].tolist() == pytest.approx([2.896876, 2.983409, 3.120719, 3.202175], abs=1e-5)


@pytest.mark.parametrize("what", ["h", "m", "T", "F"])
def test_block_after_block(seen, what):
    _, kept = seen
    for i, (total, squares) in enumerate(GOLDEN["blocks"][what]):
        value = kept[what][i].double()
        assert float((value**2).sum()) == pytest.approx(squares, rel=1e-3)
        assert float(value.sum()) == pytest.approx(total, rel=1e-3, abs=1e-3 * squares**0.5)


def test_outputs(seen):
    answer, _ = seen
    told = GOLDEN["outputs"]
    for ours, numbers in ((answer.frac, told["pos"]), (answer.cell, told["cell"])):
        theirs = torch.tensor(numbers)
        assert float((ours - theirs).abs().max()) < 1e-3 * float(theirs.abs().max())
    assert answer.logits[0, :6].tolist() == pytest.approx(told["logits"], rel=1e-3)
    assert float(answer.logits.double().sum()) == pytest.approx(told["logits_sum"], rel=1e-4)
    assert float((answer.logits.double() ** 2).sum()) == pytest.approx(told["logits_squares"], rel=1e-4)


def test_adapter_model():
    denoiser, tensors = filled(properties=("chemical_system", "energy_above_hull"))
    assert tensors == 263
    scaler = denoiser.property_embeddings_adapt["energy_above_hull"].scaler
    scaler.means.fill_(0.03)
    scaler.stds.fill_(0.02)
    conditions = Conditions.of(
        chemical_system=multi_hot([frozenset({"Na", "Cl"}), frozenset({"Fe", "O"})]),
        energy_above_hull=torch.tensor([0.0, 0.05]),
    )
    for strength, name in ((0.0, "unconditional"), (1.0, "conditional")):
        with torch.no_grad():
            answer = guided(denoiser, strength)(NOISY, T, conditions)
        told = GOLDEN["adapter"][name]
        assert answer.frac[0].tolist() == pytest.approx(told["pos_a"], rel=1e-3)
        assert answer.frac[3].tolist() == pytest.approx(told["pos_b"], rel=1e-3)
        assert answer.cell[0].diagonal().tolist() == pytest.approx(told["cell_a"], rel=2e-3, abs=2e-6)
        assert answer.cell[1].diagonal().tolist() == pytest.approx(told["cell_b"], rel=1e-3)
        assert answer.logits[0, :4].tolist() == pytest.approx(told["logits"], rel=1e-3)


@pytest.mark.parametrize("case", GOLDEN["losses"])
def test_losses(case):
    logits = torch.zeros(5, 101)
    logits[torch.arange(5), CLEAN.numbers - 1] = 2.0
    answer = Prediction(frac=torch.full((5, 3), 0.1), cell=torch.full((2, 3, 3), -0.2), logits=logits)
    losses = CrystalDiffusion().loss(answer, Noised(CLEAN, NOISY, torch.tensor(case["t"])))
    assert losses.frac.tolist() == pytest.approx(case["pos"], rel=1e-4)
    assert losses.cell.tolist() == pytest.approx(case["cell"], rel=1e-4)
    assert losses.numbers.tolist() == pytest.approx(case["types"], rel=1e-4)
    assert float(losses.total.mean()) == pytest.approx(case["total"], rel=1e-4)


@pytest.mark.parametrize(("j", "mask", "ten", "zero"), GOLDEN["posterior"])
def test_species_posterior(j, mask, ten, zero):
    logits = torch.zeros(1, 101)
    logits[0, 10] = 2.0
    now = torch.tensor([j + 1])
    p = torch.softmax(MaskNoise().posterior_logits(torch.softmax(logits, -1), torch.tensor([101]), now, now - 1), -1)[0]
    assert [float(p[100]), float(p[10]), float(p[0])] == pytest.approx([mask, ten, zero], rel=3e-5)


@pytest.mark.parametrize(("std", "row"), GOLDEN["wrapped_score"])
def test_wrapped_score(std, row):
    delta = torch.zeros(4, 3)
    delta[:, 0] = torch.tensor([0.1, 0.4, 0.7, -0.3])
    ours = std * wrapped_score(delta, torch.full((4,), std))[:, 0]
    assert ours.tolist() == pytest.approx(row, abs=2e-6, rel=2e-5)


def test_polar_form_and_envelope():
    told = GOLDEN["polar"]
    assert symmetric(torch.tensor([told["cell"]]))[0].flatten().tolist() == pytest.approx(
        torch.tensor(told["symmetric"]).flatten().tolist(), abs=1e-6
    )
    x = torch.tensor([0.25, 0.5, 0.75, 0.99])
    assert envelope(x).tolist() == pytest.approx([0.98712158, 0.7734375, 0.24359131, 3.6239624e-5], abs=4e-6)
