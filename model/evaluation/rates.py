"""Every metric of a scorecard, family by family, from the table of judged crystals."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from model.candidates import COLUMNS
from model.constraints import Constraints
from model.evaluation.hull import STABLE
from model.evaluation.metrics import mean_interval, wilson
from model.evaluation.obedience import obtained, off_target
from model.shapes import Float

if TYPE_CHECKING:
    import pandas as pd

MEASURED = ("ml_bulk_modulus", "ml_mag_density", "ml_band_gap", "hhi_score")
CLOSE = 0.076  # Å: what 95 % of the paper's crystals stay within when relaxed


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
    family: str = ""

    @property
    def text(self) -> str:
        """Value, interval and n for a person."""
        if self.hits is not None:
            return f"{self.value:6.1%}  [{self.low:.1%}, {self.high:.1%}]  {self.hits} of {self.n}"
        unit = f" {self.unit}" if self.unit else ""
        interval = f"[{self.low:.3f}, {self.high:.3f}]" if self.n > 1 else "no interval from one"
        return f"{self.value:6.3f}{unit}  {interval}  n = {self.n}"


def all_rates(
    good: "pd.DataFrame",
    asked: int,
    *,
    constraints: Constraints | None = None,
    known: int | None = None,
    others: "Mapping[str, Float[np.ndarray, ' batch']] | None" = None,
) -> list[Metric]:
    """All metrics the table allows; `asked` counts judged and missing crystals."""
    families = {
        "stability": [*_stability(good, asked), *_hulls(good, asked, others or {})],
        "newness": [*_newness(good, known), *_disorder(good)],
        "validity and surroundings": [*_validity(good, asked), *_environments(good)],
        "symmetry": _symmetry(good),
        "displacement in relaxing": _displacement(good),
        "what was asked": _obedience(good, asked, constraints),
        "properties": _properties(good),
    }
    return [
        replace(metric, family=family)
        for family, metrics in families.items()
        for metric in metrics
        if metric is not None
    ]


def _stability(good: "pd.DataFrame", asked: int) -> Iterator[Metric | None]:
    above = good["energy_above_hull"].to_numpy(dtype=float)
    new = _true(good, "unique") & _true(good, "novel")
    low, between = above <= 0.0, (above > 0.0) & (above <= STABLE)
    hull = "eV/atom of the reference hull, without the crystal itself"
    yield _rate("judged", "crystals that could be judged, of all that were made", np.ones(len(good), dtype=bool), asked)
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


def _hulls(good: "pd.DataFrame", asked: int, others: Mapping[str, np.ndarray]) -> Iterator[Metric | None]:
    above = "eV/atom of the reference hull, without the crystal itself"
    yield _mean("energy above hull", f"mean, {above}; negative below all known mixtures", _numbers(
        good, "energy_above_hull"), "eV/atom")  # fmt: skip
    for name, values in others.items():
        words = f"energy above the hull of {name} ≤ {STABLE:g} eV/atom"
        yield _rate(f"stable by {name}", words, values <= STABLE, asked)
        yield _mean(f"energy above hull by {name}", f"mean, above the hull of {name}", values, "eV/atom")
    if "own_hull" in good:
        words = "mean, above the hull in which the known phases of a crystal's very system are replaced by the set"
        yield _mean("energy above own hull", words, _numbers(good, "own_hull"), "eV/atom", least=0)
    if "hull_coverage" in good:
        bare = ~(_numbers(good, "hull_coverage") > 0)
        yield _rate("hull uncovered", "no phase known in its chemical system and subsystems, or an element outside the "
                    "reference: the verdict on stability means little", bare, len(good))  # fmt: skip


def _newness(good: "pd.DataFrame", reference: int | None) -> Iterator[Metric | None]:
    unique, novel, n = _true(good, "unique"), _true(good, "novel"), len(good)
    undecided = (good["novelty"] == "undecided").to_numpy(dtype=bool)
    known = (good["novelty"] == "known").to_numpy(dtype=bool)
    yield _rate("unique", "no earlier crystal of the set matches it; of those judged", unique, n)
    yield _rate("novel", "no structure of the reference matches it; undecided is not novel; of those judged", novel, n)
    yield _rate("novelty undecided", "its formula is known without structures, or fingerprints leave it open",
                undecided, n)  # fmt: skip
    yield _rate("novel and unique", "both", unique & novel, n)
    yield _rate("precision", "share that a structure of the reference matches", known, n)
    if reference and "nearest_known" in good:
        met = good.loc[known, "nearest_known"].nunique()
        yield _rate("recall", "distinct crystals of the reference that were met, of all it holds",
                    np.arange(reference) < met, reference)  # fmt: skip
    yield _rate("unique compositions", "distinct reduced formulas", ~good["formula"].duplicated().to_numpy(), n)
    if "chemical_system" in good:
        first = ~good["chemical_system"].duplicated().to_numpy()
        yield _rate("unique systems", "distinct chemical systems", first, n)
        if "novel_system" in good:
            yield _rate("novel systems", "distinct chemical systems of which the reference knows nothing",
                        first & _true(good, "novel_system"), n)  # fmt: skip


def _disorder(good: "pd.DataFrame") -> Iterator[Metric | None]:
    """Ordered cells of one disordered parent count as one material."""
    if "disordered_parent" not in good:
        return
    parent = good["disordered_parent"]
    first = (parent.isna() | (parent == good["id"])).to_numpy(dtype=bool)
    kinds = parent[_true(good, "unique")].value_counts()  # twins share a crystal, not only a parent
    shared = parent.isin(kinds.index[kinds > 1]).to_numpy(dtype=bool)
    sun = _true(good, "sun")
    yield _rate("unique parents", "no earlier crystal of its composition matches it once like elements share their "
                "sites (radii within 30 %, electronegativities within 1.0)", first, len(good))  # fmt: skip
    yield _rate("shares a parent", "may be an ordered cell of the same disordered crystal as another of the set",
                shared, len(good))  # fmt: skip
    yield _rate("S.U.N. parents", "S.U.N. crystals that are no ordered cell of an earlier S.U.N. crystal's disordered "
                "parent", ~parent[sun].where(parent[sun].notna(), good["id"][sun]).duplicated().to_numpy(),
                int(sun.sum()))  # fmt: skip


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


def _environments(good: "pd.DataFrame") -> Iterator[Metric | None]:
    if "known_environments" not in good:
        return
    share = _numbers(good, "known_environments")
    words = "coordination and bond lengths as in known crystals of the same elements, after relaxation"
    yield _rate("known surroundings", f"every atom has {words}", share >= 1, len(good))
    yield _mean("atoms in known surroundings", f"mean share of atoms that have {words}", share, least=0, most=1)


def _symmetry(good: "pd.DataFrame") -> Iterator[Metric | None]:
    for suffix, where, said in (("number", "symprec 0.1 Å", ""), ("tight", "symprec 0.01 Å", " at 0.01 Å")):
        if f"space_group_{suffix}" not in good:
            continue
        before = _numbers(good, f"space_group_{suffix}")
        yield _rate(f"P1{said}", f"no symmetry as generated, {where}", before == 1, len(good))
        if f"relaxed_space_group_{suffix}" not in good:
            continue
        after = _numbers(good, f"relaxed_space_group_{suffix}")
        seen = np.isfinite(after)
        yield _rate(f"space group kept{said}", f"the same before and after relaxation, {where}",
                    (before == after)[seen], int(seen.sum()))  # fmt: skip


def _displacement(good: "pd.DataFrame") -> Iterator[Metric | None]:
    words = (
        "mean over crystals of the displacement from generated to relaxed, by the matcher's mapping of the refined "
        "cell onto the relaxed one; 0.5 atomic spacings where it finds none"
    )
    yield _mean("RMSD", words, _numbers(good, "rmsd"), "Å", least=0)
    if "rmsd_paired" in good:
        paired = _numbers(good, "rmsd_paired")
        yield _mean("RMSD, atoms paired", "mean over crystals of the root-mean-square displacement from generated to "
                    "relaxed, over the best pairing of like atoms, drift of the whole and strain of the cell taken out",
                    paired, "Å", least=0)  # fmt: skip
        seen = np.isfinite(paired)
        yield _rate(f"RMSD ≤ {CLOSE:g} Å", f"atoms paired, at most {CLOSE:g} Å: what 95 % of the paper's crystals stay "
                    "within", (paired <= CLOSE)[seen], int(seen.sum()))  # fmt: skip


def _obedience(good: "pd.DataFrame", asked: int, constraints: Constraints | None) -> Iterator[Metric | None]:
    """How far crystals are what was asked; nothing where that is not known."""
    if "composition_obeyed" in good:
        yield _rate("composition as asked", "elements, formula and number of atoms as the constraints demand",
                    _true(good, "composition_obeyed"), len(good))  # fmt: skip
    if "space_group_obeyed" in good:
        number = "" if constraints is None else f" {constraints.space_group}"
        yield _rate("space group as asked", f"space group{number} at symprec 0.1 Å, after relaxation where relaxed",
                    _true(good, "space_group_obeyed"), len(good))  # fmt: skip
    hit, stable = np.ones(len(good), dtype=bool), _numbers(good, "energy_above_hull") <= STABLE
    for name, target in ({} if constraints is None else constraints.targets).items():
        if (found := obtained(good, name)) is None:
            hit = None if target.low < target.high else hit  # nobody knows whether that range is met
            continue
        column, values = found
        label = COLUMNS[column].label if column in COLUMNS else column
        wish = f"{target.low:g}" if target.low == target.high else f"{target.low:g} to {target.high:g}"
        off = off_target(values, target)
        yield _mean(f"error to target {name}", f"mean distance of {label} from {wish}", off,
                    COLUMNS[column].unit if column in COLUMNS else "", least=0)  # fmt: skip
        if target.low < target.high:
            yield _rate(f"{name} in range", f"{label} within {wish}", off == 0, len(good))
            hit = None if hit is None else hit & (off == 0)
    if hit is not None and constraints is not None and any(t.low < t.high for t in constraints.targets.values()):
        new = _true(good, "unique") & _true(good, "novel")
        yield _rate("stable and in range", "stable, every asked range met", stable & hit, asked)
        yield _rate("S.U.N. and in range", "S.U.N., every asked range met", stable & hit & new, asked)


def _properties(good: "pd.DataFrame") -> Iterator[Metric | None]:
    """Where the middle of each property lies that was measured of the crystals."""
    for name in MEASURED:
        values = _numbers(good, name) if name in good else np.zeros(0)
        values = values[np.isfinite(values)]
        if not len(values):
            continue
        low, middle, high = (float(value) for value in np.percentile(values, (25, 50, 75)))
        words = f"median of {COLUMNS[name].label.lower()}; the brackets hold the middle half of the crystals"
        yield Metric(name=f"{name}, median", definition=words, value=middle, low=low, high=high, n=len(values),
                     unit=COLUMNS[name].unit)  # fmt: skip


def _true(table: "pd.DataFrame", column: str) -> np.ndarray:
    """Where a column that may be undecided is true."""
    if column not in table:
        return np.zeros(len(table), dtype=bool)
    return table[column].astype("boolean").fillna(value=False).to_numpy(dtype=bool)


def _numbers(table: "pd.DataFrame", column: str) -> Float[np.ndarray, " batch"]:
    """A column as numbers, NaN where unknown."""
    return table[column].to_numpy(dtype=float, na_value=np.nan)


def _rate(name: str, definition: str, hits: np.ndarray, n: int) -> Metric | None:
    if n == 0:
        return None
    count = int(np.asarray(hits).sum())
    interval = wilson(count, n)
    return Metric(
        name=name, definition=definition, value=count / n, low=interval.low, high=interval.high, n=n, hits=count
    )


def _mean(
    name: str, definition: str, values: np.ndarray, unit: str = "", least: float = -np.inf, most: float = np.inf
) -> Metric | None:
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    interval = mean_interval(values)  # the normal one, cut where no value can lie
    return Metric(
        name=name, definition=definition, value=float(values.mean()), low=max(interval.low, least),
        high=min(interval.high, most), n=len(values), unit=unit,
    )  # fmt: skip
