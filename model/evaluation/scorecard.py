"""Every rate with its definition, reference, energy model, n and 95 % interval; no rate where counts do not add up."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from model.evaluation.hull import STABLE
from model.evaluation.metrics import mean_interval, wilson

if TYPE_CHECKING:
    import pandas as pd


class ScorecardError(ValueError):
    """Counts that do not add up: crystals were made that nobody accounts for."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One number with all it takes to compare it: `hits` of `n` for a rate, None for a mean in its unit."""

    name: str
    definition: str
    value: float
    low: float
    high: float
    n: int
    hits: int | None = None
    unit: str = ""

    @property
    def text(self) -> str:
        """Value, interval and n for a person."""
        if self.hits is not None:
            return f"{self.value:6.1%}  [{self.low:.1%}, {self.high:.1%}]  {self.hits} of {self.n}"
        return f"{self.value:6.3f} {self.unit}  [{self.low:.3f}, {self.high:.3f}]  n = {self.n}"


@dataclass(frozen=True, kw_only=True)
class Scorecard:
    """What was judged, against what, with which energies, and how it came out."""

    made: int
    judged: int
    missing: Mapping[str, str]
    reference: str
    energy_model: str
    matcher: str
    relaxed: bool
    metrics: Mapping[str, Metric]
    notes: tuple[str, ...] = field(default=())

    def __getitem__(self, name: str) -> Metric:
        """One metric by name."""
        return self.metrics[name]

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and dictionaries; what is not a number becomes null."""
        plain = asdict(self)
        plain["notes"] = list(self.notes)
        return json.loads(json.dumps(plain), parse_constant=lambda _: None)

    def __str__(self) -> str:
        """The scorecard as it is printed."""
        width = max((len(metric.name) for metric in self.metrics.values()), default=0)
        lines = [
            f"{self.judged} of {self.made} crystals judged"
            + (f"; {len(self.missing)} not: " + ", ".join(self.missing) if self.missing else ""),
            f"reference     {self.reference}",
            f"energy model  {self.energy_model}{'' if self.relaxed else ', at the geometries given (not relaxed)'}",
            f"matcher       {self.matcher}",
            "",
            *(f"{metric.name:<{width}}  {metric.text}" for metric in self.metrics.values()),
            "",
            *(f"{metric.name}: {metric.definition}" for metric in self.metrics.values()),
            *self.notes,
        ]
        return "\n".join(lines)


def score(
    table: "pd.DataFrame",
    *,
    made: int,
    missing: Mapping[str, str],
    reference: str,
    energy_model: str,
    matcher: str,
    relaxed: bool = True,
    notes: Sequence[str] = (),
) -> Scorecard:
    """The scorecard of a judged table.

    `made` is how many crystals were generated, `missing` names those of them that are not in the table, with the
    reason. Rows whose `status` is `failed` are missing too, and count in the denominator of every rate of stability.
    Raises ScorecardError where made, judged and missing do not add up.
    """
    if len(table) + len(missing) != made:
        raise ScorecardError(
            f"{made} crystals were made, {len(table)} are in the table and {len(missing)} are named as missing: "
            f"{abs(made - len(table) - len(missing))} unaccounted for. A rate would mean nothing; name them first."
        )
    failed = table[table["status"] == "failed"]
    gone = {**missing, **dict(zip(failed["id"], failed["reason"], strict=True))}
    good = table[table["status"] != "failed"]
    metrics = {metric.name: metric for metric in _metrics(good, len(good) + len(gone))}
    return Scorecard(
        made=made, judged=len(good), missing=gone, reference=reference, energy_model=energy_model, matcher=matcher,
        relaxed=relaxed, metrics=metrics, notes=tuple(notes),
    )  # fmt: skip


def _metrics(good: "pd.DataFrame", asked: int) -> list[Metric]:
    """All metrics the table allows; `asked` counts judged and missing crystals."""
    found = [*_stability(good, asked), *_newness(good), *_validity(good, asked), *_symmetry(good), *_means(good)]
    return [metric for metric in found if metric is not None]


def _stability(good: "pd.DataFrame", asked: int) -> Iterator[Metric | None]:
    above = good["energy_above_hull"].to_numpy(dtype=float)
    new = _true(good, "unique") & _true(good, "novel")
    low, between = above <= 0.0, (above > 0.0) & (above <= STABLE)
    hull = "eV/atom of the reference hull, without the crystal itself"
    yield _rate("stable", f"energy above hull ≤ {STABLE:g} {hull}; failed ones are not stable", above <= STABLE, asked)
    yield _rate("on or below the hull", f"energy above hull ≤ 0.0 {hull}", low, asked)
    yield _rate("metastable", f"0 < energy above hull ≤ {STABLE:g} {hull}", between, asked)
    yield _rate("S.U.N.", f"stable (≤ {STABLE:g} eV/atom), unique and novel", new & (above <= STABLE), asked)
    yield _rate("S.U.N. on the hull", "energy above hull ≤ 0.0, unique and novel", new & low, asked)
    yield _rate("S.U.N. metastable", f"0 < energy above hull ≤ {STABLE:g} eV/atom, unique and novel", new & between,
                asked)  # fmt: skip
    sun = good[new & (above <= STABLE)]
    yield _rate("S.U.N. compositions", "distinct reduced formulas among the S.U.N. crystals",
                ~sun["formula"].duplicated().to_numpy(), len(sun))  # fmt: skip


def _newness(good: "pd.DataFrame") -> Iterator[Metric | None]:
    unique, novel, n = _true(good, "unique"), _true(good, "novel"), len(good)
    undecided = (good["novelty"] == "undecided").to_numpy(dtype=bool)
    known = (good["novelty"] == "known").to_numpy(dtype=bool)
    yield _rate("unique", "no earlier crystal of the set matches it", unique, n)
    yield _rate("novel", "no structure of the reference matches it; undecided is not novel", novel, n)
    yield _rate("novelty undecided", "its formula is known without structures, or fingerprints leave it open",
                undecided, n)  # fmt: skip
    yield _rate("novel and unique", "both", unique & novel, n)
    yield _rate("precision", "share that a structure of the reference matches", known, n)
    yield _rate("unique compositions", "distinct reduced formulas", ~good["formula"].duplicated().to_numpy(), n)
    if "chemical_system" in good:
        yield _rate("unique systems", "distinct chemical systems", ~good["chemical_system"].duplicated().to_numpy(), n)


def _validity(good: "pd.DataFrame", asked: int) -> Iterator[Metric | None]:
    geometry, n = _true(good, "structure_valid"), len(good)
    yield _rate("geometry valid", "no two atoms closer than 0.5 Å, cell at least 0.1 Å³, as generated", geometry, n)
    if "composition_valid" in good:
        balanced = _true(good, "composition_valid")
        yield _rate("composition valid", "passes SMACT: neutral, anions more electronegative; metals pass", balanced, n)
        yield _rate("both valid", "geometry and composition", geometry & balanced, n)
    if good["rmsd"].notna().any():
        settled = _true(good, "relaxed_converged")
        yield _rate("relaxation converged", "no force above the criterion in the end", settled, asked)


def _symmetry(good: "pd.DataFrame") -> Iterator[Metric | None]:
    if "space_group_number" not in good or "relaxed_space_group_number" not in good:
        return
    before = good["space_group_number"].to_numpy(dtype=float)
    yield _rate("P1", "no symmetry as generated, symprec 0.1 Å", before == 1, len(good))
    after = good["relaxed_space_group_number"].to_numpy(dtype=float)
    seen = np.isfinite(after)
    yield _rate("space group kept", "the same before and after relaxation, symprec 0.1 Å", (before == after)[seen],
                int(seen.sum()))  # fmt: skip


def _means(good: "pd.DataFrame") -> Iterator[Metric | None]:
    yield _mean("energy above hull", "mean, eV/atom of the reference hull, without the crystal itself",
                good["energy_above_hull"].to_numpy(dtype=float), "eV/atom")  # fmt: skip
    yield _mean("RMSD", "mean displacement from generated to relaxed, 0.5 atomic spacings where nothing matches",
                good["rmsd"].to_numpy(dtype=float), "Å")  # fmt: skip


def _true(table: "pd.DataFrame", column: str) -> np.ndarray:
    """Where a column that may be undecided is true."""
    if column not in table:
        return np.zeros(len(table), dtype=bool)
    return table[column].astype("boolean").fillna(value=False).to_numpy(dtype=bool)


def _rate(name: str, definition: str, hits: np.ndarray, n: int) -> Metric | None:
    if n == 0:
        return None
    count = int(np.asarray(hits).sum())
    interval = wilson(count, n)
    return Metric(
        name=name, definition=definition, value=count / n, low=interval.low, high=interval.high, n=n, hits=count
    )


def _mean(name: str, definition: str, values: np.ndarray, unit: str) -> Metric | None:
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    interval = mean_interval(values)
    return Metric(
        name=name, definition=definition, value=float(values.mean()), low=interval.low, high=interval.high,
        n=len(values), unit=unit,
    )  # fmt: skip
