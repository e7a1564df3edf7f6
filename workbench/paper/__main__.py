"""`python -m workbench.paper`: makes the tables behind the notebooks out of judged runs."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
Out = Annotated[Path, typer.Option(help="The table; an earlier one is replaced.")]


@app.command()
def pack(
    folders: Annotated[list[Path], typer.Argument(help="Judged folders: workbench evaluate RUN.")],
    out: Out,
    bulk_modulus: Annotated[bool, typer.Option(help="Add bulk moduli from an equation of state, CHGNet.")] = False,
    readout: Annotated[Path | None, typer.Option(help="Add the property that this taught readout predicts.")] = None,
    structures: Annotated[bool, typer.Option(help="Keep the relaxed crystals.")] = True,
) -> None:
    """Judged crystals with what was asked of them, and the properties named, as one table."""
    from workbench.commands.talk import bar, fail
    from workbench.paper import properties, tables

    try:
        parts = [tables.judged_folder(folder) for folder in folders]
        with bar() as watch:
            if bulk_modulus:
                parts = [properties.with_bulk_moduli(part, watch=watch) for part in parts]
            if readout:
                parts = [properties.with_readout(part, readout) for part in parts]
        if not structures:
            parts = [part.drop(columns="cif") for part in parts]
        rows = tables.pack(parts, out)
    except (ValueError, OSError) as error:
        raise fail(str(error)) from error
    typer.echo(f"{out}: {rows} crystals, {out.stat().st_size / 1e3:.0f} kB.")


@app.command()
def labels(
    dataset: Annotated[Path, typer.Argument(help="One split of prepared and labelled crystals.")], out: Out
) -> None:
    """Labels of the training crystals, for the curves that say what a model was taught."""
    from model.data.cache import Dataset
    from workbench.commands.talk import fail
    from workbench.paper import tables

    try:
        whole = tables.label_table(Dataset.load(dataset))
        tables.write(whole, out)
    except (ValueError, OSError) as error:
        raise fail(str(error)) from error
    typer.echo(f"{out}: {len(whole)} crystals, {out.stat().st_size / 1e3:.0f} kB.")


@app.command()
def groups(
    model: Annotated[str, typer.Option(help="A model that listens to space_group.")] = "base-space-group",
    count: Annotated[int, typer.Option(min=1)] = 64,
    seed: int = 0,
) -> None:
    """Space groups drawn as often as the model's training data hold them: a line a group, with how many."""
    from model.checkpoints import load
    from workbench.commands.talk import fail
    from workbench.paper.symmetry import drawn_groups

    try:
        statistics = load(model).statistics
    except (ValueError, OSError) as error:
        raise fail(str(error)) from error
    for group, many in drawn_groups(statistics, count, seed).items():
        typer.echo(f"{group} {many}")


@app.command()
def steps(
    folders: Annotated[list[Path], typer.Argument(help="Judged runs of one model with different steps.")], out: Out
) -> None:
    """Scorecards of runs with different steps and correctors side by side."""
    from workbench.commands.talk import fail
    from workbench.paper import steps

    try:
        table = steps.gather(folders)
    except (ValueError, OSError) as error:
        raise fail(str(error)) from error
    partial = out.with_name(f".{out.name}.part")
    table.to_csv(partial, index=False, float_format="%.6g")
    partial.replace(out)
    typer.echo(f"{out}: {len(table)} runs.")


@app.command()
def draw(
    notebooks: Annotated[list[Path], typer.Argument(help="Notebooks to execute where they lie.")],
    preset: Annotated[str, typer.Option(help="quick, shipped or paper.")] = "shipped",
) -> None:
    """Execute notebooks and keep their outputs, with still pictures where kaleido and a browser are."""
    from importlib.util import find_spec

    from nbclient.exceptions import CellExecutionError

    from workbench.commands.talk import fail
    from workbench.paper.drawing import draw as execute

    if find_spec("kaleido") is None:
        typer.echo("Warning: kaleido is not installed, so no still pictures are kept; pip install kaleido.", err=True)
    for path in notebooks:
        try:
            execute(path, preset)
        except (OSError, ValueError, CellExecutionError) as error:
            raise fail(f"{path} is left as it was: {error}") from error
        typer.echo(f"{path}: {path.stat().st_size / 1e3:.0f} kB.")


if __name__ == "__main__":
    app()
