"""What a measure of judged crystals works with: who computes, who watches, and where findings outlive a kill."""

import re
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model.crystals import Crystals
from model.evaluation.stages import Stages
from model.execution import INLINE, Watch, silent
from model.journal import Journal
from model.relax.journal import RelaxedJournal


@dataclass(frozen=True, kw_only=True)
class Means:
    """Executor, watch and stages of one evaluation; its journals lie beside `out`, which is yet to be written.

    Without `out` nothing is kept, and interrupted work begins again.
    """

    executor: Executor = INLINE
    watch: Watch = silent
    stages: Stages = field(default_factory=Stages)
    out: Path | None = None

    def at_rest(self, name: str, crystals: Crystals, **settings: Any) -> RelaxedJournal | None:
        """A journal of crystals that come to rest; the name has no dot."""
        return None if self.out is None else RelaxedJournal(self._path(self.out, name), crystals, **settings)

    def findings(self, name: str, crystals: Crystals, **settings: Any) -> Journal[dict[str, Any]] | None:
        """A journal of anything else that is found of crystals."""
        return None if self.out is None else Journal(self._path(self.out, name), crystals, **settings)

    def end(self) -> None:
        """The evaluation is written; nothing is left to remember."""
        if self.out is None:
            return
        ours = re.compile(rf"\.{re.escape(self.out.name)}\.[^.]+\.journal")  # of `run`, and not of `run.2` beside it
        for path in self.out.parent.iterdir():
            if ours.fullmatch(path.name):
                path.unlink(missing_ok=True)

    @staticmethod
    def _path(out: Path, name: str) -> Path:
        return out.with_name(f".{out.name}.{name}.journal")
