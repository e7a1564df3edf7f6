"""How well a reference and an energy model meet known crystals: formation energies, energies above hull, coverage."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from model.evaluation.build import Entry, gather, read_structure
from model.evaluation.elemental import Fit, fit
from model.evaluation.hull import STABLE, HullTable
from model.evaluation.reference import BadReferenceError, Reference
from model.execution import Progress, Watch, silent
from model.relax.potential import Potential
from model.relax.reading import read
from model.shapes import Float

if TYPE_CHECKING:
    from pymatgen.core import Structure

_AT_ONCE = 32


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How one way of reckoning meets the energies given (eV/atom); `same_verdict` is the share called stable alike."""

    name: str
    n: int
    mean_error: float
    bias: float
    within: float  # share of errors of at most 0.05 eV/atom
    same_verdict: float | None = None

    @property
    def text(self) -> str:
        """One line for a person."""
        verdict = "" if self.same_verdict is None else f", stable or not alike {self.same_verdict:.1%}"
        return (f"{self.name}: mean error {self.mean_error:.4f} eV/atom, bias {self.bias:+.4f}, "
                f"{self.within:.1%} within 0.05{verdict} (n = {self.n})")  # fmt: skip


def check(
    files: Sequence[str | os.PathLike],
    reference: Reference,
    potential: Potential | None = None,
    *,
    count: int | None = None,
    seed: int = 0,
    watch: Watch = silent,
) -> list[Agreement]:
    """Compare a reference with crystals whose formation energies and energies above hull are given.

    First with the energies given, which tests the hull alone; then the same with the reference's rows at these very
    compositions left out, which tells what coverage is worth; then both with the potential's energies at the geometries
    given, where a potential is. Energies above hull are given as zero on the hull, so ours are counted from zero up.
    `count` takes that many at random. Raises BadReferenceError where no crystal has both energies.
    """
    entries, structures = _with_energies(files, count, seed, above=True)
    compositions = [structure.composition.get_el_amt_dict() for structure in structures]
    formation = np.array([entry.formation_energy for entry in entries])
    above = np.array([entry.energy_above_hull for entry in entries])
    hull = reference.hull
    lacking = hull.without({structure.composition.reduced_formula for structure in structures})
    ways = [("energies as given", formation)]
    if potential is not None:
        totals = total_energies(structures, potential, watch)
        own = np.array([
            reference.formation_energy(composition, energy, potential.name)
            for composition, energy in zip(compositions, totals, strict=True)
        ])  # fmt: skip
        ways.append((f"energies of {potential.name}, unrelaxed", own))
    found = []
    for name, energies in ways:
        if energies is not formation:
            found.append(_agreement(f"formation energy, {name}", energies, formation))
        for which, table in (("", hull), (", these compositions left out of the hull", lacking)):
            ours = energies - np.array([table.below(composition).energy for composition in compositions])
            found.append(_agreement(f"energy above hull, {name}{which}", np.maximum(ours, 0.0), above, verdict=True))
    return found


def fit_elements(
    files: Sequence[str | os.PathLike],
    potential: Potential,
    *,
    count: int | None = None,
    seed: int = 0,
    watch: Watch = silent,
) -> Fit:
    """Elemental energies of a potential, fitted on crystals with known formation energies, at the geometries given.

    Raises BadReferenceError where no crystal has a formation energy.
    """
    entries, structures = _with_energies(files, count, seed, above=False)
    energies = total_energies(structures, potential, watch) / np.array([len(one) for one in structures])
    fine = np.isfinite(energies)
    return fit(
        [one.composition.get_el_amt_dict() for one, good in zip(structures, fine, strict=True) if good],
        energies[fine], np.array([entry.formation_energy for entry in entries])[fine],
    )  # fmt: skip


def total_energies(
    structures: "Sequence[Structure]", potential: Potential, watch: Watch = silent
) -> Float[np.ndarray, " crystals"]:
    """Total energies in eV at the geometries given; NaN where the potential declines."""
    from model.io import from_structures

    found = []
    for start in range(0, len(structures), _AT_ONCE):
        batch = from_structures(structures[start : start + _AT_ONCE])
        found.append(read(potential, batch).energy.numpy())
        watch(Progress(stage=potential.name, done=start + len(batch), total=len(structures)))
    return np.concatenate(found) if found else np.zeros(0)


def with_elements(reference: Reference, energy_model: str, found: Fit) -> Reference:
    """The reference with elemental energies for one energy model more (or anew), and how well they fit."""
    fitted = dict(reference.about.get("elements_fitted", {}))
    fitted[energy_model] = {"n": found.n, "mean_error": found.mean_error, "median_error": found.median_error}
    return Reference(
        name=reference.name, hull=reference.hull, known=reference.known,
        energies={**reference.energies, energy_model: dict(found.energies)},
        about={**reference.about, "elements_fitted": fitted},
    )  # fmt: skip


def _with_energies(
    files: Sequence[str | os.PathLike], count: int | None, seed: int, *, above: bool
) -> "tuple[list[Entry], list[Structure]]":
    """Entries that have an ordered structure and energies, `count` of them at random, and their structures."""
    with TemporaryDirectory(prefix="unpacked-") as scratch:
        entries = [
            entry for entry in gather(files, Path(scratch)).entries
            if np.isfinite(entry.formation_energy) and (np.isfinite(entry.energy_above_hull) or not above)
        ]  # fmt: skip
        if count is not None and count < len(entries):
            chosen = np.random.default_rng(seed).choice(len(entries), size=count, replace=False)
            entries = [entries[row] for row in sorted(chosen)]
        found = [(entry, structure) for entry in entries if (structure := _ordered(entry)) is not None]
    if not found:
        wanted = "formation_energy_per_atom and e_above_hull" if above else "formation_energy_per_atom"
        raise BadReferenceError(f"No crystal in these files has its {wanted}; name a table with cif and these columns.")
    return [entry for entry, _ in found], [structure for _, structure in found]


def _ordered(entry: Entry) -> "Structure | None":
    """The entry's structure, if it is readable and ordered: only such have an energy model's energy."""
    try:
        structure = read_structure(entry.source)
    except ValueError:
        return None
    return structure if structure.is_ordered else None


def _agreement(
    name: str, ours: Float[np.ndarray, " n"], given: Float[np.ndarray, " n"], *, verdict: bool = False
) -> Agreement:
    known = np.isfinite(ours) & np.isfinite(given)
    off = ours[known] - given[known]
    if not known.any():
        nan = float("nan")
        return Agreement(name=name, n=0, mean_error=nan, bias=nan, within=nan)
    same = float(((ours <= STABLE) == (given <= STABLE))[known].mean()) if verdict else None
    return Agreement(
        name=name, n=int(known.sum()), mean_error=float(np.abs(off).mean()), bias=float(off.mean()),
        within=float((np.abs(off) <= 0.05).mean()), same_verdict=same,
    )  # fmt: skip


def coverage(hull: HullTable, elements: Sequence[str]) -> tuple[int, int]:
    """Phases known in a chemical system and its subsystems, and how many of these systems hold none."""
    from itertools import combinations

    systems = [frozenset(some) for size in range(2, len(elements) + 1) for some in combinations(sorted(elements), size)]
    return hull.below(dict.fromkeys(elements, 1.0)).known, sum(not hull.knows_system(one) for one in systems)
