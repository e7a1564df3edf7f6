"""Targets drawn over what the model was taught, each with a strength of its own; used by the constraints panel."""

from typing import Any

import traitlets

from model.candidates import COLUMNS
from model.constraints import Target
from model.statistics import LabelStatistics
from workbench.widgets.base import Widget, module

WELL_KNOWN = 50  # training crystals within reach of a target, below which we warn


class Targets(Widget):
    """One row a property: off, a point or a range, drawn over what the model was taught.

    `strengths` holds the guidance of those targets that have one of their own; the others have `strength`.
    """

    _esm = module("targets.js")
    told = ("targets", "strengths")
    rows = traitlets.List().tag(sync=True)
    targets = traitlets.Dict().tag(sync=True)
    strengths = traitlets.Dict().tag(sync=True)
    strength = traitlets.Float(2.0).tag(sync=True)
    warnings = traitlets.Dict().tag(sync=True)


def row(name: str, taught: LabelStatistics) -> dict[str, Any]:
    """A property as the target widget draws it."""
    column = COLUMNS.get(name)
    return {
        "name": name,
        "label": column.label if column else name.replace("_", " "),
        "unit": column.unit if column else "",
        "about": f"{taught.n:,} training crystals, {taught.low:.3g} to {taught.high:.3g}",
        "edges": taught.edges.tolist(),
        "counts": list(taught.counts),
    }


def reach(target: Target, taught: LabelStatistics, unit: str = "") -> str:
    """A warning where fewer than 50 training crystals lie within a fifth of a standard deviation; else empty."""
    if not taught.n:
        return "The model was taught no value of this property."
    slack = max(taught.std / 5, (taught.high - taught.low) / len(taught.counts) / 2)
    edges = taught.edges
    near = (edges[1:] >= target.low - slack) & (edges[:-1] <= target.high + slack)
    n = sum(count for count, inside in zip(taught.counts, near, strict=True) if inside)
    if n >= WELL_KNOWN:
        return ""
    unit = f" {unit}" if unit else ""
    said = f"{n} of {taught.n:,} training crystals lie near this target"
    far = target.low - taught.high if target.low > taught.high else taught.low - target.high
    if far > 0:
        end, value = ("highest", taught.high) if target.low > taught.high else ("lowest", taught.low)
        return f"Beyond the data: the {end} taught value is {value:.3g}{unit}, {far:.3g}{unit} away. {said}."
    middle = (target.low + target.high) / 2
    away = abs(middle - taught.mean) / (taught.std or 1)
    return f"{said}; it is {away:.1f} standard deviations from their mean of {taught.mean:.3g}{unit}."
