"""Crystals that came to rest so far, in a file, so that nothing is relaxed twice."""

import math
from typing import Any

import torch

from model.crystals import Crystals
from model.journal import Journal
from model.relax.relaxer import Relaxed


class RelaxedJournal(Journal[Relaxed]):
    """Relaxed crystals of one task in one file; the ways they went (`trajectories`) are not kept."""

    def tell(self, one: Relaxed) -> dict[str, Any]:
        """A relaxed crystal as JSON holds it."""
        crystal = one.crystal
        return {
            "energy": _plain(one.energy), "force": _plain(one.force), "converged": one.converged,
            "steps": one.steps, "reason": one.reason, "moments": [_plain(m) for m in one.moments.tolist()],
            "frac": crystal.frac.double().tolist(), "cell": crystal.cell[0].double().tolist(),
            "numbers": crystal.numbers.tolist(),
        }  # fmt: skip

    def understand(self, row: int, found: dict[str, Any]) -> Relaxed:
        """The relaxed crystal of a row that JSON held so."""
        numbers = torch.tensor(found["numbers"], dtype=torch.long)
        return Relaxed(
            row=row, energy=_number(found["energy"]), force=_number(found["force"]), converged=found["converged"],
            steps=found["steps"], reason=found["reason"],
            moments=torch.tensor([_number(m) for m in found["moments"]], dtype=torch.float64),
            crystal=Crystals(
                frac=torch.tensor(found["frac"], dtype=torch.float64).reshape(-1, 3),
                cell=torch.tensor([found["cell"]], dtype=torch.float64), numbers=numbers,
                n_atoms=torch.tensor([len(numbers)]),
            ),
        )  # fmt: skip


def _plain(value: float) -> float | None:
    """JSON knows no NaN."""
    return value if math.isfinite(value) else None


def _number(value: float | None) -> float:
    return math.nan if value is None else value
