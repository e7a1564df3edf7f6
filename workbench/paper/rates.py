"""Rates with their 95 % intervals, over tables of judged crystals. Edge: pandas."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from model.evaluation.metrics import wilson

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Rate:
    """So many of so many, with Wilson's 95 % interval; not a number where there are none."""

    hits: int
    n: int
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """As a sentence wants it."""
        if not self.n:
            return "none of none"
        return f"{self.value:.1%} [{self.low:.1%}, {self.high:.1%}], {self.hits} of {self.n}"


def rate(hits: int, n: int) -> Rate:
    """A rate with its interval."""
    hits, n = int(hits), int(n)
    if not n:
        return Rate(hits=0, n=0, value=float("nan"), low=float("nan"), high=float("nan"))
    interval = wilson(hits, n)
    return Rate(hits=hits, n=n, value=hits / n, low=interval.low, high=interval.high)


def true(found: "pd.DataFrame", column: str) -> np.ndarray:
    """Where a flag that may be undecided is true."""
    if column not in found:
        return np.zeros(len(found), dtype=bool)
    return found[column].astype("boolean").fillna(value=False).to_numpy(dtype=bool)


def share(found: "pd.DataFrame", column: str) -> Rate:
    """How many crystals of a table have a flag; undecided ones do not."""
    return rate(true(found, column).sum(), len(found))


def above(found: "pd.DataFrame", column: str, threshold: float, *, among: str = "sun") -> Rate:
    """How many of the crystals with the flag `among` have a property above a threshold."""
    part = found[true(found, among)] if among else found
    values = part[column].to_numpy(dtype=float) if column in part else np.full(len(part), np.nan)
    return rate((values > threshold).sum(), len(part))


def median(found: "pd.DataFrame", column: str, *, among: str = "sun") -> float:
    """Middle value of a property over the crystals with the flag `among`; NaN where there are none."""
    part = found[true(found, among)] if among else found
    values = part[column].to_numpy(dtype=float) if column in part else np.zeros(0)
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else float("nan")
