"""Session: all of a piece of work that is kept, frozen; the figures are drawn from it again."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from model.candidates import Candidates
from model.constraints import Constraints
from model.crystals import Crystals
from workbench.paths import AnyPath


@dataclass(frozen=True, kw_only=True)
class Session:
    """One piece of work: what was asked of which model, the crystals, what is known of them, and what was looked at.

    `paths` holds for each id how the crystal lost its noise: `steps` and as many `frames`.
    """

    name: str
    constraints: Constraints
    candidates: Candidates
    created: str = ""
    steps: int = 0
    corrections: int = 0
    model_name: str = ""
    model_hash: str = ""
    reference: str = ""
    reference_folder: str = ""  # empty: as shipped
    scorecard: str = ""
    relaxed: Mapping[str, Crystals] = field(default_factory=dict)
    selection: str = ""
    chosen: tuple[str, ...] = ()
    narrowed: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    method: str = "diffusion"
    told: Mapping[str, str] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)
    paths: Mapping[str, AnyPath] = field(default_factory=dict)

    @property
    def judged(self) -> int:
        """How many candidates have their verdict."""
        table = self.candidates.table
        return int((table["status"] == "judged").sum()) if "status" in table else 0


def now() -> str:
    """The moment in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def name_for(constraints: Constraints) -> str:
    """A name that says when and what: date, time and the elements or formula asked for."""
    what = constraints.formula or "-".join(sorted(constraints.chemical_system or ())) or "any"
    what = re.sub(r"[^A-Za-z0-9-]", "", what)
    return f"{datetime.now(UTC).strftime('%Y-%m-%d-%H%M%S')}-{what}"
