"""What a run of generation leaves behind: a table of its crystals, and a folder that can replay it. Edge: pymatgen."""

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from model import io
from model.candidates import Candidates
from model.constraints import Constraints
from model.crystals import Crystals
from model.sampling.generate import Batch
from model.sampling.requests import Start

RECORD, TABLE, RUN = "crystals.extxyz", "candidates.csv", "run.json"


class RunExistsError(FileExistsError):
    """A folder that already holds something; runs never overwrite."""


@runtime_checkable
class Maker(Protocol):
    """What made a run's crystals: a model, or another way of proposing."""

    name: str

    @property
    def hash(self) -> str:
        """Digest of all that the crystals depend on beside constraints and method."""
        ...


def candidates_of(
    crystals: Crystals,
    constraints: Constraints,
    indices: Sequence[int] | None = None,
    problems: Mapping[int, str] | None = None,
) -> Candidates:
    """A row for each generated crystal: name, formula, space group, size, and where it came from."""
    import pandas as pd

    indices = range(len(crystals)) if indices is None else indices
    problems = problems or {}
    rows = []
    for structure, index in zip(io.to_structures(crystals), indices, strict=True):
        symbol, number = io.space_group(structure)
        rows.append({
            "id": name_of(constraints.seed, index),
            "formula": structure.composition.reduced_formula,
            "chemical_system": structure.composition.chemical_system,
            "n_atoms": len(structure),
            "space_group": symbol,
            "space_group_number": number,
            "volume": structure.volume,
            "density": float(structure.density),
            "seed": constraints.seed,
            "index": index,
            "status": "bad" if index in problems else "generated",
            "reason": problems.get(index, ""),
        })
    return Candidates(crystals=crystals, table=pd.DataFrame(rows))


def name_of(seed: int, index: int) -> str:
    """A crystal's id: with its model and constraints, seed and index make it again."""
    return f"s{seed}-{index:04d}"


class RunFolder:
    """A folder that grows by one finished batch at a time and can be gone on with.

    `crystals.extxyz` is the record, as generated; `cif/` holds a symmetrised CIF of each for people;
    `candidates.csv` has a row for each; `run.json` says what was asked of which model, and of every batch as it was
    made: which crystals, which of them were begun anew and how often, and on what it was computed. All in one order.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def begin(
        self, constraints: Constraints, model: Maker, method: Mapping[str, Any], start: Start | None = None
    ) -> set[int]:
        """Start a new folder, or go on in one that holds the unfinished part of just this run; give what is done.

        Raises RunExistsError where the folder holds anything else.
        """
        told = {
            "constraints": constraints.to_json(),
            "model": {"name": model.name, "hash": model.hash},
            "method": dict(method),
            "versions": versions(),
        }
        if start is not None:
            told["start"] = start.to_json()
        told = json.loads(json.dumps(told))
        if (self.folder / RUN).exists():
            before = json.loads((self.folder / RUN).read_text(encoding="utf-8"))
            same = all(before.get(k) == told.get(k) for k in ("constraints", "model", "method", "start"))
            if same and not before.get("finished", True):
                return self._done(constraints)
            what = "is finished" if same else "is of other constraints, model, method or start"
            raise RunExistsError(f"{self.folder} holds a run that {what}, and is not overwritten; name another folder.")
        if self.folder.is_file():
            raise RunExistsError(f"{self.folder} is a file; name a folder.")
        if self.folder.exists() and any(self.folder.iterdir()):
            raise RunExistsError(f"{self.folder} exists and is not empty; it is not overwritten. Name another folder.")
        (self.folder / "cif").mkdir(parents=True, exist_ok=True)
        self._write_run(told | {"batches": [], "finished": False})
        return set()

    def add(self, batch: Batch, constraints: Constraints) -> Candidates:
        """Write one finished batch: record, CIF files, rows."""
        candidates = candidates_of(batch.crystals, constraints, batch.indices, batch.problems)
        rows = candidates.table[["id", "seed", "index", "status", "reason"]].to_dict("records")
        info = [{name: value for name, value in row.items() if value != ""} for row in rows]
        for row, structure in zip(info, io.to_structures(batch.crystals), strict=True):
            io.write_cif(self.folder / "cif" / f"{row['id']}.cif", structure)
        record, table = self.folder / RECORD, self.folder / TABLE
        io.write_extxyz(record, batch.crystals, info, append=record.exists())  # whole or not at all
        candidates.table.to_csv(table, mode="a", header=not table.exists(), index=False)
        told = json.loads((self.folder / RUN).read_text(encoding="utf-8"))
        self._write_run(told | {"batches": [*told.get("batches", []), _told_of(batch)]})
        return candidates

    def finish(self) -> None:
        """Say in `run.json` that all is there."""
        told = json.loads((self.folder / RUN).read_text(encoding="utf-8"))
        self._write_run(told | {"finished": True})

    def _done(self, constraints: Constraints) -> set[int]:
        """Indices in the record; what a broken-off run left of the table and the CIFs is made anew from it."""
        (self.folder / TABLE).unlink(missing_ok=True)
        if not (self.folder / RECORD).exists():
            return set()
        crystals, info = io.read_extxyz(self.folder / RECORD)
        indices = [int(row["index"]) for row in info]
        problems = {i: str(row["reason"]) for i, row in zip(indices, info, strict=True) if row["status"] == "bad"}
        candidates_of(crystals, constraints, indices, problems).table.to_csv(self.folder / TABLE, index=False)
        for row, structure in zip(info, io.to_structures(crystals), strict=True):
            io.write_cif(self.folder / "cif" / f"{row['id']}.cif", structure)
        return set(indices)

    def _write_run(self, told: Mapping[str, Any]) -> None:
        partial = self.folder / (RUN + ".partial")
        partial.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        partial.replace(self.folder / RUN)


def _told_of(batch: Batch) -> dict[str, Any]:
    """A batch as `run.json` keeps it; crystals by their numbers in the run."""
    redrawn = {str(i): n for i, n in zip(batch.indices, batch.attempts, strict=False) if n}
    return {
        "size": len(batch.indices),
        "crystals": _spans(batch.indices),
        "redrawn": redrawn,
        "bad": {str(index): said for index, said in batch.problems.items()},
        **batch.machine,
    }


def _spans(indices: Sequence[int]) -> str:
    """Numbers as spans: 0-2, 4."""
    spans: list[list[int]] = []
    for index in sorted(indices):
        if spans and index == spans[-1][1] + 1:
            spans[-1][1] = index
        else:
            spans.append([index, index])
    return ", ".join(f"{first}-{last}" if last > first else str(first) for first, last in spans)


def versions() -> dict[str, str]:
    """Versions of what made the crystals."""
    found = {}
    for name in ("mattergen-design-workbench", "torch", "numpy", "pymatgen"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
