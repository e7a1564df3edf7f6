"""`python -m model train`: training where only torch, NumPy and Lightning are. Everything else: `workbench`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse and run; a mistake ends with one sentence and code 2."""
    told = _parser().parse_args(arguments)
    try:
        told.run(told)
    except (ValueError, ImportError, OSError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)


def _parser() -> argparse.ArgumentParser:
    from model.training.presets import PRESETS

    parser = argparse.ArgumentParser(prog="python -m model", description=__doc__)
    commands = parser.add_subparsers(required=True)
    train = commands.add_parser("train", help="train a base model, or go on with a run")
    train.set_defaults(run=_train)
    train.add_argument("--data", type=Path, required=True, help="prepared crystals with the splits train and val")
    train.add_argument("--out", type=Path, required=True, help="folder of the run")
    train.add_argument("--preset", choices=list(PRESETS), default="small")
    train.add_argument("--name", default="base", help="what the model is called")
    train.add_argument("--steps", type=int)
    train.add_argument("--batch-size", type=int)
    train.add_argument("--learning-rate", type=float)
    train.add_argument("--precision")
    train.add_argument("--seed", type=int)
    train.add_argument("--validate-every", type=int)
    train.add_argument("--checkpoint-every", type=int)
    train.add_argument("--until", type=int, help="stop after this step, to go on later")
    train.add_argument("--accelerator", default="auto")
    train.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


def _train(told: argparse.Namespace) -> None:
    from model.training.presets import PRESETS
    from model.training.run import train

    names = ("steps", "batch_size", "learning_rate", "precision", "seed", "validate_every", "checkpoint_every")
    recipe = PRESETS[told.preset].but(**{name: getattr(told, name) for name in names})
    train(told.data, told.out, recipe, accelerator=told.accelerator, until=told.until, progress=not told.quiet,
          name=told.name)
    print(f"The run is in {told.out}.")
