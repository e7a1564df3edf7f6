"""The small tables behind the figures: judged crystals with what was asked for, packed into one file. Edge: pandas."""

import gzip
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.candidates import COLUMNS

if TYPE_CHECKING:
    import pandas as pd

    from model.candidates import Candidates
    from model.data.cache import Dataset

FLAGS = ("stable", "unique", "novel", "sun", "relaxed_converged", "structure_valid", "composition_valid")
DROPPED = ("seed", "index", "nearest_distance", "energy", "hhi_production", "reason")  # no figure asks for these
DIGITS = 5
HERE = "NOTEBOOK_DATA"  # the variable that names another folder of tables


class TableError(ValueError):
    """Folders or files that cannot be made into a table."""


def folder() -> Path:
    """Where the tables are: the folder that NOTEBOOK_DATA names, or `data` beside the notebook."""
    named = os.environ.get(HERE)
    return Path(named) if named else Path("data")


def table(name: str) -> "pd.DataFrame":
    """A table of judged crystals by name; an empty one, which says so, where it is not there."""
    import pandas as pd

    path = folder() / f"{name}.csv.gz"
    if not path.exists():
        print(f"{path.name} is not in {folder()}: its series is left out. data/README.md tells how it is made.")
        return empty()
    found = pd.read_csv(path, keep_default_na=False, na_values=[""], low_memory=False)
    for flag in FLAGS:
        if flag in found:
            found[flag] = found[flag].astype("boolean")
    return found


def empty() -> "pd.DataFrame":
    """A table with the usual columns and no crystals."""
    import pandas as pd

    numeric = ("energy_above_hull", "rmsd", "ml_mag_density", "dft_band_gap", "ml_bulk_modulus", "hhi_score",
               "space_group_number", "relaxed_space_group_number", "n_atoms", "hull_coverage")  # fmt: skip
    texts = ("id", "formula", "chemical_system", "space_group", "relaxed_space_group", "status", "novelty", "model",
             "asked", "cif")  # fmt: skip
    parts = {name: pd.Series(dtype=float) for name in numeric} | {name: pd.Series(dtype=object) for name in texts}
    return pd.DataFrame(parts | {flag: pd.Series(dtype="boolean") for flag in FLAGS})


def labels() -> "pd.DataFrame":
    """Labels of the training crystals, a row a crystal; no rows where the table is not there."""
    import pandas as pd

    path = folder() / "labels.csv.gz"
    if not path.exists():
        print(f"{path.name} is not in {folder()}: the training data's curves are left out.")
        return pd.DataFrame({"formula": pd.Series(dtype=object)})
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def candidates(found: "pd.DataFrame") -> "Candidates":
    """The crystals of a table as candidates, for the bench's own pictures; rows without a structure are left out."""
    from model.candidates import Candidates
    from model.io import from_structures

    rows = found[found["cif"].notna()].reset_index(drop=True)
    known = rows[[name for name in rows.columns if name in COLUMNS]]
    return Candidates(crystals=from_structures(structures(rows)), table=known)


def structures(found: "pd.DataFrame") -> list[Any]:
    """The relaxed crystals of rows that have one, as pymatgen structures, in order."""
    from model.io import parse_cif

    return [parse_cif(text)[0] for text in found["cif"].dropna()]


def asked(found: "pd.DataFrame") -> "pd.DataFrame":
    """What was asked for each crystal: columns `space_group` and `system`, and one for each target's middle."""
    import pandas as pd

    rows = []
    for text in found["asked"].fillna("{}"):
        wish = json.loads(text)
        system = wish.get("chemical_system")
        row: dict[str, Any] = {"space_group": wish.get("space_group"),
                               "system": "-".join(sorted(system)) if system else None}
        for name, target in (wish.get("targets") or {}).items():
            low, high = (target["low"], target["high"]) if isinstance(target, Mapping) else target
            row[name] = (low + high) / 2
        rows.append(row)
    return pd.DataFrame(rows, index=found.index, columns=None if rows else ["space_group", "system"])


def judged_folder(judged: Path, *, structures: bool = True) -> "pd.DataFrame":
    """The table of one judged folder, with what was asked of which model and the relaxed crystals.

    Raises TableError where the folder holds no verdicts.
    """
    import pandas as pd

    path = judged / "candidates.csv"
    if not path.exists():
        raise TableError(f"{judged} holds no candidates.csv; judge the run first: workbench evaluate RUN.")
    found = pd.read_csv(path, keep_default_na=False, na_values=[""])
    told = run_of(judged)
    found = pd.concat([found, _missing(judged, found, told)], ignore_index=True)
    # crystals that came from elsewhere are named by their folder, as published-mattergen+chemical_system
    found["model"] = told.get("model", {}).get("name", judged.name.removeprefix("published-").replace("+", "/"))
    found["asked"] = json.dumps(told.get("constraints", {}))
    found["method"] = json.dumps(told.get("method", {}))
    found["judged_by"] = json.dumps(judges_of(judged))
    found["cif"] = _relaxed(judged, found) if structures else None
    usual = empty()  # a run of which nothing could be judged has but names
    return found.assign(**{name: pd.Series(dtype=usual[name].dtype) for name in usual if name not in found})


def _missing(judged: Path, found: "pd.DataFrame", told: Mapping[str, Any]) -> "pd.DataFrame":
    """Rows for crystals that were made and could not be judged: every rate of the set counts them."""
    import pandas as pd

    gone = [name for name in (_card(judged).get("missing") or {}) if name not in set(found["id"].astype(str))]
    system = (told.get("constraints") or {}).get("chemical_system")
    rows = pd.DataFrame({"id": gone, "status": "missing"})
    return rows.assign(chemical_system="-".join(sorted(system))) if system else rows


def _card(judged: Path) -> dict[str, Any]:
    path = judged / "scorecard.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def run_of(judged: Path) -> dict[str, Any]:
    """The record of the run that a judged folder was made from; empty where there is none."""
    for place in (judged, judged.with_name(judged.name.removesuffix("-evaluated"))):
        if (place / "run.json").exists():
            return json.loads((place / "run.json").read_text(encoding="utf-8"))
    return {}


def judges_of(judged: Path) -> dict[str, Any]:
    """Reference, energy model and matcher of a judged folder."""
    card = _card(judged)
    return {name: card.get(name) for name in ("reference", "energy_model", "matcher")}


def _relaxed(judged: Path, found: "pd.DataFrame") -> list[str | None]:
    from model.io import read_extxyz, to_structures

    crystals, infos = read_extxyz(judged / "relaxed.extxyz")
    texts = {str(info["id"]): short_cif(one) for info, one in zip(infos, to_structures(crystals), strict=True)}
    good = found["status"].eq("judged")
    return [texts.get(str(name)) if fine else None for name, fine in zip(found["id"], good, strict=True)]


def short_cif(structure: Any) -> str:
    """A CIF idealised to its space group within 0.1 Å where one is found, without its comment lines."""
    from model.io import cif_text

    return "\n".join(line.rstrip() for line in cif_text(structure).splitlines() if not line.startswith("#")) + "\n"


def pack(parts: Sequence["pd.DataFrame"], out: Path) -> int:
    """Write tables as one gzipped CSV, whole or not at all, replacing an earlier one; give the number of rows."""
    import pandas as pd

    whole = pd.concat(list(parts), ignore_index=True)
    if whole.empty:
        raise TableError("The folders hold no judged crystals, so there is nothing to pack.")
    whole = whole.drop(columns=[name for name in DROPPED if name in whole])
    write(whole, out)
    return len(whole)


def write(whole: "pd.DataFrame", out: Path) -> None:
    """A table as gzipped CSV: five digits, and the same bytes from the same rows."""
    text = whole.to_csv(index=False, float_format=f"%.{DIGITS}g")
    partial = out.with_name(f".{out.name}.part")
    partial.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))
    partial.replace(out)


def label_table(dataset: "Dataset", names: Iterable[str] = ()) -> "pd.DataFrame":
    """Formulas, space groups and labels of prepared crystals, as the figures need them.

    Raises TableError for a label the dataset lacks.
    """
    import pandas as pd
    from pymatgen.core import Composition

    from model.elements import SYMBOLS

    names = list(names) or [n for n in KEPT if n in dataset.labels]
    if missing := [name for name in names if name not in dataset.labels]:
        raise TableError(f"{dataset.folder} has no label {', '.join(missing)}; make it with workbench data label.")
    crystals = dataset.crystals()
    numbers = crystals.numbers.split(crystals.n_atoms.tolist())
    formulas = [Composition("".join(SYMBOLS[z] for z in one.tolist())).reduced_formula for one in numbers]
    known = {name: dataset.labels[name] for name in names}
    return pd.DataFrame({"formula": formulas, "n_atoms": crystals.n_atoms.numpy()} | known)


KEPT = ("space_group", "ml_mag_density", "ml_bulk_modulus", "dft_bulk_modulus", "dft_band_gap", "hhi_score")
