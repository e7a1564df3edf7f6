"""Every rate with its definition, reference, energy model, n and 95 % interval; no rate where counts do not add up."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from model.constraints import Constraints
from model.evaluation import rates
from model.evaluation.rates import Metric

if TYPE_CHECKING:
    import pandas as pd

    from model.shapes import Float


class ScorecardError(ValueError):
    """Counts that do not add up: crystals were made that nobody accounts for."""


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
            *self._lines(lambda metric: f"{metric.name:<{width}}  {metric.text}"),
            "",
            "What these mean:",
            *(f"{metric.name}: {metric.definition}" for metric in self.metrics.values()),
            *self.notes,
        ]
        return "\n".join(lines)

    def _lines(self, told: Callable[[Metric], str]) -> Iterator[str]:
        """A line a metric, each family under its name."""
        for family in dict.fromkeys(metric.family for metric in self.metrics.values()):
            yield ""
            if family:
                yield f"{family}:"
            yield from (told(metric) for metric in self.metrics.values() if metric.family == family)


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
    constraints: Constraints | None = None,
    known: int | None = None,
    others: "Mapping[str, Float[np.ndarray, ' batch']] | None" = None,
) -> Scorecard:
    """The scorecard of a judged table.

    `made` is how many crystals were generated, `missing` names those of them that are not in the table, with the
    reason. Rows whose `status` is `failed` are missing too, and count in the denominator of every rate of stability.
    `constraints` are what was asked, for the errors to its targets; `known` is how many crystals the reference holds,
    for recall; `others` are energies above the hulls of further references, by their names.
    Raises ScorecardError where made, judged and missing do not add up.
    """
    if len(table) + len(missing) != made:
        raise ScorecardError(
            f"{made} crystals were made, {len(table)} are in the table and {len(missing)} are named as missing: "
            f"{abs(made - len(table) - len(missing))} unaccounted for. A rate would mean nothing; name them first."
        )
    if "id" in table and (twice := table["id"][table["id"].duplicated()].tolist()):
        raise ScorecardError(f"{twice[0]} is in the table twice; every crystal needs a name of its own.")
    if both := sorted(set(missing) & set(table.get("id", ()))):
        raise ScorecardError(f"{both[0]} is named as missing and is in the table; it can be one of the two.")
    if silent := sorted(name for name, reason in missing.items() if not str(reason).strip()):
        raise ScorecardError(f"{silent[0]} is named as missing without a reason; say why.")
    failed = table[table["status"] == "failed"]
    gone = {**missing, **dict(zip(failed["id"], failed["reason"], strict=True))}
    fine = (table["status"] != "failed").to_numpy(dtype=bool)
    good = table[fine]
    above = {name: np.asarray(values, dtype=float)[fine] for name, values in (others or {}).items()}
    found = rates.all_rates(good, len(good) + len(gone), constraints=constraints, known=known, others=above)
    metrics = {metric.name: metric for metric in found}
    return Scorecard(
        made=made, judged=len(good), missing=gone, reference=reference, energy_model=energy_model, matcher=matcher,
        relaxed=relaxed, metrics=metrics, notes=tuple(notes),
    )  # fmt: skip
