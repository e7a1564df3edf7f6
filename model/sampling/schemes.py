"""Ways to walk back from noise, as coefficients; the loop that walks them is in `walk`."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """One way to step from a time to an earlier one, for coordinates and cell.

    In y = (x − limit)/α and κ = std/α every field obeys dy/dκ = −answer, so one set of coefficients serves both.

    Parameters
    ----------
    eta
        1: the ancestral step with its posterior noise; 0: the deterministic step of the probability flow.
    extrapolate
        Weight of the last answer's change in predicting the next (1: second-order Adams-Bashforth).
    look_ahead
        Weight of the answer at the end of the step (½: Heun); anything but 0 costs a second evaluation.
    order
        How fast the error falls with the step, on smooth cases.

    """

    name: str
    eta: float = 0.0
    extrapolate: float = 0.0
    look_ahead: float = 0.0
    order: int = 1

    def evaluations(self, steps: int, corrections: int) -> int:
        """Network evaluations that so many steps cost."""
        ahead = steps - 1 if self.look_ahead else 0  # the last step ends where there is nothing to look at
        return steps * (1 + corrections) + ahead


ANCESTRAL = Scheme(name="ancestral", eta=1.0)
EULER = Scheme(name="euler")
HEUN = Scheme(name="heun", look_ahead=0.5, order=2)
MULTISTEP = Scheme(name="multistep", extrapolate=1.0, order=2)

SCHEMES: Mapping[str, Scheme] = MappingProxyType({s.name: s for s in (ANCESTRAL, EULER, HEUN, MULTISTEP)})
