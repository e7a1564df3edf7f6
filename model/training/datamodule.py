"""Which crystals each step sees: a function of seed and step, so that a run can go on anywhere. Edge: lightning."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch.utils.data import DataLoader, IterableDataset

from model.training.lightning import pl
from model.training.module import Batch
from model.training.presets import Recipe


class Steps(IterableDataset):
    """Endless batches from a given step on; every epoch is a fresh shuffle of all rows."""

    def __init__(self, rows: int, batch_size: int, seed: int, first: int, last: int) -> None:
        super().__init__()
        self.rows, self.batch_size, self.seed = rows, min(batch_size, rows), seed
        self.first, self.last = first, last

    def __iter__(self) -> Iterator[Batch]:
        """From the first step to the last."""
        per_epoch = self.rows // self.batch_size
        epoch, order = -1, torch.empty(0)
        for step in range(self.first, self.last):
            if step // per_epoch != epoch:
                epoch = step // per_epoch
                shuffle = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
                order = torch.randperm(self.rows, generator=shuffle)
            begin = step % per_epoch * self.batch_size
            yield Batch(order[begin : begin + self.batch_size], step)


class Validation(torch.utils.data.Dataset):
    """The first rows of the validation crystals, in order."""

    def __init__(self, rows: int, batch_size: int) -> None:
        self.parts = torch.arange(rows).split(batch_size)

    def __len__(self) -> int:
        """Number of batches."""
        return len(self.parts)

    def __getitem__(self, i: int) -> Batch:
        """One batch; its step is 0, so its noise is always the same."""
        return Batch(self.parts[i], 0)


class CrystalBatches(pl.LightningDataModule):
    """Training and validation batches of row numbers; the crystals themselves lie on the device."""

    def __init__(self, train_rows: int, val_rows: int, recipe: Recipe) -> None:
        super().__init__()
        self.train_rows, self.val_rows, self.recipe = train_rows, val_rows, recipe

    def train_dataloader(self) -> DataLoader:
        """Goes on at the step the trainer stands at."""
        first = self.trainer.global_step if self.trainer else 0
        steps = Steps(self.train_rows, self.recipe.batch_size, self.recipe.seed, first, self.recipe.steps)
        return DataLoader(steps, batch_size=None)

    def val_dataloader(self) -> DataLoader:
        """At most as many crystals as the recipe says."""
        rows = min(self.val_rows, self.recipe.validation_crystals)
        return DataLoader(Validation(rows, max(self.recipe.batch_size, 64)), batch_size=None)


def newest_checkpoint(run: Path) -> Path | None:
    """The checkpoint of the highest step that can be read whole; None before the first."""
    def step(path: Path) -> int:
        return int(path.stem.split("=")[-1])

    for path in sorted((run / "checkpoints").glob("step=*.ckpt"), key=step, reverse=True):
        if _whole(path):
            return path
    return None


def _whole(path: Path) -> bool:
    try:
        torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception:  # noqa: BLE001 - whatever is wrong with it, an older one is taken
        return False
    return True
