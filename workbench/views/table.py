"""A page of the candidates' table with names and units: filtered, sorted, cut out."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from model.candidates import COLUMNS
from model.evaluation.obedience import told_by
from workbench.columns import kind

if TYPE_CHECKING:
    import pandas as pd

FIRST = (
    "id",
    "formula",
    "space_group",
    "n_atoms",
    "energy_above_hull",
    "stable",
    "unique",
    "novelty",
    "rmsd",
)  # always shown
LATER = ("density", "nearest_known", "reason")
SHORT = {
    "energy_above_hull": "Above hull",
    "rmsd": "RMSD",
    "nearest_distance": "Distance",
    "novelty": "New?",
}  # narrow headers; the long name is the tooltip
DIGITS = {"energy_above_hull": 3, "rmsd": 3, "density": 2, "volume": 1, "nearest_distance": 3}

_COMPARE = re.compile(r"^(<=|>=|<|>|=)\s*(-?[\d.]+(?:e-?\d+)?)$", re.IGNORECASE)
_BETWEEN = re.compile(r"^(-?[\d.]+)\s*(?:\.\.|to|–)\s*(-?[\d.]+)$")
_OPERATIONS = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal, "=": np.isclose}


class FilterError(ValueError):
    """A filter that cannot be read."""


@dataclass(frozen=True)
class Page:
    """Rows `first`, `first` + 1, … of the filtered and sorted table, ready to be shown."""

    first: int
    rows: list[list[Any]]
    ids: list[str]


def columns(table: "pd.DataFrame", wanted: Sequence[str] = ()) -> list[dict[str, str]]:
    """Header of the table: the usual columns, what was asked for, and further ones as they become known."""
    told = [told_by(table, name) for name in wanted]
    names = [*FIRST, *(name for name in told if name not in FIRST), *(name for name in LATER if name in table)]
    known = [(name, COLUMNS[name]) for name in dict.fromkeys(names) if name in COLUMNS]
    return [
        {
            "name": n,
            "label": SHORT.get(n, c.label),
            "unit": c.unit,
            "about": f"{c.label}: {c.about}" if c.about else c.label,
            "kind": kind(n, table.get(n)),
        }
        for n, c in known
    ]


def mask(table: "pd.DataFrame", filters: Mapping[str, str], narrowed: Mapping[str, tuple[float, float]]) -> np.ndarray:
    """Which rows pass the filters and the brushes. Raises FilterError for a filter that cannot be read."""
    keep = np.ones(len(table), dtype=bool)
    for name, text in filters.items():
        keep &= _passes(table, name, text)
    for name, (low, high) in narrowed.items():
        values = numbers(table, name)
        keep &= (values >= low) & (values <= high)
    return keep


def numbers(table: "pd.DataFrame", name: str) -> np.ndarray:
    """A column as floats, NaN where unknown; an asked property is read where it is told."""
    import pandas as pd

    name = told_by(table, name)
    if name not in table:
        return np.full(len(table), np.nan)
    return pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=float)


def _passes(table: "pd.DataFrame", name: str, text: str) -> np.ndarray:
    text, name = str(text).strip(), told_by(table, name)
    if name not in table:
        return np.zeros(len(table), dtype=bool)
    how = kind(name, table[name])
    if how == "flag":
        wanted = {"yes": True, "y": True, "true": True, "no": False, "n": False, "false": False}.get(text.lower())
        if wanted is None:
            raise FilterError(f"{COLUMNS[name].label} is yes or no; found {text!r}.")
        return table[name].eq(wanted).fillna(value=False).to_numpy(dtype=bool)
    if how == "text":
        return table[name].astype(str).str.contains(text, case=False, regex=False).to_numpy(dtype=bool)
    values = numbers(table, name)
    try:
        if found := _COMPARE.match(text):
            return _OPERATIONS[found[1]](values, float(found[2]))
        if found := _BETWEEN.match(text):
            return (values >= float(found[1])) & (values <= float(found[2]))
        return np.isclose(values, float(text))
    except ValueError as error:
        raise FilterError(f"{COLUMNS[name].label}: write <0.1, >=2, 1..3 or a number; found {text!r}.") from error


def order(table: "pd.DataFrame", keep: np.ndarray, sort: str, descending: bool) -> np.ndarray:
    """Positions of the kept rows in the order of a column; what is unknown comes last either way."""
    at = np.flatnonzero(keep)
    if not sort or sort not in table:
        return at
    if kind(sort, table[sort]) == "text":
        values = table[sort].iloc[at].astype(str)
        return at[values.argsort(kind="stable").to_numpy()[:: -1 if descending else 1]]
    values = numbers(table, sort)[at]
    ranks = np.argsort(-values if descending else values, kind="stable")  # NaN sorts last
    return at[ranks]


def page(table: "pd.DataFrame", at: np.ndarray, names: Sequence[str], first: int, count: int) -> Page:
    """Cut `count` rows out of the ordered positions, each value as it is shown; None is unknown."""
    part = table.iloc[at[first : first + count]]
    shown = [[_shown(name, value) for value in part[name]] if name in part else [None] * len(part) for name in names]
    return Page(
        first=first, rows=[list(row) for row in zip(*shown, strict=True)], ids=[str(name) for name in part["id"]]
    )


def _shown(name: str, value: Any) -> Any:
    import pandas as pd

    if pd.isna(value):
        return None
    if kind(name) == "flag":
        return bool(value)
    if isinstance(value, str) or kind(name) == "text":
        return str(value)
    if name in DIGITS:
        return f"{float(value):.{DIGITS[name]}f}"
    return f"{float(value):.4g}"


def verdict(row: dict[str, Any]) -> str:
    """What was judged of a candidate and why, in a line; what waits is said to wait."""
    import pandas as pd

    if not row:
        return ""
    if row.get("status") == "generated":
        return "Not judged yet."
    said = []
    reason = str(row.get("reason") or "").strip()
    if pd.notna(row.get("energy_above_hull")) and "above the hull" not in reason:
        said.append(f"{row['energy_above_hull']:+.3f} eV/atom from the hull.")
    said.append(reason)
    near, distance = row.get("nearest_known"), row.get("nearest_distance")
    if isinstance(near, str) and near and near not in said[-1]:
        away = f", fingerprint distance {distance:.3f}" if pd.notna(distance) else ""
        said.append(f"Nearest known: {near}{away}.")
    return " ".join(part for part in said if part)
