"""Pictures of space groups as in Fig. 4: how often an asked group was met, and groups against those of the data."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from workbench.views import style
from workbench.views.paper_properties import COLOURS

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure


def hits(table: "pd.DataFrame") -> "Figure":
    """The share of crystals that relaxed into the group they were asked for, a bar a group, with 95 % intervals.

    `table` has a row a group: symbol, system, rate, low, high, hits, n, chance (its share in the training data).
    """
    import plotly.graph_objects as go

    if table.empty:
        return style.says("Nothing to show yet", "No crystals were asked for a space group.")
    names = [f"{symbol}<br>{system}" for symbol, system in zip(table["symbol"], table["system"], strict=True)]
    error = {"type": "data", "symmetric": False, "array": table["high"] - table["rate"],
             "arrayminus": table["rate"] - table["low"], "thickness": 1.4, "color": style.INK}  # fmt: skip
    words = [f"{hits} of {n}" for hits, n in zip(table["hits"], table["n"], strict=True)]
    traces = [
        go.Bar(x=names, y=table["rate"], name="relaxed into the asked group", marker={"color": style.ACCENT},
               error_y=error, customdata=words, hovertemplate="%{x}: %{y:.0%}, %{customdata}<extra></extra>"),
        go.Scatter(x=names, y=table["chance"], mode="markers", name="share of the training data (chance)",
                   marker={"symbol": "line-ew", "size": 22, "line": {"width": 2.4, "color": style.WARN}}),
    ]  # fmt: skip
    return style.figure(
        traces,
        xaxis=style.axis(type="category", tickangle=-45, tickfont={"size": 11}),
        yaxis=style.axis("Share of crystals", rangemode="tozero", tickformat=".0%"),
    )


def distributions(series: Mapping[str, Mapping[str, float]], title: str) -> "Figure":
    """Shares of each kind in each series, side by side: crystal systems, or space groups."""
    import plotly.graph_objects as go

    if not any(any(one.values()) for one in series.values()):
        return style.says("Nothing to show yet", "There are no crystals.")
    kinds = list(dict.fromkeys(kind for one in series.values() for kind in one))
    traces = [
        go.Bar(x=kinds, y=[one.get(kind, 0.0) for kind in kinds], name=name, marker={"color": colour},
               hovertemplate="%{x}: %{y:.1%}<extra></extra>")
        for (name, one), colour in zip(series.items(), COLOURS, strict=False)
    ]  # fmt: skip
    return style.figure(
        traces,
        xaxis=style.axis(title, type="category"),
        yaxis=style.axis("Share of crystals", rangemode="tozero", tickformat=".0%"),
        barmode="group",
    )
