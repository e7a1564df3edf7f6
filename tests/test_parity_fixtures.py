"""The published implementation's answers, reproduced array by array. The folder is PARITY_DIR (default ../shared/parity)."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

import model
from model.conditions import Conditions
from model.crystals import Crystals, Prediction
from model.diffusion.crystal import Noised
from model.diffusion.lattice import symmetric_noise
from model.diffusion.schedule import keep_probability
from model.network import graph
from model.network.embeddings import multi_hot
from model.randomness import Streams
from model.sampling.guidance import guided

ROOT = Path(__file__).resolve().parents[1]
FOLDER = Path(os.environ.get("PARITY_DIR", ROOT.parent / "shared" / "parity"))
SCHEDULE, NETWORK, LOSS = 1e-5, 1e-4, 1e-4  # shares of each array's largest value

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"the parity fixtures are not at {FOLDER}; set PARITY_DIR")

BASE = "base"
ADAPTERS = sorted(p.name.removesuffix("_forward.npz") for p in FOLDER.glob("*_forward.npz") if p.name != "base_forward.npz")
MOMENTS = ("late", "mid", "early", "last")


def arrays(name):
    with np.load(FOLDER / name) as file:
        return {key: torch.from_numpy(file[key]) if file[key].dtype.kind in "fi" else file[key] for key in file.files}


def crystals(told, suffix=""):
    return Crystals(
        frac=told["frac_coords" + suffix], cell=told["lattice" + suffix], numbers=told["atomic_numbers" + suffix],
        n_atoms=told["num_atoms"],
    )


def agree(ours, theirs, tolerance, *, periodic=False):
    difference = (ours - theirs).abs()
    if periodic:
        difference = torch.minimum(difference, 1 - difference)
    assert torch.isfinite(ours).all()
    assert ours.shape == theirs.shape
    assert float(difference.max()) <= tolerance * float(theirs.abs().max())


@pytest.fixture(scope="module")
def forward():
    return arrays("base_forward.npz")


@pytest.fixture(scope="module")
def base():
    return model.load(FOLDER / BASE)


@pytest.mark.parametrize("n", [1, 2, 5, 10, 20])
def test_schedules(base, n):
    told = arrays("schedules.npz")
    t, counts = told["t"], torch.full_like(told["t"], n, dtype=torch.long)
    lattice = base.diffusion.lattice
    agree(base.diffusion.coordinates.std(t, counts), told[f"coords_std_n{n}"], SCHEDULE)
    agree(lattice.std(t, counts)[:, None, None].expand(-1, 3, 3), told[f"lattice_std_n{n}"], SCHEDULE)
    agree(lattice.alpha(t), told["lattice_mean_coeff"], SCHEDULE)
    zero = torch.zeros(len(t), 3, 3)
    agree(lattice.corrupt(zero, zero, t, counts), told[f"lattice_mean_of_zero_n{n}"], SCHEDULE)


def test_species_marginals_and_posteriors(base):
    told = arrays("schedules.npz")
    steps = told["d3pm_steps"]
    clean = torch.nn.functional.one_hot(torch.full_like(steps, 25), 101).float()
    agree(base.diffusion.species.marginal(clean, steps), told["d3pm_q_probs"], SCHEDULE)
    j = told["posterior_t"]
    ours = base.diffusion.species.posterior_logits(told["posterior_x0_probs"], told["posterior_x_t"] + 1, j + 1, j)
    agree(ours, told["posterior_logits"], SCHEDULE)
    assert keep_probability(torch.tensor([0, 1000])).tolist() == [1.0, 0.0]


def test_graph_exactly(forward):
    found = graph.build(crystals(forward))
    assert torch.bincount(found.owner).tolist() == forward["num_edges"].tolist()
    degree = found.degree()
    assert int((degree * (degree - 1)).sum()) == int(forward["num_triplets"])
    assert float((found.distance.sort().values - forward["sorted_distances"]).abs().max()) < 1e-4


def test_network(base, forward):
    with torch.no_grad():
        answer = base.predict(crystals(forward), forward["t"])
    for ours, name in ((answer.frac, "out_coords"), (answer.cell, "out_lattice"), (answer.logits, "out_logits")):
        agree(ours, forward[name], NETWORK)


def test_scores_targets_and_losses(base, forward):
    noisy, clean, t, n = crystals(forward), crystals(forward, "_clean"), forward["t"], forward["num_atoms"]
    diffusion = base.diffusion
    std = diffusion.coordinates.std(t, n).repeat_interleave(n)[:, None]
    cell_std = diffusion.lattice.std(t, n)[:, None, None]
    agree(std, forward["coords_marginal_std"], SCHEDULE)
    agree(cell_std.expand(-1, 3, 3), forward["lattice_marginal_std"], SCHEDULE)
    zero = torch.zeros_like(clean.cell)
    agree(diffusion.lattice.corrupt(clean.cell, zero, t, n), forward["lattice_marginal_mean"], SCHEDULE)
    agree(diffusion.coordinates.target(clean.frac, noisy.frac, t, n) / std, forward["wrapped_score"], NETWORK)
    theirs = Prediction(frac=forward["out_coords"], cell=forward["out_lattice"], logits=forward["out_logits"])
    agree(theirs.frac / std, forward["score_coords"], SCHEDULE)
    agree(theirs.cell / cell_std, forward["score_lattice"], SCHEDULE)
    losses = diffusion.loss(theirs, Noised(clean, noisy, t))
    names = ("loss_total", "loss_pos", "loss_cell", "loss_atomic_numbers")
    for ours, name in zip(losses, names, strict=True):
        assert float(ours.mean()) == pytest.approx(float(forward[name]), rel=LOSS)


@pytest.mark.parametrize("moment", MOMENTS)
def test_one_predictor_step(base, forward, moment):
    told = {k.removeprefix(f"{moment}_"): v for k, v in arrays("sampler_steps.npz").items()}
    noisy, t, n = crystals(forward), told["t"], forward["num_atoms"]
    s = (t + told["dt"]).clamp(min=0)
    s = torch.where(s < 1e-6, torch.zeros_like(s), s)
    x, lattice = base.diffusion.coordinates, base.diffusion.lattice
    frac = forward["score_coords"] * x.std(t, n).repeat_interleave(n)[:, None]
    cells = forward["score_lattice"] * lattice.std(t, n)[:, None, None]
    scalar = symmetric_noise(told["pred_lattice_noise"].expand(-1, 3, 3))
    shaken = told["pred_coords_noise"]
    agree(x.step(noisy.frac, frac, t, s, shaken, n, 1.0), told["pred_coords_sample"], SCHEDULE, periodic=True)
    agree(x.step(noisy.frac, frac, t, s, 0 * shaken, n, 1.0), told["pred_coords_mean"], SCHEDULE, periodic=True)
    agree(lattice.step(noisy.cell, cells, t, s, scalar, n, 1.0), told["pred_lattice_sample"], SCHEDULE)
    agree(lattice.step(noisy.cell, cells, t, s, 0 * scalar, n, 1.0), told["pred_lattice_mean"], SCHEDULE)


class Fixed(Streams):
    """A stream that gives the fixture's draws."""

    def __init__(self, atoms, cells):
        self.atoms, self.cells = atoms, cells

    def normal_atoms(self, n_atoms, width=3):
        return self.atoms

    def normal(self, width):
        return self.cells.reshape(-1, 9)


@pytest.mark.parametrize("moment", MOMENTS)
def test_one_corrector_step(base, forward, moment):
    told = {k.removeprefix(f"{moment}_"): v for k, v in arrays("sampler_steps.npz").items()}
    noisy, t, n = crystals(forward), told["t"], forward["num_atoms"]
    s = (t + told["dt"]).clamp(min=0)
    answer = Prediction(
        frac=forward["score_coords"] * base.diffusion.coordinates.std(t, n).repeat_interleave(n)[:, None],
        cell=forward["score_lattice"] * base.diffusion.lattice.std(t, n)[:, None, None],
        logits=forward["out_logits"],
    )
    draws = Fixed(told["corr_coords_noise"], told["corr_lattice_noise"])
    ours = base.diffusion.correct(noisy, answer, t, s, draws, averaged=True)
    agree(ours.frac, told["corr_coords_sample"], SCHEDULE, periodic=True)
    agree(ours.cell, told["corr_lattice_sample"], SCHEDULE)


def conditions_of(told):
    values = {}
    for key, value in told.items():
        name = key.removeprefix("condition_")
        if key == "condition_chemical_system":
            values[name] = multi_hot([frozenset(str(s).split("-")) for s in value])
        elif name != key:
            values[name] = value.float()
    return Conditions.of(**values)


@pytest.mark.parametrize("name", ADAPTERS)
@pytest.mark.parametrize(("label", "strength"), [("uncond", 0.0), ("cond", 1.0), ("guided2", 2.0)])
def test_adapters_and_guidance(forward, name, label, strength):
    listening, told = model.load(FOLDER / name), arrays(f"{name}_forward.npz")
    with torch.no_grad():
        answer = guided(listening.predict, strength)(crystals(forward), forward["t"], conditions_of(told))
    for ours, what in ((answer.frac, "coords"), (answer.cell, "lattice"), (answer.logits, "logits")):
        agree(ours, told[f"{label}_out_{what}"], NETWORK)


@pytest.mark.skipif(not (FOLDER / "bench16.npz").exists(), reason="these fixtures hold no batch for timing")
def test_edges_of_the_timing_batch_are_mirrored():
    noisy = crystals(arrays("bench16.npz"))
    found = graph.build(noisy)
    assert (found.distance <= 7.0).all()
    swap = graph.swapped(torch.arange(len(found.source)))
    assert (found.source[swap] == found.target).all()
