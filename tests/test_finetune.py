"""Fine-tuning: the base stays as it was, labels are checked first, tables of one's own become named models."""

import csv

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from model import checkpoints
from model.data.cache import Dataset
from model.data.sources import MINI, SourceError, mini
from model.diffusion.crystal import CrystalDiffusion
from model.network.denoiser import GemNetDenoiser
from model.sampling.model import ADAPTERS, CrystalModel, weights_hash
from model.training import lessons
from model.training.finetune import ADAPTER, coverage, finetune, listening
from model.training.lessons import LessonError, finetune_on, prepare_table
from model.training.run import RunError
from workbench.cli import app

TINY = {"hidden": 16, "num_blocks": 1, "num_radial": 16, "emb_size_trip": 8, "emb_size_bil_trip": 8, "num_atom": 1,
        "max_neighbors": 12}
QUICK = ADAPTER.but(steps=12, warmup=2, batch_size=8, validate_every=6, checkpoint_every=6, validation_crystals=32,
                    average=0.8)


def volumes(dataset):
    """Volume an atom, a label that the cell alone decides."""
    return (np.abs(np.linalg.det(np.asarray(dataset.cell))) / dataset.n_atoms).astype(np.float32)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labelled")
    whole = mini()
    some = np.where(np.arange(len(whole)) < 20, np.nan, 1.0).astype(np.float32)
    labels = {"volume": volumes(whole), "same": np.full(len(whole), 3.0, np.float32), "some": some * volumes(whole),
              "space_group": whole.labels["space_group"]}
    for split in ("train", "val"):
        Dataset(pos=whole.pos, cell=whole.cell, numbers=whole.numbers, n_atoms=whole.n_atoms, ids=whole.ids,
                labels=labels, manifest=dict(whole.manifest)).save(folder / split)
    return folder


@pytest.fixture
def base(tmp_path, monkeypatch):
    """A base model that can be found by its hash."""
    monkeypatch.setenv("WORKBENCH_MODELS", str(tmp_path / "models"))
    torch.manual_seed(0)
    made = CrystalModel(name="little", denoiser=GemNetDenoiser(**TINY).eval(), statistics=mini().statistics,
                        diffusion=CrystalDiffusion())
    checkpoints.save(made, tmp_path / "models" / "little")
    return made


def test_adapters_learn_while_the_base_stays(data, base, tmp_path):
    made = finetune(data, tmp_path / "run", base, ["volume"], QUICK.but(steps=80, learning_rate=3e-3), name="wide",
                    accelerator="cpu", progress=False)
    assert weights_hash(made.denoiser) == base.hash
    assert made.base == base.hash
    heard = listening(made, data)
    assert heard.gain > 0
    assert heard.n == len(mini())


def test_adapters_alone_are_written_and_find_their_base(data, base, tmp_path):
    made = finetune(data, tmp_path / "run", base, ["volume"], QUICK, name="wide", accelerator="cpu", progress=False)
    weights = checkpoints.read_tensors(tmp_path / "run" / "model" / "model.safetensors")
    assert all(name.startswith(ADAPTERS) for name in weights)
    again = checkpoints.load(tmp_path / "run" / "model")
    assert again.hash == made.hash
    assert again.statistics.labels["volume"].n == len(mini())
    (tmp_path / "models" / "little").rename(tmp_path / "elsewhere")
    with pytest.raises(checkpoints.CheckpointError, match=r"their base .* is not here"):
        checkpoints.load(tmp_path / "run" / "model")


def test_all_weights_may_change(data, base, tmp_path):
    made = finetune(data, tmp_path / "run", base, ["volume", "chemical_system"], QUICK, name="full", full=True,
                    accelerator="cpu", progress=False)
    assert made.base is None
    assert weights_hash(made.denoiser) != base.hash
    assert checkpoints.load(tmp_path / "run" / "model").properties == ("volume", "chemical_system")


def test_stopped_and_gone_on_equals_never_stopped(data, base, tmp_path):
    def tune(run, **more):
        return finetune(data, tmp_path / run, base, ["space_group"], QUICK, name="s", accelerator="cpu",
                        progress=False, **more)

    whole = tune("whole")
    tune("parts", until=7)
    assert not (tmp_path / "parts" / "model").exists()
    assert tune("parts").hash == whole.hash


def test_it_ends_early_where_nothing_is_gained(data, base, tmp_path):
    hopeless = QUICK.but(steps=200, learning_rate=0.5, warmup=0, validate_every=2, patience=2, average=0.0)
    made = finetune(data, tmp_path / "run", base, ["volume"], hopeless, name="h", accelerator="cpu", progress=False)
    assert made.facts["steps"] < 200
    assert (tmp_path / "run" / "model").exists()


def test_what_cannot_be_taught_is_said_first(data, base, tmp_path):
    def tune(*properties, on=base):
        return finetune(data, tmp_path / "run", on, properties, QUICK, name="x", accelerator="cpu", progress=False)

    with pytest.raises(RunError, match="no label 'volum'; they have"):
        tune("volum")
    with pytest.raises(RunError, match="Too few: 45 of 65 crystals have some"):
        tune("some")
    with pytest.raises(RunError, match="All 65 crystals have the same same, 3"):
        tune("same")
    deaf = CrystalModel(name="taught", denoiser=GemNetDenoiser(**TINY, properties=("volume",)), statistics=base.statistics,
                        diffusion=base.diffusion, properties=("volume",))
    with pytest.raises(RunError, match="listens to volume already"):
        tune("space_group", on=deaf)
    assert not (tmp_path / "run").exists()
    assert coverage(data, ["volume"]).verdict.startswith("Few: 65 of 65 crystals have volume")


def table(path, rows=200, **columns):
    """A CSV of mini crystals again and again, with extra columns made from the row number."""
    with open(MINI, newline="") as file:
        known = list(csv.DictReader(file))
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, ["material_id", "cif", *columns])
        writer.writeheader()
        for row in range(rows):
            made = {name: column(row) for name, column in columns.items()}
            writer.writerow({"material_id": f"own-{row}", "cif": known[row % len(known)]["cif"]} | made)
    return path


def test_a_table_of_ones_own_becomes_a_named_model(base, tmp_path):
    import pandas as pd

    own = table(tmp_path / "own.csv", rows=70, hardness=lambda row: "" if row % 35 == 7 else 1.0 + row % 65)
    said = []
    made, known, heard = finetune_on(
        pd.read_csv(own), "hardness", name="hard", run=tmp_path / "run", base=base,
        recipe=QUICK, accelerator="cpu", progress=False, say=said.append,
    )
    assert known.taught + known.held_out == 68
    assert heard.n == known.held_out == 6
    assert said[0].startswith("Few: 62 of 62")
    assert "hard" in checkpoints.available()
    assert checkpoints.load("hard").hash == made.hash
    assert lessons.keep(tmp_path / "run" / "model", "hard") == tmp_path / "models" / "hard"
    with pytest.raises(LessonError, match="another model 'hard'"):
        lessons.keep(tmp_path / "models" / "little", "hard")
    with pytest.raises(LessonError, match="another model 'hard'"):  # said before anything is taught
        finetune_on(own, "hardness", name="hard", run=tmp_path / "new", base=base)
    assert not (tmp_path / "new").exists()


def test_faulty_tables_get_sentences(base, tmp_path):
    def tune(column, path):
        return finetune_on(path, column, name="x", run=tmp_path / column, base=base, recipe=QUICK, progress=False,
                           accelerator="cpu", say=said.append)

    said = []
    path = table(tmp_path / "own.csv", rows=80, hard=float, mixed=lambda row: "soft" if row % 2 else row,
                 text=lambda row: "soft", flat=lambda row: 5, empty=lambda row: "")
    with pytest.raises(SourceError, match="lacks the column hrad; it has material_id, cif, hard"):
        tune("hrad", path)
    with pytest.raises(SourceError, match=r"None of the 80 rows .*80 × wrong type"):
        tune("text", path)
    with pytest.raises(RunError, match="the same flat, 5"):
        tune("flat", path)
    with pytest.raises(LessonError, match="0 usable crystals with empty"):
        tune("empty", path)
    with pytest.raises(RunError, match="Too few: 36"):
        tune("mixed", path)
    assert said[-2].startswith("40 rows could not be used (40 × wrong type)")
    with pytest.raises(LessonError, match="already; choose another"):
        finetune_on(path, "hard", name="base", run=tmp_path / "y", base=base)
    with pytest.raises(LessonError, match="is no name for a model"):
        finetune_on(path, "hard", name="../x", run=tmp_path / "y", base=base)


def test_half_labelled_crystals_are_left_out(tmp_path):
    path = table(tmp_path / "own.csv", rows=60, a=float, b=lambda row: "" if row < 20 else row)
    folder = prepare_table(path, ["a", "b"], tmp_path / "out")
    assert len(Dataset.load(folder / "train")) == 36
    assert len(Dataset.load(folder / "val")) == 4


def test_the_command_line_speaks_in_sentences(tmp_path):
    run = CliRunner().invoke(app, ["finetune", "--name", "x", "--out", str(tmp_path / "o"), "--property", "hardness",
                                   "--table", str(tmp_path / "none.csv")])
    assert run.exit_code == 2
    assert "There is no file" in run.output
    run = CliRunner().invoke(app, ["finetune", "--name", "x", "--out", str(tmp_path / "o")])
    assert run.exit_code == 2
    assert "--property" in run.output
    run = CliRunner().invoke(app, ["finetune", "--name", "base", "--out", str(tmp_path / "o"), "--property", "hardness",
                                   "--table", str(tmp_path / "none.csv")])
    assert run.exit_code == 2
    assert "already; choose another" in run.output
