"""`workbench train` and `workbench finetune`: they start `python -m model`, which knows nothing of this package."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from workbench.commands import talk


def train(
    data: Annotated[Path, typer.Option(help="Prepared crystals: workbench data prepare.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; the same call goes on with it.")],
    preset: Annotated[str, typer.Option(help="tiny, small, medium or paper.")] = "small",
    start: Annotated[str | None, typer.Option(help="A model whose weights the run begins with.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps; the preset's unless given.")] = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    precision: Annotated[str | None, typer.Option(help="32-true, bf16-mixed, ...")] = None,
    fused: Annotated[bool, typer.Option(help="Compile the network's blocks: faster steps, a slower start.")] = False,
    seed: int | None = None,
    until: Annotated[int | None, typer.Option(help="Stop after this step, to go on later.")] = None,
    accelerator: str = "auto",
) -> None:
    """Train a base model: CSV and TensorBoard logs, checkpoints, and at the end a model in OUT/model."""
    _call("train", {
        "data": data, "out": out, "preset": preset, "start": start, "steps": steps, "batch-size": batch_size,
        "learning-rate": learning_rate, "precision": precision, "seed": seed, "until": until,
        "accelerator": accelerator,
    }, *(["--fused"] if fused else []))


def finetune(
    name: Annotated[str, typer.Option(help="What the model will be called, here and on the bench.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; the same call goes on with it.")],
    data: Annotated[Path | None, typer.Option(help="Prepared crystals with labels; or else --table.")] = None,
    properties: Annotated[
        list[str] | None, typer.Option("--property", help="A label to listen to, or chemical_system; repeatable.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="A CSV or parquet file of one's own: material_id, cif, and numbers to learn.")
    ] = None,
    base: Annotated[str, typer.Option(help="A model that listens to nothing yet: a name or a folder.")] = "base",
    full: Annotated[bool, typer.Option(help="Change all weights, as the paper does; not the adapters alone.")] = False,
    steps: Annotated[int | None, typer.Option(help="At most so many optimiser steps.")] = None,
    precision: Annotated[str | None, typer.Option(help="32-true, bf16-mixed, ...")] = None,
    fused: Annotated[bool, typer.Option(help="Compile the network's blocks: faster steps, a slower start.")] = False,
    seed: int | None = None,
    until: Annotated[int | None, typer.Option(help="Stop after this step, to go on later.")] = None,
    accelerator: str = "auto",
) -> None:
    """Teach a base model to listen to a property, and keep it by name.

    Says first whether the labels suffice, and at the end, on held-out crystals, whether it listens.
    """
    from model.training.lessons import LessonError, check_name, keep, prepare_table

    if (data is None) == (table is None) or not properties:
        raise talk.fail("Name --property, and either --data (prepared crystals) or --table (a CSV of your own).")
    try:
        check_name(name, out)
        if table is not None:
            with talk.bar() as watch:
                data = prepare_table(table, properties, out / "data", watch=watch)
        given = {"data": data, "out": out, "name": name, "base": base, "steps": steps, "precision": precision,
                 "seed": seed, "until": until, "accelerator": accelerator}
        _call("finetune", given, *[f"--property={p}" for p in properties], *(["--full"] if full else []),
              *(["--fused"] if fused else []))
        if (out / "model").exists():
            typer.echo(f"It is kept as {name!r} in {keep(out / 'model', name)}; model.load({name!r}) finds it.")
    except (LessonError, ValueError, OSError) as error:
        raise talk.fail(str(error)) from error


def _call(verb: str, given: Mapping[str, object], *flags: str) -> None:
    """Run `python -m model` with the options that were given; its process knows nothing of this package."""
    options = [word for name, value in given.items() if value is not None for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "model", verb, *options, *flags]
    code = subprocess.run(command, check=False).returncode
    if code:
        raise talk.fail(f"It ended with code {code}; its own words are above.", code)
