"""`workbench generate`: crystals from constraints, into a folder that can be replayed and gone on with."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.commands import talk
from workbench.commands.starts import GRAMMAR, start_of

if TYPE_CHECKING:
    from model.sampling.generate import Method
    from model.sampling.model import CrystalModel

MODES = ("independent", "reference")
Many = Annotated[list[str] | None, typer.Option(help="As name=value or name=low..high, in the property's unit.")]


def generate(
    out: Annotated[Path, typer.Option(help="Folder for the crystals; never overwritten.")],
    model: Annotated[
        list[str] | None,
        typer.Option(help="A name or a folder; repeat it to wear several adapters at once.", show_default="base"),
    ] = None,
    chemical_system: Annotated[str | None, typer.Option(help="Exactly these elements, as Li-O.")] = None,
    allowed: Annotated[str | None, typer.Option(help="Nothing outside these elements.")] = None,
    excluded: Annotated[str | None, typer.Option(help="None of these elements.")] = None,
    formula: Annotated[str | None, typer.Option(help="This composition times a whole number, as CaTiO3.")] = None,
    space_group: Annotated[int | None, typer.Option(help="1 to 230; for models that listen to it.")] = None,
    target: Many = None,
    atoms: Annotated[str | None, typer.Option(help="Atoms in the cell: a number, or a range as 4:12.")] = None,
    count: Annotated[int, typer.Option(min=1, help="How many crystals.")] = 16,
    guidance: Annotated[
        list[str] | None,
        typer.Option(help="Strength of the conditions; name=strength gives one its own.", show_default="2"),
    ] = None,
    seed: int = 0,
    start: Annotated[Path | None, typer.Option(help="A file with one crystal to begin from instead of noise.")] = None,
    keep: Annotated[
        list[str] | None, typer.Option(help=f"What stays of the start: {GRAMMAR}; commas between, or repeat it.")
    ] = None,
    strength: Annotated[
        float | None, typer.Option(help="How much the rest of the start is varied, above 0 up to 1.", show_default="1")
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(help="independent: noise and steps of each crystal's own; reference: as released.",
                     show_default="independent"),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, max=1000, help="From noise to crystal, 1 to 1000.", show_default="100; reference 1000"),
    ] = None,
    scheme: Annotated[str, typer.Option(help="ancestral, euler, heun or multistep.")] = "ancestral",
    corrections: Annotated[
        int | None,
        typer.Option(min=0, help="Corrector evaluations before each step.", show_default="0; reference 1"),
    ] = None,
    reference: Annotated[bool, typer.Option("--reference", help="The same as --mode reference.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Crystals at once; the last digits depend on it.")] = 64,
    redraws: Annotated[int, typer.Option(min=0, help="How often a crystal that came out bad is begun anew.")] = 3,
    precision: Annotated[
        str,
        typer.Option(help="highest: float32; high, medium: TF32 or bf16 units where there are any; bf16: all bf16."),
    ] = "highest",
    device: Annotated[str, typer.Option(help="cpu, cuda or mps; auto takes the fastest.")] = "auto",
) -> None:
    """Generate crystals; finished batches are written at once, and a broken-off run goes on when called again."""
    from model.constraints import Constraints
    from model.execution import Progress
    from model.record import RunFolder
    from model.sampling.generate import generate_with_report
    from model.sampling.requests import check, heard

    try:
        method = _method(_mode(mode, reference), steps, scheme, corrections, precision)
        begun = start_of(start, keep or [], strength)
        every, own = _strengths(guidance or [])
        constraints = Constraints(
            chemical_system=chemical_system, allowed=_elements(allowed), excluded=_elements(excluded) or frozenset(),
            formula=formula, space_group=space_group, targets=_targets(target or []), n_atoms=_atoms(atoms),
            count=count, guidance=every, seed=seed,
        )
        loaded = _model(model or ["base"], _device(device))
        if own:
            constraints = replace(constraints, guidance=dict.fromkeys(heard(constraints, loaded), every) | own)
        check(constraints, loaded, begun)  # before the folder is begun, so that a slip of the pen does not use it up
        folder = RunFolder(out)
        told = method.to_json() | {"batch_size": batch_size, "redraws": redraws}
        done = folder.begin(constraints, loaded, told, begun)
        with talk.bar() as bar:
            def watch(progress: Progress) -> None:
                if progress.stage == "generate":
                    folder.add(progress.payload, constraints)
                bar(replace(progress, payload=None))

            _, report = generate_with_report(
                loaded, constraints, method, batch_size=batch_size, redraws=redraws, start=begun, done=done, watch=watch
            )
        folder.finish()
    except (ValueError, OSError) as error:
        raise talk.fail(str(error)) from error
    typer.echo(f"{count} crystals are in {out}: crystals.extxyz, cif/, candidates.csv, run.json.")
    if report.redrawn:
        typer.echo(f"{len(report.redrawn)} came out bad and were begun anew; {len(report.problems)} stayed bad, as "
                   "candidates.csv says.")
    typer.echo(f"Judge them with: workbench evaluate {out}")


def _mode(mode: str | None, reference: bool) -> str:
    if reference and mode not in (None, "reference"):
        raise ValueError(f"--reference and --mode {mode} contradict each other; drop one.")
    return "reference" if reference else mode or MODES[0]


def _method(mode: str, steps: int | None, scheme: str, corrections: int | None, precision: str) -> "Method":
    """How to walk. Raises ValueError for what does not exist, and for a reference mode with another scheme."""
    from model.sampling.generate import PRECISIONS, PUBLISHED, Method
    from model.sampling.schemes import SCHEMES

    if mode not in MODES:
        raise ValueError(f"There is no mode {mode!r}; choose among {', '.join(MODES)}.")
    if precision not in PRECISIONS:
        raise ValueError(f"There is no precision {precision!r}; choose among {', '.join(PRECISIONS)}.")
    if scheme not in SCHEMES:
        raise ValueError(f"There is no scheme {scheme!r}; choose among {', '.join(SCHEMES)}.")
    usual = PUBLISHED if mode == "reference" else Method()
    if usual.published and SCHEMES[scheme] is not usual.scheme:
        raise ValueError(f"The reference mode walks the {usual.scheme.name} scheme; drop --scheme {scheme}.")
    return Method(
        steps=usual.steps if steps is None else steps, scheme=SCHEMES[scheme],
        corrections=usual.corrections if corrections is None else corrections, published=usual.published,
        precision=precision,
    )


def _model(names: list[str], device: str) -> "CrystalModel":
    """One model, or several adapters worn together; a name may join them with plus signs, as the bench does."""
    from model import checkpoints
    from model.sampling.wear import worn
    from workbench import wearing

    parts = [part for name in names for part in wearing.parts(name)]
    return worn([checkpoints.load(part, device=device) for part in parts])


def _strengths(entries: list[str]) -> tuple[float, dict[str, float]]:
    """The strength of guidance for all, and those of single properties."""
    every, own = [], {}
    for entry in entries:
        name, equals, value = entry.rpartition("=")
        try:
            number = float(value)
        except ValueError as error:
            raise ValueError(f"Guidance is written 2 or name=2; found {entry!r}.") from error
        if name in own or (not equals and every):
            raise ValueError(f"Guidance is said twice for {name or 'all'}; say it once.")
        if equals:
            own[name] = number
        else:
            every.append(number)
    return (every[0] if every else 2.0), own


def _elements(text: str | None) -> frozenset[str] | None:
    from model.constraints import parse_system

    return None if text is None else parse_system(text)


def _targets(entries: list[str]) -> dict[str, tuple[float, float]]:
    targets = {}
    for entry in entries:
        name, _, value = entry.partition("=")
        try:
            numbers = [float(part) for part in value.replace("..", ":").split(":")]
        except ValueError:
            numbers = []
        if len(numbers) not in (1, 2):
            raise ValueError(f"A target is written name=value or name=low..high; found {entry!r}.")
        if name in targets:
            raise ValueError(f"{name} has two targets; give one, or a range as {name}=low..high.")
        targets[name] = (numbers[0], numbers[-1])
    return targets


def _atoms(text: str | None) -> int | tuple[int, int] | None:
    if text is None:
        return None
    parts = text.replace("..", ":").replace("-", ":").split(":")
    if len(parts) > 2 or not all(part.isdecimal() for part in parts):
        raise ValueError(f"Atoms are a number or a range as 4:12; found {text!r}.")
    return (int(parts[0]), int(parts[1])) if len(parts) == 2 else int(parts[0])


def _device(name: str) -> str:
    import torch

    if name != "auto":
        try:
            torch.zeros(1, device=name)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"The device {name!r} cannot be used here ({reason}); try cpu.") from error
        return name
    if torch.cuda.is_available():
        return "cuda"
    return "cpu"  # "mps" lacks double precision, which the random streams need; it can be named
