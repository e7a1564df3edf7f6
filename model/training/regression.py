"""Teaches a readout its label, and measures its error on crystals it has not seen. Edge: lightning."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from model.crystals import Crystals
from model.data.cache import Dataset
from model.network.fusing import fuse
from model.network.readout import Readout
from model.properties.readouts import Report, predict, save
from model.training.lightning import pl
from model.training.run import RunError

FEWEST = 20  # labelled crystals below which nothing can be learned and held out


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """How a readout is taught; the defaults are the paper's (D.6.1)."""

    epochs: int = 1000
    batch_size: int = 64
    learning_rate: float = 5e-4
    patience: int = 150
    plateau: int = 10  # epochs without a lower error after which the rate falls to 0.8; 0: it falls evenly to nothing
    log10: bool = False
    seed: int = 0
    precision: str = "32-true"
    fused: bool = False  # compile the network's blocks (model.network.fusing)


class _Rows(IterableDataset):
    """Row numbers in batches, shuffled anew each epoch out of seed and epoch."""

    def __init__(self, rows: int, lesson: Lesson, *, shuffle: bool) -> None:
        self.rows, self.lesson, self.shuffle, self.epoch = rows, lesson, shuffle, 0

    def __len__(self) -> int:
        return ceil(self.rows / self.lesson.batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        chance = torch.Generator().manual_seed(self.lesson.seed * 1_000_003 + self.epoch)
        order = torch.randperm(self.rows, generator=chance) if self.shuffle else torch.arange(self.rows)
        self.epoch += 1
        return iter(order.split(self.lesson.batch_size))


class _Lesson(pl.LightningModule):
    def __init__(self, readout: Readout, sets: Mapping[str, tuple[Crystals, Tensor]], lesson: Lesson) -> None:
        super().__init__()
        self.readout, self.sets, self.lesson = readout, sets, lesson

    def training_step(self, rows: Tensor, _: int) -> Tensor:
        crystals, labels = self._of("train", rows)
        off = self.readout.standardised(crystals) - self.readout.scaler(labels)
        return (off**2).mean()

    def validation_step(self, rows: Tensor, _: int) -> None:
        crystals, labels = self._of("val", rows)
        self.log("error_val", (self.readout(crystals) - labels).abs().mean(), batch_size=len(labels), prog_bar=True)

    def _of(self, split: str, rows: Tensor) -> tuple[Crystals, Tensor]:
        crystals, labels = self.sets[split]
        rows = rows.cpu()
        return crystals[rows].to(self.device), labels[rows].to(self.device)

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer = torch.optim.Adam(self.readout.parameters(), lr=self.lesson.learning_rate)
        if not self.lesson.plateau:
            steps = ceil(len(self.sets["train"][1]) / self.lesson.batch_size) * self.lesson.epochs
            even = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=steps)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": even, "interval": "step"}}
        slower = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, factor=0.8, patience=self.lesson.plateau, min_lr=1e-8
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": slower, "monitor": "error_val"}}


def teach(
    data: Path, label: str, out: Path, lesson: Lesson | None = None, *, accelerator: str = "auto",
    progress: bool = True, **encoder: Any,
) -> tuple[Readout, Report]:
    """Teach a readout a label column of prepared crystals, keep it in a new folder, and report its error.

    Rows without the label are left out. `train` is learned from, `val` says when to stop, and `test` (where there is
    one, else `val`) is held out for the report. Raises RunError where the label is missing or known too rarely.
    """
    lesson = lesson or Lesson()
    if out.exists():
        raise RunError(f"{out} exists already and is not overwritten; name another folder.")
    sets = {split: _labelled(data, split, label) for split in ("train", "val", "test") if (data / split).exists()}
    if missing := [split for split in ("train", "val") if split not in sets]:
        raise RunError(f"{data} holds no split {' and '.join(missing)}; make both with workbench data prepare.")
    torch.manual_seed(lesson.seed)  # initial weights
    readout = Readout(label, log10=lesson.log10, **encoder)
    readout.scaler.fit(sets["train"][1])
    out.mkdir(parents=True)
    best = pl.callbacks.ModelCheckpoint(dirpath=out / "checkpoints", monitor="error_val", save_weights_only=True)
    trainer = pl.Trainer(
        accelerator=accelerator, devices=1, precision=lesson.precision, max_epochs=lesson.epochs, gradient_clip_val=0.5,
        gradient_clip_algorithm="value", logger=pl.loggers.CSVLogger(out, name="logs"), enable_model_summary=False,
        enable_progress_bar=progress, num_sanity_val_steps=0,
        callbacks=[best, pl.callbacks.EarlyStopping("error_val", patience=lesson.patience)],
    )
    if lesson.fused:
        fuse(readout)
    taught = _Lesson(readout, sets, lesson)
    rows = [_Rows(len(sets[split][1]), lesson, shuffle=split == "train") for split in ("train", "val")]
    trainer.fit(taught, *(DataLoader(part, batch_size=None) for part in rows))
    taught.load_state_dict(torch.load(best.best_model_path, map_location="cpu", weights_only=True)["state_dict"])
    report = _report(readout.cpu().eval(), label, sets)
    save(readout, report, out)
    return readout, report


def _labelled(data: Path, split: str, label: str) -> tuple[Crystals, Tensor]:
    dataset = Dataset.load(data / split)
    if label not in dataset.labels:
        raise RunError(f"{data / split} has no label {label!r}; it has {', '.join(sorted(dataset.labels)) or 'none'}.")
    labels = torch.from_numpy(dataset.labels[label]).float()
    known = (~labels.isnan()).nonzero().squeeze(-1)
    if len(known) < FEWEST:
        raise RunError(f"Only {len(known)} crystals of {data / split} have {label}; at least {FEWEST} are needed.")
    return dataset.crystals(known.numpy()), labels[known]


def _report(readout: Readout, label: str, sets: Mapping[str, tuple[Crystals, Tensor]]) -> Report:
    crystals, labels = sets.get("test", sets["val"])
    found = predict(readout, crystals)
    taught = sets["train"][1]
    return Report(
        label=label, taught=len(taught), held_out=len(labels),
        mean_absolute_error=float((found - labels).abs().mean()),
        error_of_the_mean=float((taught.mean() - labels).abs().mean()),
    )
