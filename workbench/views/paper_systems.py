"""Pictures of asked chemical systems as in Fig. 3: rates by kind of system, new phases on the hull by method."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from workbench.views import style
from workbench.views.paper_properties import COLOURS

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure


def rates(table: "pd.DataFrame", by: str, order: list[str] | None = None) -> "Figure":
    """Mean S.U.N. share over the systems of each kind, by method, with lowest and highest (Fig. 3 b, c).

    `table` has a row a system and method: method, sun_rate, and the column `by`.
    """
    import plotly.graph_objects as go

    if table.empty:
        return style.says("Nothing to show yet", "No system holds enough known phases to claim anything of it.")
    kinds = [kind for kind in order or sorted(set(table[by])) if kind in set(table[by])]
    traces = []
    for (method, part), colour in zip(table.groupby("method", sort=False), COLOURS[1:], strict=False):
        groups = part.groupby(by)["sun_rate"]
        mean, low, high = (getattr(groups, name)().reindex(kinds) for name in ("mean", "min", "max"))
        error = {"type": "data", "symmetric": False, "array": high - mean, "arrayminus": mean - low, "thickness": 1.3,
                 "color": style.INK}  # fmt: skip
        traces.append(go.Bar(x=kinds, y=mean, name=method, marker={"color": colour}, error_y=error,
                             customdata=groups.size().reindex(kinds),
                             hovertemplate="%{x}: %{y:.0%} over %{customdata} systems<extra></extra>"))  # fmt: skip
    return style.figure(
        traces,
        xaxis=style.axis(type="category"),
        yaxis=style.axis("S.U.N. share", rangemode="tozero", tickformat=".0%"),
        barmode="group",
    )


def on_hull(counts: Mapping[str, Mapping[str, int]]) -> "Figure":
    """How many new phases on or below the hull each method found in each system, stacked (Fig. 3 d)."""
    import plotly.graph_objects as go

    if not any(sum(one.values()) for one in counts.values()):
        return style.says("No new phase on the hull", "None of the crystals lies on or below the hull of known phases.")
    systems = list(dict.fromkeys(system for one in counts.values() for system in one))
    traces = [
        go.Bar(x=systems, y=[one.get(system, 0) for system in systems], name=method, marker={"color": colour},
               hovertemplate="%{x}: %{y}<extra></extra>")
        for (method, one), colour in zip(counts.items(), COLOURS[1:], strict=False)
    ]  # fmt: skip
    return style.figure(
        traces,
        xaxis=style.axis(type="category"),
        yaxis=style.axis("New phases on or below the hull", rangemode="tozero"),
        barmode="group",
    )
