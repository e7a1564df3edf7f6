"""Adapters worn together, and a scalar read off crystals."""

import copy

import numpy as np
import pytest
import torch

from model.conditions import Conditions
from model.constraints import Constraints
from model.data.cache import Dataset
from model.data.sources import mini
from model.diffusion.crystal import CrystalDiffusion
from model.network.denoiser import GemNetDenoiser
from model.properties.readouts import load, predict
from model.sampling.generate import generate
from model.sampling.guidance import guided
from model.sampling.model import CrystalModel, weights_hash
from model.sampling.wear import MisfitError, wear
from model.statistics import Statistics
from model.testing import famous
from model.training.regression import Lesson, teach
from model.training.run import RunError

TINY = {"hidden": 16, "num_blocks": 1, "num_radial": 16, "emb_size_trip": 8, "emb_size_bil_trip": 8, "num_atom": 1,
        "max_neighbors": 12}


def statistics():
    return Statistics(count=1, n_atoms={2: 1}, n_atoms_by_space_group={}, density=0.05, elements={},
                      chemical_systems=0, labels={})


@pytest.fixture(scope="module")
def base():
    torch.manual_seed(0)
    return CrystalModel(name="base", denoiser=GemNetDenoiser(**TINY).eval(), diffusion=CrystalDiffusion(),
                        statistics=statistics())


def adapted(base, name, seed):
    """An adapter that has learned something, on untouched base weights."""
    torch.manual_seed(seed)
    denoiser = GemNetDenoiser(**TINY, properties=(name,))
    denoiser.load_state_dict(denoiser.state_dict() | base.denoiser.state_dict())
    with torch.no_grad():
        denoiser.adapters.cond_mixin_layers[name][0].weight.normal_(std=0.3)
    return CrystalModel(name=f"on_{name}", denoiser=denoiser.eval(), diffusion=base.diffusion, statistics=statistics(),
                        properties=(name,), base=base.hash)


def test_terms_of_worn_adapters_add_up_over_the_free_answer(base):
    gap, group = adapted(base, "dft_band_gap", 1), adapted(base, "space_group", 2)
    both = wear(base, [gap, group])
    assert both.properties == ("dft_band_gap", "space_group")
    crystals, t = famous("rocksalt-NaCl"), torch.tensor([0.4])
    conditions = Conditions.of(dft_band_gap=torch.tensor([2.0]), space_group=torch.tensor([225.0]))
    with torch.no_grad():
        free = base.predict(crystals, t)
        one, two = (m.predict(crystals, t, conditions.only(*m.properties)) for m in (gap, group))
        worn = guided(both.predict, 2.0, both.taught_together)(crystals, t, conditions)
    expected = free.logits + 2 * (one.logits - free.logits) + 2 * (two.logits - free.logits)
    torch.testing.assert_close(worn.logits, expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(one.logits, free.logits)
    made = generate(both, Constraints(targets={"dft_band_gap": 2.0}, space_group=225, count=2), steps=16, redraws=0)
    assert len(made) == 2


def test_fully_fine_tuned_models_are_refused(base):
    gap, group = adapted(base, "dft_band_gap", 1), adapted(base, "space_group", 2)
    moved = copy.deepcopy(group.denoiser)
    with torch.no_grad():
        moved.fc_atom.bias.add_(0.1)
    full = CrystalModel(name="full", denoiser=moved, diffusion=base.diffusion, statistics=statistics(),
                        properties=("space_group",))
    assert weights_hash(gap.denoiser) == base.hash
    with pytest.raises(MisfitError, match="fine-tuned fully or from another base"):
        wear(base, [gap, full])
    with pytest.raises(MisfitError, match="both listen to dft_band_gap"):
        wear(base, [gap, adapted(base, "dft_band_gap", 3)])
    with pytest.raises(MisfitError, match="no property"):
        wear(base, [base])


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Famous crystals labelled with their volume an atom, a quantity that geometry alone decides."""
    folder = tmp_path_factory.mktemp("labelled")
    whole = mini()
    rows = np.arange(len(whole))
    volume = np.abs(np.linalg.det(np.asarray(whole.cell))) / whole.n_atoms
    for split, keep in (("train", rows % 3 != 0), ("val", rows % 3 == 0)):
        atoms = np.repeat(keep, whole.n_atoms)
        Dataset(pos=whole.pos[atoms], cell=whole.cell[keep], numbers=whole.numbers[atoms], n_atoms=whole.n_atoms[keep],
                ids=whole.ids[keep], labels={"volume": volume[keep].astype(np.float32)},
                manifest=dict(whole.manifest)).save(folder / split)
    return folder


def test_a_readout_learns_its_label_and_says_its_error(labelled, tmp_path):
    sizes = {"num_blocks": 1, "emb_size_atom": 32, "emb_size_edge": 32, "num_radial": 32, "emb_size_trip": 8,
             "emb_size_bil_trip": 8, "num_atom": 1, "cutoff": 6.0, "max_neighbors": 24}
    lesson = Lesson(epochs=60, batch_size=11, learning_rate=3e-3, patience=60, log10=True)
    readout, report = teach(labelled, "volume", tmp_path / "r", lesson, accelerator="cpu", progress=False, **sizes)
    assert report.mean_absolute_error < 0.6 * report.error_of_the_mean
    assert report.taught + report.held_out == len(mini())
    again, told = load(tmp_path / "r")
    assert told == report
    crystals = Dataset.load(labelled / "val").crystals()
    torch.testing.assert_close(predict(again, crystals), predict(readout, crystals))
    with pytest.raises(RunError, match="not overwritten"):
        teach(labelled, "volume", tmp_path / "r", lesson)


def test_labels_that_are_not_there_are_said(labelled, tmp_path):
    with pytest.raises(RunError, match="has no label 'hardness'; it has volume"):
        teach(labelled, "hardness", tmp_path / "r")
