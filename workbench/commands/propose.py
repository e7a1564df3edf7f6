"""`workbench propose`: crystals by other ways than the model, into folders that `workbench evaluate` judges as any."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.commands import talk
from workbench.commands.generate import _atoms, _elements, _targets

app = typer.Typer(no_args_is_help=True)
ORIGINS = "origins.csv"

Out = Annotated[Path, typer.Option(help="Folder for the crystals; never overwritten.")]
System = Annotated[str | None, typer.Option(help="Exactly these elements, as Li-O.")]
Allowed = Annotated[str | None, typer.Option(help="Nothing outside these elements.")]
Excluded = Annotated[str | None, typer.Option(help="None of these elements.")]
Formula = Annotated[str | None, typer.Option(help="This composition times a whole number, as CaTiO3.")]
Group = Annotated[int | None, typer.Option(help="1 to 230.")]
Atoms = Annotated[str | None, typer.Option(help="Atoms in the cell: a number, or a range as 4:12.")]
Count = Annotated[int, typer.Option(min=1, help="How many crystals.")]
Target = Annotated[list[str], typer.Option(help="As name=value or name=low:high, in the property's unit.")]


@app.command("random-search")
def random_search(
    out: Out, chemical_system: System = None, allowed: Allowed = None, excluded: Excluded = None,
    formula: Formula = None, space_group: Group = None, atoms: Atoms = None, count: Count = 16, seed: int = 0,
    learn_from: Annotated[
        Path | None, typer.Option(help="Relaxed crystals of a first round: distances and volumes are tuned by them.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that search side by side.")] = 1,
) -> None:  # fmt: skip
    """Random symmetric crystals of 2 to 4 operations (or a space group), no two atoms nearer than known ones come."""
    asked = _asked(chemical_system, allowed, excluded, formula, atoms, count, seed, space_group=space_group)
    from model.execution import processes

    with processes(workers) as executor:
        _propose("random-search", {"relaxed": learn_from}, asked, out, executor=executor, batch_size=16 * workers)


@app.command()
def substitution(
    out: Out, chemical_system: System = None, allowed: Allowed = None, excluded: Excluded = None,
    formula: Formula = None, atoms: Atoms = None, count: Count = 16, seed: int = 0,
    reference: Annotated[
        Path | None, typer.Option(help="A reference with structures: its crystals are the prototypes, not AFLOW's.")
    ] = None,
) -> None:  # fmt: skip
    """Known prototypes with their elements exchanged, scaled to the room that the new ones take; each only once."""
    asked = _asked(chemical_system, allowed, excluded, formula, atoms, count, seed)
    _propose("substitution", {"reference": reference}, asked, out)


@app.command()
def screening(
    out: Out, target: Target,
    data: Annotated[Path, typer.Option(help="Known crystals: workbench data prepare.")],
    readout: Annotated[list[Path], typer.Option(help="What predicts the target: workbench model teach.")],
    chemical_system: System = None, allowed: Allowed = None, excluded: Excluded = None, formula: Formula = None,
    space_group: Group = None, atoms: Atoms = None, count: Count = 16,
) -> None:  # fmt: skip
    """Known crystals that have no label yet, ranked by how near their predicted property comes to the target."""
    asked = _asked(chemical_system, allowed, excluded, formula, atoms, count, 0, space_group=space_group, target=target)
    _propose("screening", {"data": data, "readouts": ",".join(map(str, readout))}, asked, out)


def _asked(
    chemical_system: str | None, allowed: str | None, excluded: str | None, formula: str | None, atoms: str | None,
    count: int, seed: int, *, space_group: int | None = None, target: list[str] | None = None,
) -> Any:  # fmt: skip
    """The constraints; a slip of the pen ends the command with one sentence."""
    from model.constraints import Constraints

    try:
        return Constraints(
            chemical_system=chemical_system, allowed=_elements(allowed), excluded=_elements(excluded) or frozenset(),
            formula=formula, space_group=space_group, targets=_targets(target or []), n_atoms=_atoms(atoms),
            count=count, seed=seed,
        )  # fmt: skip
    except ValueError as error:
        raise talk.fail(str(error)) from error


def _propose(way: str, told: Mapping[str, Any], constraints: Any, out: Path, **how: Any) -> None:
    """Make the crystals; batches are written as they are finished, and a broken-off run goes on when called again."""
    from model.execution import Progress
    from model.io import write_text
    from model.record import RunFolder
    from workbench.methods import WAYS

    try:
        proposer = WAYS[way].proposer({name: str(value) for name, value in told.items() if value is not None})
        proposer.check(constraints)  # before the folder is begun, so that a slip does not use it up
        folder = RunFolder(out)
        done = folder.begin(constraints, proposer, proposer.settings)
        with talk.bar() as bar:

            def watch(progress: Progress) -> None:
                if progress.payload is not None:
                    folder.add(progress.payload, constraints)
                else:
                    bar(progress)

            proposer(constraints, done=done, watch=watch, **how)
        if origins := proposer.origins(constraints):
            write_text(out / ORIGINS, _table(constraints.seed, origins))
        folder.finish()
    except (ValueError, OSError, ImportError) as error:
        raise talk.fail(str(error)) from error
    typer.echo(f"{constraints.count} crystals are in {out}: crystals.extxyz, cif/, candidates.csv, run.json.")
    typer.echo(f"Judge them with: workbench evaluate {out}")


def _table(seed: int, origins: list[str]) -> str:
    """What each crystal was made from, by its name."""
    from model.record import name_of

    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["id", "origin"])
    rows.writerows([name_of(seed, index), origin] for index, origin in enumerate(origins))
    return text.getvalue()
