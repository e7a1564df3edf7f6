"""`workbench session`: what the bench has kept: listed, and handed on as a page or as files."""

from pathlib import Path
from typing import Annotated

import typer

from workbench.commands import talk

app = typer.Typer(no_args_is_help=True)
Root = Annotated[Path, typer.Option(help="The folder in which the bench keeps its sessions.")]
Folder = Annotated[Path, typer.Argument(help="The folder of one session.")]


@app.command("list")
def listing(root: Root = Path("sessions")) -> None:
    """Sessions, the newest first: crystals made and judged, and which are damaged."""
    from workbench.sessions import store

    entries = store.listed(root)
    if not entries:
        raise talk.fail(f"No session is kept in {root}; name the folder with --root.")
    for entry in entries:
        said = "damaged; what can be read still opens" if entry.damaged else f"{entry.judged} of {entry.made} judged"
        typer.echo(f"{entry.folder}  {said}")


@app.command()
def report(
    session: Folder,
    out: Annotated[Path, typer.Option(help="The page's file; never overwritten.")] = Path("report.html"),
) -> None:
    """One HTML page that holds what every panel of the bench shows; it is read without Python or a network."""
    from model.evaluation.reference import BadReferenceError
    from model.io import write_text
    from workbench import report as page
    from workbench.judging import reference
    from workbench.sessions import store
    from workbench.views.hull import known_phases

    if out.exists():
        raise talk.fail(f"{out} exists already, and nothing is ever overwritten; name another file with --out.")
    try:
        opened = store.load(session)
        for sentence in opened.missing:
            typer.echo(sentence, err=True)
        try:
            known = reference(opened.session.reference_folder)
        except BadReferenceError as error:
            known = None
            typer.echo(f"The hull is drawn without known phases. {error}", err=True)
        phases = known_phases(known, opened.session.constraints.required)
        write_text(out, page.report(opened.session, phases))
    except (ValueError, OSError) as error:
        raise talk.fail(str(error)) from error
    typer.echo(f"The page is {out}.")


@app.command()
def export(
    session: Folder,
    out: Annotated[Path, typer.Option(help="Folder for the files; never overwritten.")] = Path("export"),
) -> None:
    """The export kit of a session: the chosen crystals, or all, as CIF, CSV, extended XYZ, POSCAR, ASE database."""
    from workbench import export as kit
    from workbench.sessions import store

    try:
        kept = store.load(session).session
        chosen = kit.select(kept.candidates, kept.chosen, kept.relaxed)
        folder = kit.write(chosen, out, origin=kit.Origin(
            constraints=kept.constraints, method=kept.method, model=kept.model_name, model_hash=kept.model_hash,
            steps=kept.steps, corrections=kept.corrections, told=kept.told, reference=kept.reference,
            scorecard=kept.scorecard,
        ))  # fmt: skip
    except (ValueError, OSError) as error:
        raise talk.fail(str(error)) from error
    typer.echo(f"{len(chosen.candidates)} crystals are in {folder}.")
