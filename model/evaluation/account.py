"""Who was made and who is here: every crystal of a run judged, or named as missing with a reason."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.candidates import Candidates
from model.constraints import ConstraintError, Constraints
from model.evaluation.scorecard import ScorecardError
from model.record import RUN, TABLE, name_of

if TYPE_CHECKING:
    import pandas as pd

    from model.io import Reading

PROPERTIES = ("dft_mag_density", "dft_band_gap", "dft_bulk_modulus", "ml_bulk_modulus")  # not told by judging itself
_KEPT = ("seed", "index")  # what a generated crystal carries to its verdict: with them it is made again


@dataclass(frozen=True, kw_only=True)
class Account:
    """Crystals to judge, with what their run said of each; those missing, by name; how many were made."""

    candidates: Candidates
    missing: Mapping[str, str]
    made: int
    constraints: Constraints | None = None


def account(
    reading: "Reading",
    folder: Path | None = None,
    *,
    made: int | None = None,
    missing: Mapping[str, str] | None = None,
    unfinished: bool = False,
) -> Account:
    """Account for all crystals that a folder should hold.

    A folder with a run.json tells itself how many were asked for; `made` says it for others. Crystals that the run
    found bad, and files or frames that could not be read, are missing with their reasons; `missing` names more of
    them. With `unfinished`, those that run.json promises and that are not there are missing as never made.
    Raises ScorecardError while some are unaccounted for.
    """
    told, constraints = ({}, None) if folder is None else _run(folder)
    gone = dict(missing or {})
    bad = [row for row, info in enumerate(reading.infos) if info.get("status") == "bad"]
    gone |= {reading.ids[row]: str(reading.infos[row].get("reason", "bad")) for row in bad}
    lost = {name: reason for name, reason in reading.skipped if meant_as_crystal(name)}
    if constraints is not None:
        made = constraints.count if made is None else made
        gone |= _absent(reading, constraints, made, lost, gone, unfinished=unfinished or bool(told.get("finished")))
    else:
        gone |= lost
    keep = [row for row in range(len(reading)) if row not in set(bad)]
    here = [reading.ids[row] for row in keep]
    if both := sorted(set(here) & set(gone)):
        raise ScorecardError(f"{_some(both)} named as missing, but here to be judged; leave the name out.")
    made = len(here) + len(gone) if made is None else made
    if made != len(here) + len(gone):
        raise ScorecardError(
            f"{made} crystals were made, {len(here)} are here to be judged and {len(gone)} are named as missing: "
            f"{abs(made - len(here) - len(gone))} unaccounted for, so a rate would mean nothing. "
            "Name each with --missing NAME=REASON, or say how many were made with --made."
        )
    candidates = _candidates(reading, keep, here, folder)
    return Account(candidates=candidates, missing=gone, made=made, constraints=constraints)


def meant_as_crystal(name: str) -> bool:
    """Whether a file, or a frame of one, that could not be read was one of a crystal, and not a note beside it."""
    file = Path(name.split(", frame ", maxsplit=1)[0])
    return file.suffix.lower() in {".cif", ".mcif", ".xyz", ".extxyz", ".vasp", ".poscar", ".zip"} or (
        "POSCAR" in file.name.upper()
    )


def _run(folder: Path) -> tuple[dict[str, Any], Constraints | None]:
    """What run.json says, and what was asked of the run; nothing where it is no run of ours."""
    file = (folder if folder.is_dir() else folder.parent) / RUN
    if not file.is_file():
        return {}, None
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        return told, Constraints.from_json(told["constraints"])
    except (ValueError, KeyError, TypeError, ConstraintError) as error:
        raise ScorecardError(f"{file} is damaged ({error}); repair it, or take it away to judge the crystals alone.") \
            from error


def _absent(
    reading: "Reading",
    constraints: Constraints,
    made: int,
    lost: Mapping[str, str],
    gone: Mapping[str, str],
    *,
    unfinished: bool,
) -> dict[str, str]:
    """Crystals of a run that are not in its record, by their names. Raises ScorecardError where that is unexplained."""
    here = {int(info["index"]) for info in reading.infos if "index" in info}
    names = [name_of(constraints.seed, index) for index in range(made) if index not in here]
    names = [name for name in names if name not in gone]
    if not names:
        return {}
    if lost:
        why = "; ".join(f"{name}: {reason}" for name, reason in list(lost.items())[:3])
        return dict.fromkeys(names, f"not readable in the record ({why})")
    if not unfinished:
        raise ScorecardError(
            f"The run was asked for {made} crystals and holds {made - len(names)}: {_some(names)} not generated yet. "
            "Finish it with the same generate command, or count them as never made with --unfinished."
        )
    return dict.fromkeys(names, "not in the record")


def _some(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"{names[0]} is"
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + f"{more} are"


def _candidates(reading: "Reading", keep: Sequence[int], names: Sequence[str], folder: Path | None) -> Candidates:
    """Crystals to judge, with their seed and index, and properties that the run's own table tells of them."""
    import pandas as pd

    table = pd.DataFrame({"id": list(names)})
    for column in _KEPT:
        found = [reading.infos[row].get(column) for row in keep]
        if any(value is not None for value in found):
            table[column] = pd.array(found, dtype="Int64")
    told = _told(folder)
    if told is not None:
        table = table.join(told.reindex(table["id"]).reset_index(drop=True))
    return Candidates(crystals=reading.crystals[list(keep)], table=table)


def _told(folder: Path | None) -> "pd.DataFrame | None":
    """Properties in the table beside a run's crystals, by id; None where there are none."""
    import pandas as pd

    file = None if folder is None else folder / TABLE
    if file is None or not file.is_file():
        return None
    try:
        told = pd.read_csv(file, keep_default_na=False, na_values=[""])
    except (ValueError, UnicodeDecodeError) as error:
        raise ScorecardError(f"{file} is not readable as a table ({error}); repair it, or take it away.") from error
    named = [name for name in PROPERTIES if name in told.columns]
    if not named or "id" not in told.columns or told["id"].duplicated().any():
        return None
    return told.assign(id=told["id"].astype(str)).set_index("id")[named].apply(pd.to_numeric, errors="coerce")
