"""The steps dial: what was measured of steps against quality with a shipped base, and what it says of a number."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

MEASURED = "steps.csv"  # beside a base's weights; notebooks/data/README.md tells how it is made


@cache
def measured(weights: str) -> "pd.DataFrame | None":
    """Runs of the shipped base with these weights (a model's hash), a row each; None where it was not measured."""
    import pandas as pd

    from model.checkpoints import SHIPPED

    for file in sorted(SHIPPED.glob(f"*/{MEASURED}")):
        runs = pd.read_csv(file)
        if (runs["hash"] == weights).all():
            return runs
    return None


def shipped(name: str = "base") -> Path:
    """Where the runs of a shipped base are kept."""
    from model.checkpoints import SHIPPED

    return SHIPPED / name / MEASURED


def alike(runs: "pd.DataFrame", column: str, *, lower: bool = False) -> "tuple[pd.Series, pd.DataFrame]":
    """The best run by a column, and all whose 95 % intervals hold its value, the best among them."""
    best = runs.loc[runs[column].idxmin() if lower else runs[column].idxmax()]
    return best, runs[(runs[f"{column}_low"] <= best[column]) & (runs[f"{column}_high"] >= best[column])]


def usual(runs: "pd.DataFrame") -> int:
    """The fewest steps, without a corrector, that neither S.U.N. nor RMSD tells apart from the best: the default."""
    plain = runs[runs["corrections"] == 0]
    often, near = alike(plain, "sun")[1], alike(plain, "rmsd", lower=True)[1]
    return int(min(set(often["steps"]) & set(near["steps"]), default=plain["steps"].max()))


def hint(runs: "pd.DataFrame", steps: int) -> str:
    """One sentence on a number of steps: what the nearest measured one gave, and what the best of all did."""
    plain = runs[runs["corrections"] == 0]
    here = plain.loc[(plain["steps"] - steps).abs().idxmin()]
    best = runs.loc[runs["sun"].idxmax()]
    corrector = f" and {best['corrections']:.0f} corrector" if best["corrections"] else ""
    return (
        f"Measured, n = {here['count']:.0f} each: {here['steps']:.0f} steps give {here['sun']:.0%} S.U.N. and crystals "
        f"{here['rmsd']:.2f} Å from rest; {best['steps']:.0f} steps{corrector} {best['sun']:.0%} and "
        f"{best['rmsd']:.2f} Å, for {best['evaluations'] / here['evaluations']:.0f} times the work."
    )
