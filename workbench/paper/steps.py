"""Steps against quality: scorecards of runs that differ in their steps, side by side. Edge: pandas."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.paper.tables import TableError, run_of

if TYPE_CHECKING:
    import pandas as pd

METRICS = {"S.U.N.": "sun", "stable": "stable", "novel": "novel", "unique": "unique", "RMSD": "rmsd", "P1": "p1"}


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
