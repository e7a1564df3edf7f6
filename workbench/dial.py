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


def hint(runs: "pd.DataFrame", steps: int, corrections: int = 0) -> str:
    """What the nearest measured run gave, and those of the best S.U.N. and of the smoothest crystals: one sentence."""
    here = runs.loc[_nearest(runs, steps, corrections)]
    others = dict.fromkeys((runs["sun"].idxmax(), runs["rmsd"].idxmin()))
    rest = [
        f"{_walk(best)} {best['sun']:.0%} and {best['rmsd']:.2f} Å for {_times(best, here)} times the work"
        for best in (runs.loc[row] for row in others if row != here.name)
    ]
    first = (
        f"Measured of {here['model']} with nothing asked, n = {here['count']:.0f} each: {_walk(here)} give "
        f"{here['sun']:.0%} S.U.N. and crystals {here['rmsd']:.2f} Å from rest"
    )
    return "; ".join([first, *rest]) + "."


def _nearest(runs: "pd.DataFrame", steps: int, corrections: int) -> int:
    """The row of the run with a corrector or without, as asked, and the nearest number of steps."""
    alike = runs[(runs["corrections"] > 0) == (corrections > 0)]
    alike = alike if len(alike) else runs
    return (alike["steps"] - steps).abs().idxmin()


def _walk(run: "pd.Series") -> str:
    return f"{run['steps']:.0f} steps{' with one correction each' if run['corrections'] else ''}"


def _times(run: "pd.Series", other: "pd.Series") -> str:
    ratio = run["evaluations"] / other["evaluations"]
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.2g}"
