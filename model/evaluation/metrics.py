"""What is measured on one crystal or on a set, each as mattergen.md's reference defines it. Edge: pymatgen."""

import math
import warnings
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import det

from model.crystals import Crystals

if TYPE_CHECKING:
    from pymatgen.core import Structure

SHORTEST, SMALLEST = 0.5, 0.1  # Å between atoms, Å³ of a cell: below them a geometry is not valid
UNMATCHED = 0.5  # normalised displacement counted where no mapping is found
_Z = 1.959963984540054  # 97.5th percentile of the normal: for 95 % intervals


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float


def wilson(hits: int, n: int) -> Interval:
    """Wilson's 95 % interval of a rate. Source: E. B. Wilson, J. Am. Stat. Assoc. 22, 209 (1927).

    Raises ValueError unless 0 ≤ hits ≤ n and n is at least 1.
    """
    if not 0 <= hits <= n or n < 1:
        raise ValueError(f"A rate counts 0 to n hits among n ≥ 1; found {hits} of {n}.")
    rate, z2 = hits / n, _Z * _Z
    middle = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z / (1 + z2 / n) * math.sqrt(rate * (1 - rate) / n + z2 / (4 * n * n))
    # at the ends the interval touches 0 or 1 exactly, which rounding would miss
    return Interval(low=0.0 if hits == 0 else middle - half, high=1.0 if hits == n else middle + half)


def mean_interval(values: np.ndarray) -> Interval:
    """The 95 % interval of a mean, from the normal approximation; NaN below two values."""
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return Interval(low=math.nan, high=math.nan)
    middle, half = float(values.mean()), _Z * float(values.std(ddof=1)) / math.sqrt(len(values))
    return Interval(low=middle - half, high=middle + half)


def geometry_valid(crystal: Crystals) -> bool:
    """No two atoms closer than 0.5 Å, and a cell of at least 0.1 Å³. Source: MatterGen, `avg_structure_validity`."""
    from model.relax.chgnet import neighbours

    volume = float(det(crystal.cell[0].double()).abs())
    if not volume >= SMALLEST or not bool(crystal.frac.isfinite().all()):
        return False
    return not len(neighbours(crystal, SHORTEST).length)


def displacement(generated: "Structure", relaxed: "Structure") -> float:
    """Root-mean-square displacement in Å between a crystal as generated and as relaxed, by the matcher's mapping.

    As in MatterGen: the generated one refined, made primitive and LLL-reduced; pymatgen's matcher (ltol 0.5, stol 0.5,
    angle_tol 10, primitive, supercells, not scaled), its normalised value, or 0.5 where nothing matches, times
    (V̄/n)^⅓, V̄ the volume of the lattice with the mean of both lattices' parameters, n the relaxed atoms. Refining
    moves atoms by up to 0.01 Å, and the two lattices may belong to cells of different size; `paired_displacement` is
    free of both.
    """
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.core import Lattice

    start = _refined(generated)
    matcher = StructureMatcher(
        ltol=0.5, stol=0.5, angle_tol=10, primitive_cell=True, scale=False, attempt_supercell=True
    )
    found = None
    with warnings.catch_warnings(), suppress(Exception):  # what cannot be mapped at all counts as not matching
        warnings.simplefilter("ignore")
        found = matcher.get_rms_dist(relaxed, start)
    normalised = UNMATCHED if found is None else float(found[0])
    parameters = np.mean([relaxed.lattice.parameters, start.lattice.parameters], axis=0)
    volume = abs(Lattice.from_parameters(*parameters).volume)
    return normalised * (volume / len(relaxed)) ** (1 / 3)


def paired_displacement(generated: Crystals, relaxed: Crystals) -> float:
    """Root-mean-square displacement in Å between one crystal as generated and as relaxed, its atoms paired.

    Over the best pairing of atoms of like elements: shortest periodic vectors between paired atoms, in the mean of the
    two cells, with the mean drift taken out; so neither the strain of the cell nor a shift of the whole counts. Both
    hold the same atoms, so there always is a pairing. Source: Zeni et al., equation D47. NaN where a cell is no cell.
    """
    start, end = (c.frac.double().numpy() for c in (generated, relaxed))
    cell = (generated.cell[0].double() + relaxed.cell[0].double()).numpy() / 2
    numbers = generated.numbers.numpy()
    if not all(np.isfinite(values).all() for values in (start, end, cell)):
        return math.nan
    unlike = numbers[:, None] != relaxed.numbers.numpy()[None, :]
    kinds, many = np.unique(numbers, return_counts=True)
    rare = kinds[many.argmin()]
    first = start[numbers == rare][0]  # where the whole may have gone: one atom of the rarest kind, to any of its kind
    starts = [np.zeros(3), *(end[relaxed.numbers.numpy() == rare] - first)]
    return min(_paired_from(drift, start, end, cell, unlike) for drift in starts)


def _paired_from(drift: np.ndarray, start: np.ndarray, end: np.ndarray, cell: np.ndarray, unlike: np.ndarray) -> float:
    """The root-mean-square displacement that pairing and drift in turn come to from a drift in fractions."""
    from scipy.optimize import linear_sum_assignment

    best = math.inf
    for _ in range(10):
        vectors = _shortest(end[None, :] - start[:, None] - drift, cell)  # n, n, 3 in fractions
        cost = ((vectors @ cell) ** 2).sum(-1)
        cost[unlike] = 1e9
        atom, partner = linear_sum_assignment(cost)
        found = vectors[atom, partner]
        drift = drift + found.mean(0)
        rms = float(np.sqrt((((found - found.mean(0)) @ cell) ** 2).sum(1).mean()))
        if rms > best - 1e-9:
            break
        best = rms
    return best


def _shortest(vectors: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """The shortest image of each fractional vector, among the 27 around the nearest by fractions."""
    vectors = vectors - np.rint(vectors)
    offsets = np.array([(i, j, k) for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)], dtype=float)
    images = vectors[..., None, :] + offsets
    choice = ((images @ cell) ** 2).sum(-1).argmin(-1)
    return vectors + offsets[choice]


def _refined(structure: "Structure") -> "Structure":
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    with warnings.catch_warnings(), suppress(Exception):  # spglib refuses crystals of no symmetry it can see
        warnings.simplefilter("ignore")
        structure = SpacegroupAnalyzer(structure).get_refined_structure().get_primitive_structure()
        return structure.get_reduced_structure(reduction_algo="LLL")
    return structure
