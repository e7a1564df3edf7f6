"""Verdicts on disk: candidates.csv, scorecard.json, relaxed crystals as extended XYZ and CIF. Edge: pandas."""

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from model.candidates import COLUMNS
from model.evaluation.account import Account, account
from model.evaluation.evaluate import Evaluation, evaluate, scored_again
from model.evaluation.matching import Matcher
from model.evaluation.means import Means
from model.evaluation.reference import Reference
from model.evaluation.scorecard import Scorecard
from model.evaluation.stages import Stages
from model.execution import Watch, executor_of, silent
from model.relax.potential import Potential

if TYPE_CHECKING:
    import pandas as pd

    from model.io import Reading

TABLE, CARD, RELAXED, CIFS = "candidates.csv", "scorecard.json", "relaxed.extxyz", "cif"
UNITS = "columns.json"  # what each column of the table is, its unit, and where it comes from
HULLS = "hulls.csv"  # written where more than one reference was asked


def judge_folder(
    reading: "Reading",
    out: Path,
    *,
    potential: Potential,
    reference: Reference,
    accounted: Account | None = None,
    relax: bool = True,
    fmax: float = 0.05,
    steps: int = 500,
    matcher: Matcher | None = None,
    others: Sequence[Reference] = (),
    workers: int = 1,
    dask: str | None = None,
    stages: Stages | None = None,
    measures: Sequence[Callable[[Evaluation, Means], Evaluation]] = (),
    watch: Watch = silent,
) -> Scorecard:
    """Judge what was read and keep the verdicts in `out`, which must not exist yet.

    `accounted` says which crystals of the reading are judged, and who is missing; without it, whatever could be read is
    judged, and the rest missing. `measures` learn more of all that was judged. What is interrupted and started again
    goes on where it was: crystals that came to rest and what measures found are kept beside `out` until it is written.
    """
    accounted = accounted or account(reading)
    crystals = accounted.candidates.crystals
    out.parent.mkdir(parents=True, exist_ok=True)
    stages = Stages() if stages is None else stages
    with executor_of(workers, dask) as executor:
        means = Means(executor=executor, watch=watch, stages=stages, out=out)
        memory = means.at_rest("judged", crystals, potential=potential.name, relax=relax, fmax=fmax, steps=steps)
        evaluation = evaluate(
            accounted.candidates, potential=potential, reference=reference, relax=relax, fmax=fmax, steps=steps,
            made=accounted.made, missing=accounted.missing, constraints=accounted.constraints, matcher=matcher,
            others=others, memory=memory, stages=stages, executor=executor, watch=watch,
        )  # fmt: skip
        for measure in measures:
            evaluation = measure(evaluation, means)
        if measures:  # which may have found what was asked for
            evaluation = scored_again(evaluation, accounted.missing, accounted.constraints, known=len(reference.known))
    write(evaluation, out, skipped=reading.skipped)
    means.end()
    return evaluation.scorecard


def write(evaluation: Evaluation, out: Path, *, skipped: Sequence[tuple[str, str]] = ()) -> None:
    """Keep an evaluation in a folder that does not exist yet, whole or not at all."""
    from model.io import to_structures, write_cif, write_extxyz

    if out.exists():
        raise FileExistsError(f"{out} exists already; name a folder that does not.")
    draft = out.with_name(f".{out.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    (draft / CIFS).mkdir(parents=True)
    table = evaluation.candidates.table
    table.to_csv(draft / TABLE, index=False)
    (draft / UNITS).write_text(json.dumps(_units(table.columns), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    card = evaluation.scorecard.to_json() | {"skipped": [list(one) for one in skipped]}
    (draft / CARD).write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if evaluation.others:
        _others(evaluation).to_csv(draft / HULLS, index=False)
    relaxation = evaluation.relaxation
    infos = [
        {"id": str(name), "total_energy": float(energy), "converged": bool(converged)}
        for name, energy, converged in zip(table["id"], relaxation.energy, relaxation.converged, strict=True)
    ]
    write_extxyz(draft / RELAXED, relaxation.crystals, infos)
    for name, structure in zip(table["id"], to_structures(relaxation.crystals), strict=True):
        write_cif(draft / CIFS / f"{_file_name(str(name))}.cif", structure)
    draft.rename(out)


def _units(columns: Iterable[str]) -> dict[str, dict[str, str]]:
    known = {name: COLUMNS[name] for name in columns if name in COLUMNS}
    return {name: {"label": one.label, "unit": one.unit, "about": one.about} for name, one in known.items()}


def _others(evaluation: Evaluation) -> "pd.DataFrame":
    """Energies above each further hull, in eV/atom, a column a reference."""
    import pandas as pd

    return pd.DataFrame({"id": evaluation.candidates.table["id"], **evaluation.others})


def _file_name(name: str) -> str:
    """A crystal's name as a file name: no way out of the folder."""
    plain = "".join(c if c.isalnum() or c in "-_.()+" else "_" for c in name.removesuffix(".cif"))
    return plain.lstrip(".") or "crystal"
