"""`workbench generate`: crystals from constraints, into a folder that can be replayed and gone on with."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from workbench.commands import talk

Many = Annotated[list[str] | None, typer.Option(help="As name=value or name=low:high, in the property's unit.")]


def generate(
    out: Annotated[Path, typer.Option(help="Folder for the crystals; never overwritten.")],
    model: Annotated[str, typer.Option(help="Shipped or published name, or a folder.")] = "base",
    chemical_system: Annotated[str | None, typer.Option(help="Exactly these elements, as Li-O.")] = None,
    allowed: Annotated[str | None, typer.Option(help="Nothing outside these elements.")] = None,
    excluded: Annotated[str | None, typer.Option(help="None of these elements.")] = None,
    formula: Annotated[str | None, typer.Option(help="This composition times a whole number, as CaTiO3.")] = None,
    space_group: Annotated[int | None, typer.Option(help="1 to 230; for models that listen to it.")] = None,
    target: Many = None,
    atoms: Annotated[str | None, typer.Option(help="Atoms in the cell: a number, or a range as 4:12.")] = None,
    count: Annotated[int, typer.Option(min=1, help="How many crystals.")] = 16,
    guidance: Annotated[float, typer.Option(help="Strength of the conditions.")] = 2.0,
    seed: int = 0,
    steps: Annotated[int, typer.Option(min=1, max=1000, help="Steps from noise to crystal, 1 to 1000.")] = 100,
    scheme: Annotated[str, typer.Option(help="ancestral, euler, heun or multistep.")] = "ancestral",
    corrections: Annotated[int, typer.Option(min=0, help="Corrector evaluations before each step.")] = 0,
    reference: Annotated[
        bool, typer.Option(help="Just as the released sampler; 1000 steps and one correction, whatever else is said.")
    ] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Crystals at once; the last digits depend on it.")] = 64,
    precision: Annotated[
        str, typer.Option(help="Of matrix products: highest, or high and medium, which may use TF32 and bf16 units.")
    ] = "highest",
    device: Annotated[str, typer.Option(help="cpu, cuda or mps; auto takes the fastest.")] = "auto",
) -> None:
    """Generate crystals; finished batches are written at once, and a broken-off run goes on when called again."""
    from model import checkpoints
    from model.constraints import Constraints
    from model.execution import Progress
    from model.record import RunFolder
    from model.sampling.generate import PRECISIONS, PUBLISHED, Method
    from model.sampling.generate import generate as make
    from model.sampling.requests import check
    from model.sampling.schemes import SCHEMES

    if precision not in PRECISIONS:
        raise talk.fail(f"There is no precision {precision!r}; choose among {', '.join(PRECISIONS)}.")
    if scheme not in SCHEMES:
        raise talk.fail(f"There is no scheme {scheme!r}; choose among {', '.join(SCHEMES)}.")
    method = PUBLISHED if reference else Method(steps, SCHEMES[scheme], corrections, precision=precision)
    try:
        constraints = Constraints(
            chemical_system=chemical_system, allowed=_elements(allowed), excluded=_elements(excluded) or frozenset(),
            formula=formula, space_group=space_group, targets=_targets(target or []), n_atoms=_atoms(atoms),
            count=count, guidance=guidance, seed=seed,
        )
        loaded = checkpoints.load(model, device=_device(device))
        check(constraints, loaded)  # before the folder is begun, so that a slip of the pen does not use it up
        folder = RunFolder(out)
        done = folder.begin(constraints, loaded, method.to_json() | {"batch_size": batch_size})
        with talk.bar() as bar:
            def watch(progress: Progress) -> None:
                if progress.stage == "generate":
                    folder.add(progress.payload, constraints)
                bar(replace(progress, payload=None))

            make(loaded, constraints, **method.arguments(), batch_size=batch_size, done=done, watch=watch)
        folder.finish()
    except (ValueError, OSError) as error:
        raise talk.fail(str(error)) from error
    typer.echo(f"{count} crystals are in {out}: crystals.extxyz, cif/, candidates.csv, run.json.")
    typer.echo(f"Judge them with: workbench evaluate {out}")


def _elements(text: str | None) -> frozenset[str] | None:
    from model.constraints import parse_system

    return None if text is None else parse_system(text)


def _targets(entries: list[str]) -> dict[str, tuple[float, float]]:
    targets = {}
    for entry in entries:
        name, _, value = entry.partition("=")
        try:
            numbers = [float(part) for part in value.split(":")]
        except ValueError:
            numbers = []
        if len(numbers) not in (1, 2):
            raise ValueError(f"A target is written name=value or name=low:high; found {entry!r}.")
        targets[name] = (numbers[0], numbers[-1])
    return targets


def _atoms(text: str | None) -> int | tuple[int, int] | None:
    if text is None:
        return None
    parts = text.replace("-", ":").split(":")
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
