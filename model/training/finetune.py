"""Fine-tuning: a base model learns to listen to properties, by adapters or with all its weights. Edge: lightning."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model.conditions import PROPERTIES, Conditions, Property
from model.crystals import Crystals
from model.data.cache import Dataset
from model.network.denoiser import GemNetDenoiser
from model.network.embeddings import Scaler, multi_hot
from model.randomness import Streams
from model.sampling.model import ADAPTERS, CrystalModel
from model.statistics import Statistics
from model.training.module import VALIDATION_SEED, Teaching
from model.training.presets import ADAPTER, Recipe
from model.training.run import RunError, fit, open_split, plain, sizes_of

FEWEST, ENOUGH = 50, 1000  # below the first nothing is learned; from the second on it was worth it here


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How many crystals have all the labels a model is to listen to, and whether that will do."""

    properties: tuple[str, ...]
    taught: int
    held_out: int
    rows: int

    @property
    def verdict(self) -> str:
        """One sentence: enough, few, or too few."""
        names = " and ".join(self.properties)
        known = f"{self.taught} of {self.rows} crystals have {names}, {self.held_out} more are held out"
        if self.taught < FEWEST:
            return f"Too few: {known}; at least {FEWEST} are wanted."
        if self.taught < ENOUGH:
            return f"Few: {known}; expect a lean, not obedience ({ENOUGH} and more serve well)."
        return f"Enough: {known}."


@dataclass(frozen=True, kw_only=True)
class Listening:
    """Whether a model listens, on held-out crystals at fixed noise.

    `gain` is how much lower the loss is with a crystal's own labels than without any, `preferred` the share of crystals
    whose loss is lower with their own labels than with those of another crystal (0.5 by chance), n how many.
    """

    n: int
    loss: float
    gain: float
    preferred: float

    @property
    def sentence(self) -> str:
        """The same in words."""
        return (
            f"On {self.n} held-out crystals: loss {self.loss:.4f}, {self.gain:+.4f} better with their own labels than "
            f"with none; {self.preferred:.1%} lie better with their own than with another crystal's (50 % by chance)."
        )


def coverage(data: Path, properties: Sequence[str]) -> Coverage:
    """How many prepared crystals could teach these properties. Raises RunError for a label the data lack."""
    splits = {split: open_split(data, split) for split in ("train", "val")}
    known = {split: _complete(dataset, properties) for split, dataset in splits.items()}
    return Coverage(properties=tuple(properties), taught=int(known["train"].sum()), held_out=int(known["val"].sum()),
                    rows=len(splits["train"]))


def finetune(
    data: Path,
    run: Path,
    base: CrystalModel,
    properties: Sequence[str],
    recipe: Recipe = ADAPTER,
    *,
    name: str,
    full: bool = False,
    log10: Sequence[str] | None = None,
    accelerator: str = "auto",
    until: int | None = None,
    progress: bool = True,
) -> CrystalModel:
    """Teach a base model to listen to labels of prepared crystals, or go on with the run that lies in the folder.

    Parameters
    ----------
    data
        Prepared crystals with the splits `train` and `val`; only those with all the labels are used.
    run
        Folder of the run: recipe, checkpoints, logs, and at the end `model/`.
    base
        A model that listens to nothing yet.
    properties
        Labels of the data, or `chemical_system`.
    full
        Change all weights, as the paper does; otherwise the adapters alone, so that several can be worn at once.
    log10
        Which of the properties are heard on a logarithmic scale; by default as `PROPERTIES` says.

    Training ends early when the held-out loss no longer falls; the best weights are kept. Raises RunError where
    labels are missing, too few or all the same, or where the folder holds another run.

    """
    if base.properties:
        raise RunError(f"{base.name} listens to {', '.join(base.properties)} already; fine-tune its base instead.")
    told = coverage(data, properties)
    if told.taught < FEWEST or not told.held_out:
        raise RunError(told.verdict if told.held_out else f"No held-out crystal has {' and '.join(properties)}.")
    splits = {split: open_split(data, split) for split in ("train", "val")}
    rows = {split: np.flatnonzero(_complete(dataset, properties)) for split, dataset in splits.items()}
    labels = {split: labels_of(dataset, properties, rows[split]) for split, dataset in splits.items()}
    recipe = recipe.but(network=sizes_of(base))
    torch.manual_seed(recipe.seed)  # initial weights only; all other randomness is an argument
    denoiser = adapted(base, properties, labels["train"], full=full, log10=log10)
    crystals = {split: dataset.crystals(rows[split]) for split, dataset in splits.items()}
    teaching = Teaching(denoiser, base.diffusion, recipe, crystals, labels)
    model = CrystalModel(
        name=name, denoiser=denoiser, diffusion=base.diffusion, properties=tuple(properties),
        statistics=_heard(base.statistics, splits["train"], properties), base=None if full else base.hash,
        facts={"fine_tuned": "all weights" if full else "adapters alone", "started_from": base.hash},
    )
    plan = {"recipe": plain(recipe), "data": splits["train"].manifest.get("fingerprint"), "name": name,
            "start": base.hash, "properties": list(properties), "full": full,
            "log10": list(denoiser.arguments["log10"]), "taught": told.taught}
    return fit(teaching, model, run, plan, accelerator=accelerator, until=until, progress=progress,
               patience=recipe.patience)


def adapted(
    base: CrystalModel, properties: Sequence[str], labels: Mapping[str, Tensor], *, full: bool = False,
    log10: Sequence[str] | None = None,
) -> GemNetDenoiser:
    """The base's network with silent adapters, its scalars scaled by the labels; frozen but for them unless `full`.

    Raises RunError for a scalar whose labels are all the same, or not positive on a logarithmic scale.
    """
    denoiser = GemNetDenoiser(**sizes_of(base), properties=tuple(properties), log10=log10)
    denoiser.load_state_dict(denoiser.state_dict() | base.denoiser.state_dict())
    for name in properties:
        scaler = denoiser.property_embeddings_adapt[name].scaler
        if isinstance(scaler, Scaler):
            _fit(scaler, name, labels[name])
    for key, weight in denoiser.named_parameters():
        weight.requires_grad_(full or key.startswith(ADAPTERS))
    return denoiser


def labels_of(dataset: Dataset, properties: Sequence[str], rows: np.ndarray) -> dict[str, Tensor]:
    """Labels as the network hears them: numbers, and sets of elements as multi-hot rows."""
    found = {}
    for name in properties:
        if PROPERTIES.get(name, Property()).kind == "chemical_system":
            found[name] = chemical_systems(dataset.crystals(rows))
        else:
            found[name] = torch.from_numpy(np.asarray(dataset.labels[name][rows], dtype=np.float32))
    return found


def chemical_systems(crystals: Crystals) -> Tensor:
    """Which elements each crystal holds, as the multi-hot rows of a condition."""
    rows = torch.zeros_like(multi_hot([frozenset()])).repeat(len(crystals), 1)
    rows[crystals.owner, crystals.numbers] = 1
    return rows


@torch.no_grad()
def listening(model: CrystalModel, data: Path, *, most: int = 192, batch_size: int = 64) -> Listening:
    """Whether a model listens: losses of held-out crystals with their own labels, with none, and with another's."""
    dataset = open_split(data, "val")
    rows = np.flatnonzero(_complete(dataset, model.properties))[:most]
    crystals, labels = dataset.crystals(rows), labels_of(dataset, model.properties, rows)
    conditions = Conditions.of(**labels)
    n = len(rows)
    others = conditions[(torch.arange(n) + max(n // 2, 1)) % n]
    losses = {"own": conditions, "none": conditions.forget(), "other": others}
    found = {k: torch.cat([_loss(model, crystals, c, part) for part in torch.arange(n).split(batch_size)])
             for k, c in losses.items()}
    differ = torch.stack([
        (conditions.values[p] != others.values[p]).reshape(n, -1).any(-1) for p in model.properties
    ]).any(0)
    better = (found["own"] < found["other"])[differ]
    return Listening(
        n=n, loss=float(found["own"].mean()), gain=float((found["none"] - found["own"]).mean()),
        preferred=float(better.float().mean()) if len(better) else float("nan"),
    )


def _loss(model: CrystalModel, crystals: Crystals, conditions: Conditions, rows: Tensor) -> Tensor:
    """Mean over eight noise levels, at noise that is the same for every condition."""
    total = torch.zeros(len(rows))
    clean, told = crystals[rows], conditions[rows]
    levels = torch.linspace(0.1, 0.9, 8)
    for at, level in enumerate(levels):
        streams = Streams(VALIDATION_SEED, rows, torch.full_like(rows, at))
        noised = model.diffusion.corrupt(clean, level.repeat(len(rows)), streams)
        total += model.diffusion.loss(model.predict(noised.noisy, noised.t, told), noised).total / len(levels)
    return total


def _complete(dataset: Dataset, properties: Sequence[str]) -> np.ndarray:
    """Which crystals have all these labels."""
    if not properties:
        raise RunError("Name at least one property to listen to.")
    known = np.ones(len(dataset), dtype=bool)
    for name in properties:
        if PROPERTIES.get(name, Property()).kind == "chemical_system":
            continue
        if name not in dataset.labels:
            raise RunError(f"The data have no label {name!r}; they have {', '.join(dataset.labels) or 'none'}.")
        known &= np.isfinite(dataset.labels[name])
    return known


def _fit(scaler: Scaler, name: str, labels: Tensor) -> None:
    known = labels[~labels.isnan()]
    if len(known) and bool((known == known[0]).all()):
        raise RunError(f"All {len(known)} crystals have the same {name}, {known[0]:g}; there is nothing to learn.")
    try:
        scaler.fit(known)
    except ValueError as error:
        raise RunError(f"{name}: {error}") from error


def _heard(base: Statistics, dataset: Dataset, properties: Sequence[str]) -> Statistics:
    """The base's sizes and density with the labels the adapters are taught."""
    taught = {name: dataset.statistics.labels[name] for name in properties if name in dataset.statistics.labels}
    return replace(base, labels={**base.labels, **taught})
