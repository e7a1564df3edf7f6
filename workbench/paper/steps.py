"""Steps against quality: scorecards of runs that differ in their steps, side by side. Edge: pandas."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from model.execution import Watch
from workbench import dial
from workbench.paper.making import judged, room
from workbench.paper.plans import Plan
from workbench.paper.showing import telling
from workbench.paper.tables import TableError, run_of

if TYPE_CHECKING:
    import pandas as pd

METRICS = {"S.U.N.": "sun", "stable": "stable", "novel": "novel", "unique": "unique", "RMSD": "rmsd", "P1": "p1"}


def make(plan: Plan, folder: Path | None = None, *, watch: Watch | None = None) -> "pd.DataFrame":
    """The curve of a plan: the one that lies beside the shipped base, or made now where the plan says so.

    With a `folder`, runs are kept below it, and what was broken off goes on there.
    """
    import pandas as pd

    if not plan.generates:
        return pd.read_csv(dial.shipped())
    with room(folder) as name:
        return gather(judged(plan, Path(name), telling() if watch is None else watch))


def hints(runs: "pd.DataFrame") -> list[str]:
    """Sentences that name, for S.U.N. and RMSD, the best run and the cheapest that is not told apart from it."""
    sentences = []
    for column, word, lower in (("sun", "S.U.N.", False), ("rmsd", "RMSD", True)):
        rows = runs.dropna(subset=[column])
        if rows.empty:
            continue
        best, alike = dial.alike(rows, column, lower=lower)
        cheap = alike.loc[alike["evaluations"].idxmin()]
        sentences.append(
            f"{word}: best {_value(best, column)} with {_way(best)}; {_way(cheap)} "
            f"({cheap['evaluations']:.0f} network evaluations a crystal, {_value(cheap, column)}) "
            "cannot be told apart from it."
        )
    return sentences or ["There are no runs to compare."]


def _value(run: "pd.Series", column: str) -> str:
    return f"{run[column]:.2f} Å" if column == "rmsd" else f"{run[column]:.1%}"


def _way(run: "pd.Series") -> str:
    corrector = f" and {run['corrections']:.0f} corrector" if run["corrections"] else ""
    return f"{run['steps']:.0f} steps{corrector}"


def gather(folders: Sequence[Path]) -> "pd.DataFrame":
    """A row a run: steps, corrector steps, network evaluations a crystal, and rates with their intervals.

    Raises TableError where a folder has no scorecard, its run is not known, or the runs are of different models.
    """
    import pandas as pd

    from model.sampling.schemes import SCHEMES

    rows = []
    for folder in folders:
        card, told = folder / "scorecard.json", run_of(folder)
        if not card.exists() or not told:
            raise TableError(f"{folder} lacks scorecard.json, or run.json is not beside it; judge a run of ours.")
        metrics, method = json.loads(card.read_text(encoding="utf-8"))["metrics"], told["method"]
        row = {"model": told["model"]["name"], "hash": told["model"]["hash"], "scheme": method["scheme"],
               "steps": method["steps"], "corrections": method["corrections"],
               "evaluations": SCHEMES[method["scheme"]].evaluations(method["steps"], method["corrections"]),
               "count": told["constraints"]["count"]}  # fmt: skip
        for name, short in METRICS.items():
            for part in ("value", "low", "high"):
                row[short if part == "value" else f"{short}_{part}"] = metrics.get(name, {}).get(part)
        rows.append(row)
    table = pd.DataFrame(rows).sort_values(["corrections", "steps"], ignore_index=True)
    if len(set(table["hash"])) > 1:
        raise TableError(f"The runs are of different models ({', '.join(sorted(set(table['model'])))}); gather one's.")
    return table
