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
    train.add_argument("--seed", type=int)
    train.add_argument("--warmup", type=int, help="steps over which the learning rate rises")
    train.add_argument("--decay", type=float, help="last share of the steps over which the learning rate falls")
    train.add_argument("--average", type=float, help="decay of the weights' moving average; 0: none")
    train.add_argument("--validate-every", type=int)
    train.add_argument("--validation-crystals", type=int)
    train.add_argument("--checkpoint-every", type=int)
    train.add_argument("--start", help="a model whose weights the run begins with: a name or a folder")
    train.add_argument("--until", type=int, help="stop after this step, to go on later")
    tune = commands.add_parser("finetune", help="teach a base model to listen to labels of prepared crystals")
    tune.set_defaults(run=_finetune)
    tune.add_argument("--data", type=Path, required=True, help="prepared crystals with the splits train and val")
    tune.add_argument("--property", action="append", required=True, help="a label, or chemical_system; repeatable")
    tune.add_argument("--out", type=Path, required=True, help="folder of the run")
    tune.add_argument("--name", required=True, help="what the model is called")
    tune.add_argument("--base", default="base", help="a model that listens to nothing yet: a name or a folder")
    tune.add_argument("--full", action="store_true", help="change all weights, not the adapters alone")
    tune.add_argument("--log10", action="append", help="hear this property on a logarithmic scale")
    tune.add_argument("--steps", type=int)
    tune.add_argument("--forget", type=float, help="chance that a known label is hidden in training")
    tune.add_argument("--seed", type=int)
    tune.add_argument("--validate-every", type=int)
    tune.add_argument("--patience", type=int, help="validations without a lower loss after which it ends; 0: never")
    tune.add_argument("--until", type=int, help="stop after this step, to go on later")
    teach = commands.add_parser("teach", help="teach a readout a label: a property predicted from a crystal")
    teach.set_defaults(run=_teach)
    teach.add_argument("--data", type=Path, required=True, help="prepared crystals with the splits train and val")
    teach.add_argument("--label", required=True, help="a label of the data, as `workbench data show` lists them")
    teach.add_argument("--out", type=Path, required=True, help="new folder")
    teach.add_argument("--log10", action="store_true", help="learn its logarithm; for positive labels of many sizes")
    teach.add_argument("--epochs", type=int)
    teach.add_argument("--plateau", type=int, help="epochs without gain before the rate falls; 0: evenly to nothing")
    teach.add_argument("--width", type=int, default=128)
    teach.add_argument("--blocks", type=int, default=3)
    teach.add_argument("--cutoff", type=float, default=10.0, help="in Å")
    teach.add_argument("--max-neighbors", type=int, default=50)
    for command in (train, tune, teach):
        command.add_argument("--batch-size", type=int)
        command.add_argument("--learning-rate", type=float)
        command.add_argument("--precision")
        command.add_argument("--fused", action="store_true", default=None, help="compile the network's blocks")
        command.add_argument("--accelerator", default="auto")
        command.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


def _finetune(told: argparse.Namespace) -> None:
    from model import checkpoints
    from model.training.finetune import ADAPTER, coverage, finetune, listening

    names = ("steps", "batch_size", "learning_rate", "forget", "precision", "fused", "seed", "validate_every",
             "patience")
    recipe = ADAPTER.but(**{name: getattr(told, name) for name in names})
    print(coverage(told.data, told.property).verdict, flush=True)
    made = finetune(
        told.data, told.out, checkpoints.load(told.base), told.property, recipe, name=told.name, full=told.full,
        log10=told.log10, accelerator=told.accelerator, until=told.until, progress=not told.quiet,
    )
    print(listening(made, told.data).sentence)
    print(f"The run is in {told.out}.")


def _teach(told: argparse.Namespace) -> None:
    from model.training.regression import Lesson, teach

    names = ("epochs", "batch_size", "learning_rate", "plateau", "precision", "fused", "log10")
    given = {name: getattr(told, name) for name in names if getattr(told, name) is not None}
    _, report = teach(
        told.data, told.label, told.out, Lesson(**given), accelerator=told.accelerator, progress=not told.quiet,
        emb_size_atom=told.width, emb_size_edge=told.width, num_blocks=told.blocks,
        cutoff=told.cutoff, max_neighbors=told.max_neighbors,
    )
    print(
        f"{report.label}: mean absolute error {report.mean_absolute_error:.4g} on {report.held_out} held-out crystals, "
        f"taught on {report.taught} (always saying the mean: {report.error_of_the_mean:.4g}). It is in {told.out}."
    )


def _train(told: argparse.Namespace) -> None:
    from model import checkpoints
    from model.training.presets import PRESETS
    from model.training.run import train

    names = ("steps", "batch_size", "learning_rate", "precision", "fused", "seed", "warmup", "decay", "average",
             "validate_every", "validation_crystals", "checkpoint_every")
    recipe = PRESETS[told.preset].but(**{name: getattr(told, name) for name in names})
    train(told.data, told.out, recipe, accelerator=told.accelerator, until=told.until, progress=not told.quiet,
          name=told.name, start=checkpoints.load(told.start) if told.start else None)
    print(f"The run is in {told.out}.")
