"""Why a crystal is unstable or not new, each in a sentence."""

import numpy as np

from model.evaluation.hull import STABLE, Footing
from model.evaluation.matching import Nearest, Probe


def why_unstable(above: float, formation: float, footing: Footing, *, failed: bool) -> str:
    """Why it is not stable, or what the verdict stands on; empty where nothing needs saying."""
    if footing.outside:
        return f"No hull: {', '.join(footing.outside)} lies outside the reference."
    if failed:
        return ""
    if not np.isfinite(formation):
        return "No formation energy: one of its elements has no reference energy for this energy model."
    if above <= STABLE:
        alone = not footing.known and not footing.exact
        return "No phase is known in its chemical system: the hull is the elements alone." if alone else ""
    into = " and ".join(formula for formula, _ in footing.phases)
    lie = "lies" if len(footing.phases) == 1 else "lie"
    return f"Unstable: {above:.3f} eV/atom above the hull, where {into} {lie}."


def why_not_new(verdict: str, near: Nearest | None, ready: Probe, *, has_structures: bool) -> str:
    """Why it is not novel, or what leaves it undecided."""
    if verdict == "known":
        return f"Not new: it is {near.id}."
    if verdict == "novel":
        return ""
    if near is None:
        return f"Novelty undecided: {ready.formula} is known to exist, but no structure of it is in the reference."
    if near.matches is False:
        return f"Novelty undecided: {ready.formula} is an element, whose usual structure may not be in the reference."
    if not np.isfinite(near.distance):
        how = "the ordered matcher compares no such" if has_structures else "this reference has no structures"
        return f"Novelty undecided: {ready.formula} is known as the disordered {near.id}, and {how}."
    return (
        f"Novelty undecided: it resembles {near.id} (distance {near.distance:.3f}), "
        "and this reference has no structures to compare."
    )
