"""A training run in a folder: begin, go on, and take the model out of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
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
    progress: bool = True, name: str = "base", start: CrystalModel | None = None,
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
    start
        A model whose weights and diffusion the run begins with, instead of chance and the data's own; its network
        takes the place of the recipe's.

    Raises RunError where the folder holds a run of another recipe, or the data lack a split.

    """
    splits = {split: open_split(data, split) for split in ("train", "val")}
    recipe = recipe if start is None else recipe.but(network=sizes_of(start))
    told = {"recipe": plain(recipe), "data": splits["train"].manifest.get("fingerprint"), "name": name,
            "start": start.hash if start else None}
    torch.manual_seed(recipe.seed)  # initial weights only; all other randomness is an argument
    denoiser = GemNetDenoiser(**recipe.network)
    crystals = {split: dataset.crystals() for split, dataset in splits.items()}
    if start is None:
        diffusion = diffusion_for(recipe, crystals["train"], splits["train"].statistics.density)
    else:
        denoiser.load_state_dict(start.denoiser.state_dict())
        diffusion = start.diffusion
    teaching = Teaching(denoiser, diffusion, recipe, crystals)
    facts = {"started_from": start.hash} if start else {}
    model = CrystalModel(name=name, denoiser=denoiser, diffusion=diffusion, statistics=splits["train"].statistics,
                         facts=facts)
    return fit(teaching, model, run, told, accelerator=accelerator, until=until, progress=progress)


def fit(
    teaching: Teaching, model: CrystalModel, run: Path, told: Mapping[str, Any], *, accelerator: str = "auto",
    until: int | None = None, progress: bool = True, patience: int = 0,
) -> CrystalModel:
    """Walk a run as far as asked, in its folder, and give the model with the weights it has reached.

    `model` holds the denoiser that is taught; `told` is what the run's folder remembers of its making. With `patience`
    a run ends after so many validations without a lower loss, and the weights of the lowest are taken. Raises RunError
    where the folder holds another run.
    """
    recipe = teaching.recipe
    run.mkdir(parents=True, exist_ok=True)
    _agree(run, told)
    rows = {split: len(crystals) for split, crystals in teaching.crystals.items()}
    waiting = _patience(run, patience) if patience else []
    trainer = trainer_for(run, recipe, accelerator=accelerator, until=until, progress=progress, callbacks=waiting)
    batches = CrystalBatches(rows["train"], rows["val"], recipe)
    trainer.fit(teaching, datamodule=batches, ckpt_path=newest_checkpoint(run))
    reached = run / "checkpoints" / f"step={trainer.global_step}.ckpt"
    if not reached.exists():  # stopped between two checkpoints: nothing of it is lost
        trainer.save_checkpoint(reached)
    over = trainer.global_step >= recipe.steps or trainer.should_stop
    if over and waiting:
        _take_best(teaching, waiting[1].best_model_path)
    network = teaching.denoiser if teaching.averaged is None else teaching.averaged.module
    facts = {"trained_on": told.get("data"), "crystals": rows["train"], "steps": trainer.global_step,
             "recipe": plain(recipe), **model.facts}
    model = replace(model, denoiser=network.eval(), facts=facts)
    if over and not (run / "model").exists():
        checkpoints.save(model, run / "model")
    return model


def _patience(run: Path, patience: int) -> list[Any]:
    """Watch the held-out loss, and keep the weights of its lowest."""
    return [
        pl.callbacks.EarlyStopping("loss_val", patience=patience, mode="min"),
        pl.callbacks.ModelCheckpoint(
            dirpath=run / "checkpoints", filename="best", monitor="loss_val", mode="min", save_top_k=1,
            save_weights_only=True, enable_version_counter=False,
        ),
    ]


def _take_best(teaching: Teaching, path: str) -> None:
    if path and Path(path).exists():
        state = torch.load(path, map_location=teaching.device, weights_only=True)["state_dict"]
        teaching.load_state_dict(state)


def sizes_of(model: CrystalModel) -> dict[str, Any]:
    """What a network like this model's, without its adapters, is made with."""
    return {k: v for k, v in model.denoiser.arguments.items() if k not in ("properties", "log10")}


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
    run: Path, recipe: Recipe, *, accelerator: str, until: int | None, progress: bool,
    callbacks: Sequence[pl.Callback] = (),
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
        callbacks=[keep, *callbacks, *([pl.callbacks.TQDMProgressBar(refresh_rate=20)] if progress else [])],
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


def open_split(data: Path, split: str) -> Dataset:
    """One split of prepared crystals. Raises RunError where it is missing."""
    if not (data / split).exists():
        raise RunError(f"{data} holds no {split!r} split; prepare it: workbench data prepare {split}.csv --out {data}")
    return Dataset.load(data / split)


def plain(recipe: Recipe) -> dict[str, Any]:
    """A recipe as JSON tells it."""
    return json.loads(json.dumps(asdict(recipe)))


def _agree(run: Path, told: Mapping[str, Any]) -> None:
    """Write the run's recipe, or check that the run that lies there has the same one."""
    path = run / "run.json"
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        recipe = plain(Recipe()) | before["recipe"]  # an entry that is younger than the run stood at its default
        differ = [k for k in told["recipe"] if recipe[k] != told["recipe"][k]]
        differ += [k for k in told if k != "recipe" and before.get(k) != told[k]]
        if differ:
            raise RunError(
                f"{run} holds a run with other {', '.join(differ)}; name another folder, or repeat its recipe."
            )
        return
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)
