"""A training run in a folder: begin, go on, and take the model out of it."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from model import checkpoints
from model.crystals import Crystals
from model.data.cache import Dataset
from model.diffusion.crystal import CrystalDiffusion
from model.diffusion.lattice import LatticeNoise
from model.diffusion.species import MaskNoise
from model.network.denoiser import GemNetDenoiser
from model.sampling.model import CrystalModel
from model.training.datamodule import CrystalBatches, newest_checkpoint
from model.training.lightning import pl
from model.training.module import Teaching
from model.training.presets import Recipe


class RunError(ValueError):
    """A run that cannot begin or go on; the sentence says why."""


def train(
    data: Path, run: Path, recipe: Recipe, *, accelerator: str = "auto", until: int | None = None,
    progress: bool = True, name: str = "base",
) -> CrystalModel:
    """Train a base model, or go on with the run that lies in the folder.

    Parameters
    ----------
    data
        Prepared crystals with the splits `train` and `val`.
    run
        Folder of the run: recipe, checkpoints, logs, and at the end `model/`.
    until
        Stop after this step, to go on later; None runs to the recipe's end.

    Raises RunError where the folder holds a run of another recipe, or the data lack a split.

    """
    train_set, val_set = _open(data, "train"), _open(data, "val")
    run.mkdir(parents=True, exist_ok=True)
    _agree(run, {"recipe": _plain(recipe), "data": train_set.manifest.get("fingerprint"), "name": name})
    torch.manual_seed(recipe.seed)  # initial weights only; all other randomness is an argument
    denoiser = GemNetDenoiser(**recipe.network)
    crystals = {"train": train_set.crystals(), "val": val_set.crystals()}
    diffusion = diffusion_for(recipe, crystals["train"], train_set.statistics.density)
    teaching = Teaching(denoiser, diffusion, recipe, crystals)
    batches = CrystalBatches(len(train_set), len(val_set), recipe)
    trainer = trainer_for(run, recipe, accelerator=accelerator, until=until, progress=progress)
    trainer.fit(teaching, datamodule=batches, ckpt_path=newest_checkpoint(run))
    reached = run / "checkpoints" / f"step={trainer.global_step}.ckpt"
    if not reached.exists():  # stopped between two checkpoints: nothing of it is lost
        trainer.save_checkpoint(reached)
    network = denoiser if teaching.averaged is None else teaching.averaged.module
    facts = {
        "trained_on": train_set.manifest.get("fingerprint"), "crystals": len(train_set),
        "steps": trainer.global_step, "recipe": _plain(recipe),
    }
    model = CrystalModel(name=name, denoiser=network.eval(), diffusion=diffusion, statistics=train_set.statistics,
                         facts=facts)
    if trainer.global_step >= recipe.steps and not (run / "model").exists():
        checkpoints.save(model, run / "model")
    return model


def diffusion_for(recipe: Recipe, crystals: Crystals, density: float) -> CrystalDiffusion:
    """The diffusion of a base model: its lattice drifts to the data's density, and knows its spread where asked."""
    scaled = crystals.cell / crystals.n_atoms[:, None, None] ** (1 / 3)
    mean = scaled.diagonal(dim1=-2, dim2=-1).mean()
    spread = ((scaled - mean * torch.eye(3)) ** 2).mean().sqrt()
    known = (round(float(mean), 4), round(float(spread), 4)) if recipe.know_cells else None
    return CrystalDiffusion(
        lattice=LatticeNoise(density=density, beforehand=known), species=MaskNoise(hybrid=recipe.hybrid)
    )


def trainer_for(
    run: Path, recipe: Recipe, *, accelerator: str, until: int | None, progress: bool
) -> pl.Trainer:
    """Lightning's trainer as this project uses it: steps, not epochs; two newest checkpoints; CSV and TensorBoard."""
    keep = pl.callbacks.ModelCheckpoint(
        dirpath=run / "checkpoints", filename="{step}", monitor="step", mode="max", save_top_k=2,
        every_n_train_steps=recipe.checkpoint_every, save_on_train_epoch_end=False,
    )
    return pl.Trainer(
        accelerator=accelerator,
        devices=1,
        precision=recipe.precision,
        max_steps=min(recipe.steps, until or recipe.steps),
        max_epochs=-1,
        val_check_interval=recipe.validate_every,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        gradient_clip_val=recipe.clip or None,
        gradient_clip_algorithm=recipe.clip_by,
        callbacks=[keep, *([pl.callbacks.TQDMProgressBar(refresh_rate=20)] if progress else [])],
        logger=_loggers(run),
        log_every_n_steps=20,
        enable_progress_bar=progress,
        enable_model_summary=False,
        default_root_dir=run,
    )


def _loggers(run: Path) -> list[Any]:
    loggers: list[Any] = [pl.loggers.CSVLogger(run, name="logs")]
    try:
        loggers.append(pl.loggers.TensorBoardLogger(run, name="tensorboard"))
    except ModuleNotFoundError:
        print("TensorBoard is not installed: losses are written as CSV only.")
    return loggers


def _open(data: Path, split: str) -> Dataset:
    if not (data / split).exists():
        raise RunError(f"{data} holds no {split!r} split; prepare it: workbench data prepare {split}.csv --out {data}")
    return Dataset.load(data / split)


def _plain(recipe: Recipe) -> dict[str, Any]:
    return json.loads(json.dumps(asdict(recipe)))


def _agree(run: Path, told: Mapping[str, Any]) -> None:
    """Write the run's recipe, or check that the run that lies there has the same one."""
    path = run / "run.json"
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        differ = [k for k in told["recipe"] if before["recipe"].get(k) != told["recipe"][k]]
        differ += [k for k in ("data", "name") if before[k] != told[k]]
        if differ:
            raise RunError(
                f"{run} holds a run with other {', '.join(differ)}; name another folder, or repeat its recipe."
            )
        return
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)
