"""Verdicts on disk: candidates.csv, scorecard.json, relaxed crystals as extended XYZ and CIF. Edge: pandas."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from model.evaluation.evaluate import Evaluation, evaluate
from model.evaluation.journal import Journal
from model.evaluation.reference import Reference
from model.evaluation.scorecard import Scorecard
from model.execution import Watch, processes, silent
from model.relax.potential import Potential

if TYPE_CHECKING:
    from model.io import Reading

TABLE, CARD, RELAXED, CIFS = "candidates.csv", "scorecard.json", "relaxed.extxyz", "cif"


def judge_folder(
    reading: "Reading",
    out: Path,
    *,
    potential: Potential,
    reference: Reference,
    relax: bool = True,
    fmax: float = 0.05,
    steps: int = 500,
    workers: int = 1,
    watch: Watch = silent,
) -> Scorecard:
    """Judge what was read and keep the verdicts in `out`, which must not exist yet.

    Files that should have been crystals and could not be read count as made and not judged. What is interrupted and
    started again goes on where it was: crystals that came to rest are kept beside `out` until it is written.
    """
    crystals = reading.crystals
    out.parent.mkdir(parents=True, exist_ok=True)
    journal = Journal(
        out.with_name(f".{out.name}.journal"), crystals, potential=potential.name, relax=relax, fmax=fmax, steps=steps
    )
    lost = {name: reason for name, reason in reading.skipped if _meant_as_crystal(name)}
    with processes(workers) as executor:
        evaluation = evaluate(
            crystals, potential=potential, reference=reference, ids=reading.ids, relax=relax, fmax=fmax,
            steps=steps, missing=lost, journal=journal, executor=executor, watch=watch,
        )  # fmt: skip
    write(evaluation, out, skipped=reading.skipped)
    journal.end()
    return evaluation.scorecard


def _meant_as_crystal(name: str) -> bool:
    """Whether a file that could not be read was one of a crystal, and not a note beside it."""
    path = Path(name)
    return path.suffix.lower() in {".cif", ".xyz", ".extxyz", ".vasp", ".poscar"} or "POSCAR" in path.name.upper()


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
    card = evaluation.scorecard.to_json() | {"skipped": [list(one) for one in skipped]}
    (draft / CARD).write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    relaxation = evaluation.relaxation
    infos = [
        {"id": str(name), "total_energy": float(energy), "converged": bool(converged)}
        for name, energy, converged in zip(table["id"], relaxation.energy, relaxation.converged, strict=True)
    ]
    write_extxyz(draft / RELAXED, relaxation.crystals, infos)
    for name, structure in zip(table["id"], to_structures(relaxation.crystals), strict=True):
        write_cif(draft / CIFS / f"{_file_name(str(name))}.cif", structure)
    draft.rename(out)


def _file_name(name: str) -> str:
    """A crystal's name as a file name: no way out of the folder."""
    plain = "".join(c if c.isalnum() or c in "-_.()+" else "_" for c in name.removesuffix(".cif"))
    return plain.lstrip(".") or "crystal"
