"""Training: losses fall, a killed run goes on exactly, other recipes are refused, the process needs little."""

import csv
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from model import checkpoints
from model.data.cache import Dataset
from model.data.sources import mini
from model.training.datamodule import Steps, newest_checkpoint
from model.training.module import forget_some
from model.training.presets import PRESETS
from model.training.run import RunError, train

ROOT = Path(__file__).resolve().parents[1]
QUICK = PRESETS["tiny"].but(steps=12, warmup=2, validate_every=6, checkpoint_every=4, validation_crystals=16, batch_size=8)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    whole = mini()
    for split in ("train", "val"):
        whole.save(folder / split)
    assert len(Dataset.load(folder / "train")) == len(whole)
    return folder


def losses(run):
    """Every logged value of every step, newest log last."""
    found = {}
    for path in sorted(run.glob("logs/version_*/metrics.csv")):
        with path.open() as file:
            for row in csv.DictReader(file):
                for name, value in row.items():
                    if value and name not in ("epoch", "step"):
                        found[(name, int(row["step"]))] = float(value)
    return found


def test_a_run_leaves_logs_checkpoints_and_a_model(data, tmp_path):
    made = train(data, tmp_path / "run", QUICK, accelerator="cpu", progress=False)
    run = tmp_path / "run"
    assert {p.name for p in run.iterdir()} >= {"run.json", "checkpoints", "logs", "model"}
    assert newest_checkpoint(run).name == "step=12.ckpt"
    again = checkpoints.load(run / "model")
    assert again.hash == made.hash
    assert again.statistics.count == len(mini())
    assert ("loss_val", 5) in losses(run)


def test_stopped_and_gone_on_equals_never_stopped(data, tmp_path):
    whole = train(data, tmp_path / "whole", QUICK, accelerator="cpu", progress=False)
    train(data, tmp_path / "parts", QUICK, accelerator="cpu", progress=False, until=5)
    parts = train(data, tmp_path / "parts", QUICK, accelerator="cpu", progress=False)
    assert parts.hash == whole.hash
    one, two = losses(tmp_path / "whole"), losses(tmp_path / "parts")
    for key in [k for k in one if k[0].endswith("_val")]:
        assert two[key] == pytest.approx(one[key], abs=1e-6)


def test_killed_in_mid_run_and_begun_again(data, tmp_path):
    """SIGKILL as soon as the first checkpoint is there; the same command then ends where an unbroken run ends."""
    options = ["--data", str(data), "--preset", "tiny", "--steps", "40", "--checkpoint-every", "4", "--batch-size", "8",
               "--validate-every", "20", "--accelerator", "cpu", "--quiet"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}

    def command(out):
        return [sys.executable, "-m", "model", "train", "--out", str(out), *options]

    def begin(out):
        return subprocess.Popen(command(out), cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    process = begin(tmp_path / "killed")
    deadline = time.monotonic() + 120
    while newest_checkpoint(tmp_path / "killed") is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "model").exists()
    assert begin(tmp_path / "killed").wait(300) == 0
    assert begin(tmp_path / "whole").wait(300) == 0
    one, two = (checkpoints.load(tmp_path / name / "model") for name in ("killed", "whole"))
    assert one.hash == two.hash


def test_training_lowers_the_loss(data, tmp_path):
    recipe = QUICK.but(steps=150, validate_every=30, checkpoint_every=150, validation_crystals=64, learning_rate=3e-3)
    train(data, tmp_path / "run", recipe, accelerator="cpu", progress=False)
    curve = [v for (name, _), v in sorted(losses(tmp_path / "run").items(), key=lambda kv: kv[0][1]) if name == "loss_val"]
    assert curve[-1] < 0.8 * curve[0]


def test_another_recipe_or_missing_split_is_refused(data, tmp_path):
    train(data, tmp_path / "run", QUICK.but(steps=2), accelerator="cpu", progress=False)
    with pytest.raises(RunError, match="learning_rate"):
        train(data, tmp_path / "run", QUICK.but(steps=2, learning_rate=9e-9), accelerator="cpu", progress=False)
    with pytest.raises(RunError, match="no 'train' split"):
        train(tmp_path, tmp_path / "other", QUICK, accelerator="cpu", progress=False)


def test_a_damaged_checkpoint_is_passed_over(tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    torch.save({"state_dict": {}}, folder / "step=4.ckpt")
    (folder / "step=8.ckpt").write_bytes(b"PK broken")
    assert newest_checkpoint(tmp_path).name == "step=4.ckpt"


def test_batches_are_functions_of_seed_and_step():
    whole = list(Steps(20, 6, 3, 0, 9))
    assert [b.rows.tolist() for b in Steps(20, 6, 3, 4, 9)] == [b.rows.tolist() for b in whole[4:]]
    first_epoch = torch.cat([b.rows for b in whole[:3]]).tolist()
    assert len(set(first_epoch)) == 18


def test_label_dropout_has_the_published_chances():
    from model.conditions import Conditions
    from model.randomness import Streams

    n = 20_000
    values = torch.ones(n)
    values[: n // 10] = float("nan")
    kept = forget_some(Conditions.of(a=torch.ones(n), b=values), Streams(0, torch.arange(n)), 0.2).known
    complete = slice(n // 10, None)
    both, neither = kept["a"][complete] & kept["b"][complete], ~kept["a"][complete] & ~kept["b"][complete]
    assert float(both.float().mean()) == pytest.approx(0.64, abs=0.02)
    assert float(neither.float().mean()) == pytest.approx(0.04, abs=0.01)
    assert not kept["a"][: n // 10].any()


@pytest.mark.parametrize("name", ["lightning", "pytorch_lightning"])
def test_the_training_process_needs_torch_numpy_and_one_lightning(data, tmp_path, name):
    """pymatgen, pandas and the workbench are walled off; so is one of Lightning's two names."""
    pytest.importorskip(name)
    other = {"lightning": "pytorch_lightning", "pytorch_lightning": "lightning"}[name]
    walls = ["pymatgen", "pandas", "workbench", "jaxtyping", "typer", "chgnet", "ase", other]
    code = f"""
import sys
sys.modules.update(dict.fromkeys({walls!r}))  # None: importing it fails as if it were not installed
from model.cli import main
main(['train', '--data', {str(data)!r}, '--out', {str(tmp_path / "run")!r}, '--preset', 'tiny', '--steps', '2', '--quiet', '--accelerator', 'cpu'])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "run" / "model" / "model.json").exists()


@pytest.mark.parametrize("times", ["even", "plain"])
def test_times_are_uniform_and_even_ones_have_a_share_each(times, data):
    from model.diffusion.crystal import CrystalDiffusion
    from model.diffusion.schedule import training_times
    from model.randomness import Streams
    from model.training.module import Teaching

    recipe = QUICK.but(times=times)
    teaching = Teaching(torch.nn.Linear(1, 1), CrystalDiffusion(), recipe, {})
    many = torch.stack([teaching._times(Streams(0, torch.arange(16), torch.full((16,), step))) for step in range(500)])
    shares = training_times(torch.arange(17) / 16)
    inside = ((many >= shares[:-1]) & (many <= shares[1:])).float().mean()
    assert inside == 1.0 if times == "even" else inside < 0.2
    edges = training_times(torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0]))
    for low, high in itertools.pairwise(edges):
        assert ((many >= low) & (many < high)).float().mean() == pytest.approx(0.25, abs=0.03)


def test_times_of_an_unknown_kind_are_a_sentence():
    with pytest.raises(ValueError, match="even or plain; found 'odd'"):
        QUICK.but(times="odd")
