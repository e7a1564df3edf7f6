"""One training step and one validation for Lightning, both pure functions of seed and step. Edge: lightning."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from model.conditions import Conditions
from model.crystals import Crystals
from model.diffusion.crystal import CrystalDiffusion, Losses
from model.diffusion.schedule import training_times
from model.network.fusing import fuse
from model.randomness import Streams
from model.shapes import Bool, Float, Int
from model.training.lightning import pl
from model.training.presets import Recipe

VALIDATION_SEED = 20_000_003  # the noise of validation is the same in every run, so that losses compare


class Batch:
    """Which crystals of the data a step sees, and the number of the step."""

    def __init__(self, rows: Int[Tensor, " batch"], step: int) -> None:
        self.rows, self.step = rows, step

    def to(self, device: torch.device | str, **kwargs: Any) -> "Batch":
        """The same on another device."""
        return Batch(self.rows.to(device, **kwargs), self.step)


class Teaching(pl.LightningModule):
    """A denoiser being taught what noise does to crystals.

    The noise of a crystal depends on seed, step and the crystal alone, so a run that was killed and begun again from
    a checkpoint walks exactly the path of one that was not.
    """

    def __init__(
        self,
        denoiser: nn.Module,
        diffusion: CrystalDiffusion,
        recipe: Recipe,
        crystals: Mapping[str, Crystals],
        labels: Mapping[str, Mapping[str, Tensor]] | None = None,
    ) -> None:
        super().__init__()
        self.denoiser, self.diffusion, self.recipe = denoiser, diffusion, recipe
        self.averaged = (
            AveragedModel(denoiser, multi_avg_fn=get_ema_multi_avg_fn(recipe.average), use_buffers=False)
            if recipe.average else None
        )
        if recipe.fused:
            fuse(self.denoiser)
        self.crystals, self._labels = dict(crystals), {k: dict(v) for k, v in (labels or {}).items()}

    def on_fit_start(self) -> None:
        """The data are small: they move to the device once."""
        self.crystals = {k: v.to(self.device) for k, v in self.crystals.items()}
        self._labels = {s: {k: v.to(self.device) for k, v in rows.items()} for s, rows in self._labels.items()}

    on_validation_start = on_fit_start

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Mean loss of a batch at random times."""
        losses = self._losses(self.denoiser, "train", batch, self.recipe.seed, dropout=True)
        self._tell("train", losses)
        return losses.total.mean()

    def validation_step(self, batch: Batch, _: int) -> None:
        """Losses with the averaged weights where there are any, at noise that never changes."""
        network = self.denoiser if self.averaged is None else self.averaged.module
        self._tell("val", self._losses(network, "val", batch, VALIDATION_SEED, dropout=False))

    def optimizer_step(self, *arguments: Any, **options: Any) -> None:
        """A step, after which the moving average follows, quickly at first; before any checkpoint is written."""
        super().optimizer_step(*arguments, **options)
        if self.averaged is not None:
            step = int(self.averaged.n_averaged)
            decay = min(self.recipe.average, (1 + step) / (10 + step))
            self.averaged.multi_avg_fn = get_ema_multi_avg_fn(decay)
            self.averaged.update_parameters(self.denoiser)

    def configure_optimizers(self) -> dict[str, Any]:
        """Adam; a short rise, a plateau, a linear fall."""
        taught = [p for p in self.denoiser.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(taught, lr=self.recipe.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: relative_rate(self.recipe, step))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _losses(self, network: nn.Module, split: str, batch: Batch, seed: int, *, dropout: bool) -> Losses:
        clean = self.crystals[split][batch.rows]
        streams = Streams(seed, batch.rows, torch.full_like(batch.rows, batch.step))
        noised = self.diffusion.corrupt(clean, self._times(streams, split), streams)
        conditions = self._conditions(split, batch.rows, streams, dropout=dropout)
        output = network(noised.noisy, noised.t, conditions)
        return self.diffusion.loss(self.diffusion.read(output, noised.noisy, noised.t), noised)

    def _times(self, streams: Streams, split: str = "train") -> Float[Tensor, " batch"]:
        """Uniform; spread evenly over the batch, a share of [0, 1) for each crystal, unless the recipe says plain.

        Held-out crystals are always told evenly, so that recipes compare.
        """
        uniform, batch = streams.uniform()[:, 0], len(streams)
        if self.recipe.times == "plain" and split == "train":
            return training_times(uniform)
        return training_times((torch.arange(batch, device=uniform.device) + uniform) / batch)

    def _conditions(self, split: str, rows: Tensor, streams: Streams, *, dropout: bool) -> Conditions | None:
        labels = self._labels.get(split)
        if not labels:
            return None
        conditions = Conditions.of(**{name: values[rows] for name, values in labels.items()})
        return forget_some(conditions, streams, self.recipe.forget) if dropout else conditions

    def _tell(self, split: str, losses: Losses) -> None:
        names = {"total": "loss", "frac": "frac", "cell": "cell", "numbers": "numbers"}
        for name, value in zip(losses._fields, losses, strict=True):
            self.log(f"{names[name]}_{split}", value.detach().mean(), prog_bar=name == "total",
                     batch_size=len(value), on_step=split == "train", on_epoch=split == "val")


def forget_some(conditions: Conditions, streams: Streams, chance: float) -> Conditions:
    """Hide every condition with a chance of its own; a crystal that lacks any label hides all (section 5.4)."""
    names = sorted(conditions.known)
    complete = torch.stack([conditions.known[name] for name in names]).all(0)
    lots = streams.uniform(len(names))
    hidden: dict[str, Bool[Tensor, " batch"]] = {
        name: ~complete | (lots[:, i] <= chance) for i, name in enumerate(names)
    }
    return conditions.forget(hidden)


def relative_rate(recipe: Recipe, step: int) -> float:
    """Learning rate at a step as a share of the highest: a rise, a plateau, a fall."""
    rise = min(1.0, (step + 1) / recipe.warmup) if recipe.warmup else 1.0
    fall = (recipe.steps - step) / (recipe.decay * recipe.steps) if recipe.decay else 1.0
    return rise * min(1.0, max(0.0, fall))
