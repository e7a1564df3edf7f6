"""Makes a figure's crystals: generated, relaxed, judged and measured, in folders that can be gone on with."""

import tempfile
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from model.execution import Progress, Watch
from workbench.paper import tables
from workbench.paper.plans import Ask, Plan
from workbench.paper.showing import telling

if TYPE_CHECKING:
    import pandas as pd

    from model.relax.potential import Potential

BATCH = 64


def make(plan: Plan, folder: Path | None = None, *, watch: Watch | None = None) -> "pd.DataFrame":
    """The judged crystals of a plan: out of its table, or generated now where the plan says so.

    With a `folder`, runs are kept below it, and what was broken off goes on there; without, they are made in a
    temporary one. A notebook shows how far it is, unless a `watch` is given.
    """
    if not plan.generates:
        return tables.table(plan.table)
    import pandas as pd

    from model.properties.readouts import SHIPPED
    from workbench.paper.properties import with_bulk_moduli, with_readout

    watch = telling() if watch is None else watch
    with room(folder) as name:
        parts = [tables.judged_folder(place) for place in judged(plan, Path(name), watch)]
    found = pd.concat(parts, ignore_index=True)
    for flag in tables.FLAGS:
        if flag in found:
            found[flag] = found[flag].astype("boolean")
    found = with_bulk_moduli(found, watch=watch) if plan.bulk_modulus else found
    return with_readout(found, SHIPPED / plan.readout) if plan.readout else found


def room(folder: Path | None) -> AbstractContextManager[str]:
    """Where runs are kept: a folder, or for a while."""
    return tempfile.TemporaryDirectory() if folder is None else nullcontext(str(folder))


def judged(plan: Plan, folder: Path, watch: Watch) -> list[Path]:
    """The judged folders of all that a plan asks, below a folder; what is done already is not done again."""
    from model.relax.chgnet import CHGNetPotential

    potential = CHGNetPotential()
    return [_judged(ask, folder / _name(plan, ask), potential, watch) for ask in plan.asks]


def _name(plan: Plan, ask: Ask) -> str:
    wish, walk = ask.constraints, ask.method
    about = [str(wish.space_group)] if wish.space_group else sorted(wish.chemical_system or ())
    if len({one.method for one in plan.asks}) > 1:
        about += [str(walk.steps), str(walk.corrections)]
    return "-".join([plan.figure, plan.preset, *about])


def _judged(ask: Ask, run: Path, potential: "Potential", watch: Watch) -> Path:
    """One ask's crystals, generated and judged; each half is passed over where it is done already."""
    from model import io
    from model.evaluation.account import account
    from model.evaluation.reference import Reference
    from model.evaluation.report import judge_folder

    if not tables.run_of(run).get("finished"):
        _generate(ask, run, watch)
    out = run.with_name(run.name + "-evaluated")
    if not out.exists():
        reading = io.read_crystals(run)
        judge_folder(
            reading, out, potential=potential, reference=Reference.shipped(), accounted=account(reading, run),
            watch=watch,
        )  # fmt: skip
    return out


def _generate(ask: Ask, run: Path, watch: Watch) -> None:
    from model.checkpoints import load
    from model.record import RunFolder
    from model.sampling.generate import generate
    from model.sampling.requests import check

    model = load(ask.model)
    check(ask.constraints, model)
    record = RunFolder(run)
    done = record.begin(ask.constraints, model, ask.method.to_json() | {"batch_size": BATCH})

    def keep(progress: Progress) -> None:
        if progress.stage == "generate":
            record.add(progress.payload, ask.constraints)
        watch(replace(progress, payload=None))

    generate(model, ask.constraints, **ask.method.arguments(), batch_size=BATCH, done=done, watch=keep)
    record.finish()
