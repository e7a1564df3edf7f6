"""Sessions on disk: a folder each, every file written whole or not at all; listed, opened as far as can be, deleted."""

import contextlib
import json
import shutil
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.candidates import COLUMNS, Candidates
from model.constraints import Constraints
from model.crystals import Crystals
from workbench import paths
from workbench.columns import FLAGS, TEXTS
from workbench.sessions.session import Session

if TYPE_CHECKING:
    import pandas as pd

# format 2 keeps the method, what the figures show, and denoising paths; 3 a reference of one's own; 4 the corrector
VERSION = 4
ABOUT, CRYSTALS, RELAXED, TABLE = "session.json", "crystals.extxyz", "relaxed.extxyz", "candidates.csv"
PATHS = "paths"
_PLAIN = {
    "name": str, "created": str, "steps": int, "corrections": int, "method": str, "told": dict, "model_name": str,
    "model_hash": str, "reference": str, "reference_folder": str, "scorecard": str, "selection": str, "figures": dict,
}  # fmt: skip
_WITHIN: Mapping[str, range] = {"steps": range(1001), "corrections": range(11)}  # what a form can ask for


class SessionError(ValueError):
    """A session that cannot be opened, kept or deleted."""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A session as far as it could be read, and a sentence for each thing that is missing.

    `asked` says whether it is known what was asked for.
    """

    session: Session
    missing: tuple[str, ...] = ()
    asked: bool = True


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line in the list of sessions."""

    folder: Path
    name: str
    created: str
    made: int
    judged: int
    damaged: bool = False


def save(session: Session, folder: Path, parts: Container[str] = (CRYSTALS, RELAXED, TABLE)) -> None:
    """Keep a session in its folder; of the large files only `parts`, where the others are known to be as they were.

    Raises SessionError where the folder cannot be written.
    """
    from model.io import write_extxyz

    table = session.candidates.table
    about = {name: getattr(session, name) for name in _PLAIN} | {
        "told": dict(session.told), "figures": dict(session.figures),
        "version": VERSION, "constraints": session.constraints.to_json(), "chosen": list(session.chosen),
        "narrowed": {name: list(pair) for name, pair in session.narrowed.items()}, "made": len(table),
        "judged": session.judged,
    }  # fmt: skip
    kept = [name for name in table["id"] if name in session.relaxed]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if CRYSTALS in parts:
            write_extxyz(folder / CRYSTALS, session.candidates.crystals, [{"id": name} for name in table["id"]])
        if RELAXED in parts:
            relaxed = Crystals.join([session.relaxed[name] for name in kept])
            write_extxyz(folder / RELAXED, relaxed, [{"id": name} for name in kept])
        if TABLE in parts:
            _write(folder / TABLE, table.to_csv(index=False))
        _save_paths(session, folder / PATHS)
        _write(folder / ABOUT, json.dumps(about, indent=1) + "\n")  # last: with it the session is complete
    except OSError as error:
        raise SessionError(f"The session cannot be kept in {folder}: {error.strerror or error}.") from error


def _save_paths(session: Session, folder: Path) -> None:
    """Write the paths that are not there yet; a path never changes."""
    for name, path in session.paths.items():
        file = paths.file_of(folder, name)
        if isinstance(path, paths.KeptPath) and path.file == file:
            continue
        if not file.exists():
            folder.mkdir(exist_ok=True)
            with contextlib.suppress(paths.PathError):  # of a session opened damaged: it was said when it was opened
                paths.save(path, file)


def _write(file: Path, text: str) -> None:
    draft = file.with_name(f".{file.name}.part")
    draft.write_text(text, encoding="utf-8")
    draft.replace(file)


def load(folder: Path) -> Opened:
    """Open a session as far as it can be read. Raises SessionError where nothing of it can."""
    if not folder.is_dir():
        raise SessionError(f"There is no session in {folder}.")
    missing: list[str] = []
    about = _part(missing, "what was asked for", lambda: _read_about(folder / ABOUT)) or {}
    crystals, ids = _part(missing, "the crystals", lambda: _read_crystals(folder / CRYSTALS, missing)) or (
        Crystals.empty(), [],
    )  # fmt: skip
    relaxed, names = _part(missing, "the relaxed crystals", lambda: _read_crystals(folder / RELAXED, missing)) or (
        Crystals.empty(), [],
    )  # fmt: skip
    table = _part(missing, "the table of verdicts", lambda: _read_table(folder / TABLE, missing))
    if not about and not ids and not names and table is None:
        raise SessionError(f"Nothing in {folder} can be read as a session.")
    constraints = (
        _part(missing, "the constraints", lambda: Constraints.from_json(about["constraints"])) if about else None
    )
    asked, constraints = constraints is not None, constraints or Constraints()
    candidates = _matched(crystals, ids, table, constraints, missing)
    known = set(candidates.table["id"])
    plain = {name: value for name in _PLAIN if (value := _told(about, name, missing)) is not None}
    chosen = _part(missing, "what was chosen", lambda: [str(name) for name in about.get("chosen", ())]) or []
    narrowed = _part(missing, "what brushes let through", lambda: _ranges(about.get("narrowed", {}))) or {}
    kept, broken = paths.listed(folder / PATHS, ids)
    if broken:
        missing.append(f"{broken} of the denoising paths cannot be read.")
    return Opened(
        session=Session(
            **{"name": folder.name} | plain,
            paths=kept,
            constraints=constraints,
            candidates=candidates,
            relaxed={name: relaxed[row] for row, name in enumerate(names) if name in known},
            chosen=tuple(name for name in chosen if name in known),
            narrowed=narrowed,
        ),
        missing=tuple(missing),
        asked=asked,
    )


def _part(missing: list[str], what: str, read: Callable[[], Any]) -> Any:
    """What `read` gives; where it fails, None, and a sentence more on the list."""
    try:
        return read()
    except Exception as error:  # noqa: BLE001 - a damaged file fails in any way; the rest must still be opened
        missing.append(f"{what[0].upper()}{what[1:]} cannot be read: {_why(error)}.")
        return None


def _why(error: Exception) -> str:
    """What is wrong with a file, in a few words."""
    if isinstance(error, FileNotFoundError):
        return "the file is gone"
    if isinstance(error, UnicodeDecodeError):
        return "the file is damaged"
    said = str(error).strip().splitlines()
    return said[0].rstrip(".") if said else type(error).__name__


def _told(about: Mapping[str, Any], name: str, missing: list[str]) -> Any:
    """One plain thing that a session says of itself; None, and a sentence more, where it is of another kind."""
    value = about.get(name)
    if value is None:
        missing += [f"{ABOUT} does not say {name}."] if about else []
        return None
    if isinstance(value, _PLAIN[name]) and value in _WITHIN.get(name, (value,)):
        return value
    missing.append(f"{ABOUT} says of {name} what cannot be understood.")
    return None


def _ranges(told: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    return {name: (float(low), float(high)) for name, (low, high) in told.items()}


def _read_about(file: Path) -> dict[str, Any]:
    about = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(about, dict):
        raise SessionError(f"{file.name} holds no session.")
    version = about.get("version")
    if not isinstance(version, int) or version < 1:
        raise SessionError(f"{file.name} names no format of a session; found {version!r}")
    if version > VERSION:
        raise SessionError(
            f"{file.name} was written by a newer version of the bench (format {version}, this one reads "
            f"{VERSION}); update the bench."
        )
    return migrated(about)


def _from_format_1(about: dict[str, Any]) -> dict[str, Any]:
    """Format 1 knew one way of making crystals, and neither kept what the figures show nor any path."""
    return about | {"method": "diffusion", "told": {}, "figures": {}}


def _from_format_2(about: dict[str, Any]) -> dict[str, Any]:
    """Format 2 named the reference, and did not say where it lay: it was the shipped one, or is not known."""
    return about | {"reference_folder": ""}


def _from_format_3(about: dict[str, Any]) -> dict[str, Any]:
    """Format 3 was of a bench that walked without a corrector."""
    return about | {"corrections": 0}


MIGRATIONS: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {
    1: _from_format_1, 2: _from_format_2, 3: _from_format_3,
}  # fmt: skip


def migrated(about: dict[str, Any]) -> dict[str, Any]:
    """What a session says of itself, brought to the present format one format after another."""
    for version in range(int(about.get("version", 1)), VERSION):
        about = MIGRATIONS[version](about) | {"version": version + 1}
    return about


def _read_crystals(file: Path, missing: list[str]) -> tuple[Crystals, list[str]]:
    """Crystals and their ids; damaged ones are left out, and said. An empty file is an empty batch."""
    from model.io import UnreadableError
    from model.io.extxyz import frames_of, parse_frame

    found: dict[str, Crystals] = {}
    frames = list(frames_of(file.read_text(encoding="utf-8")))
    for frame in frames:
        with contextlib.suppress(UnreadableError, KeyError):
            crystal, info = parse_frame(frame)
            found.setdefault(str(info["id"]), crystal)
    if lost := len(frames) - len(found):
        missing.append(f"{lost} of the {len(frames)} crystals in {file.name} cannot be read.")
    return Crystals.join(list(found.values())) if found else Crystals.empty(), list(found)


def _read_table(file: Path, missing: list[str]) -> "pd.DataFrame":
    """The table with the kinds of values its columns have; rows cut off or told twice are left out, and said."""
    import pandas as pd

    # only an empty field is unknown: sodium nitride's formula is NaN
    table = pd.read_csv(file, dtype=dict.fromkeys(TEXTS, str), keep_default_na=False, na_values=[""])
    if not {"id", "status"} <= set(table.columns):
        raise SessionError(f"{file.name} lacks the columns id and status")
    sound = table["id"].notna() & table["status"].notna() & ~table["id"].duplicated()
    if not sound.all():
        missing.append(f"{int((~sound).sum())} rows of {file.name} are cut off or told twice.")
    table = table[sound][[name for name in table.columns if name in COLUMNS]].reset_index(drop=True)
    for name in FLAGS:
        if name in table:
            table[name] = table[name].astype("boolean")
    for name in ("reason", "status", "novelty"):
        if name in table:
            table[name] = table[name].fillna("")
    return table


def _matched(
    crystals: Crystals, ids: list[str], table: "pd.DataFrame | None", constraints: Constraints, missing: list[str]
) -> Candidates:
    """Crystals with their rows, by id; a crystal without a row gets one that says it is not judged yet."""
    import pandas as pd

    if not ids:
        if table is not None and len(table):
            missing.append(f"The crystals of {len(table)} rows of the table are gone.")
        return Candidates(crystals=Crystals.empty(), table=pd.DataFrame({"id": pd.Series(dtype=str)}))
    if table is None or set(table["id"]) != set(ids):
        fresh = _described(crystals, ids, constraints)
        if table is None:
            return Candidates(crystals=crystals, table=fresh)
        missing.append(f"{len(set(ids) ^ set(table['id']))} crystals and rows of the table do not belong together.")
        kept = table[table["id"].isin(ids)]
        table = pd.concat([kept, fresh[~fresh["id"].isin(kept["id"])]], ignore_index=True)
    table = table.set_index("id").loc[ids].reset_index()
    return Candidates(crystals=crystals, table=table)


def _described(crystals: Crystals, ids: list[str], constraints: Constraints) -> "pd.DataFrame":
    from model.record import candidates_of

    numbers = [int(tail) if (tail := name.rpartition("-")[2]).isdigit() else row for row, name in enumerate(ids)]
    return candidates_of(crystals, constraints, numbers).table.assign(id=ids)


def listed(root: Path) -> list[Entry]:
    """Sessions in a folder, the newest first; damaged ones are listed too, and marked."""
    if not root.is_dir():
        return []
    found = [_entry(folder) for folder in root.iterdir() if folder.is_dir() and _is_session(folder)]
    return sorted(found, key=lambda entry: (entry.created or "", entry.name), reverse=True)


def _is_session(folder: Path) -> bool:
    return not folder.name.startswith(".") and any((folder / name).exists() for name in (ABOUT, CRYSTALS))


def _entry(folder: Path) -> Entry:
    try:
        about: Mapping[str, Any] = _read_about(folder / ABOUT)
        return Entry(folder=folder, name=str(about["name"]), created=str(about["created"]), made=int(about["made"]),
                     judged=int(about["judged"]))  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):
        return Entry(folder=folder, name=folder.name, created="", made=0, judged=0, damaged=True)


def delete(folder: Path) -> None:
    """Delete a session's folder. Raises SessionError for a folder that holds no session."""
    if not _is_session(folder):
        raise SessionError(f"{folder} holds no session, so it is not deleted.")
    gone = folder.with_name(f".{folder.name}.deleted")  # out of the list at once, even if deleting takes its time
    folder.replace(gone)
    shutil.rmtree(gone)
