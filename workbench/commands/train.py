"""`workbench train`: starts `python -m model train`, whose process knows nothing of this package."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from workbench.commands import talk


def train(
    data: Annotated[Path, typer.Option(help="Prepared crystals: workbench data prepare.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; the same call goes on with it.")],
    preset: Annotated[str, typer.Option(help="tiny, small, medium or paper.")] = "small",
    steps: Annotated[int | None, typer.Option(help="Optimiser steps; the preset's unless given.")] = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    precision: Annotated[str | None, typer.Option(help="32-true, bf16-mixed, ...")] = None,
    seed: int | None = None,
    until: Annotated[int | None, typer.Option(help="Stop after this step, to go on later.")] = None,
    accelerator: str = "auto",
) -> None:
    """Train a base model: CSV and TensorBoard logs, checkpoints, and at the end a model in OUT/model."""
    given = {
        "preset": preset, "steps": steps, "batch-size": batch_size, "learning-rate": learning_rate,
        "precision": precision, "seed": seed, "until": until, "accelerator": accelerator,
    }
    options = [word for name, value in given.items() if value is not None for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "model", "train", "--data", str(data), "--out", str(out), *options]
    code = subprocess.run(command, check=False).returncode
    if code:
        raise talk.fail(f"Training ended with code {code}; its own words are above.", code)
