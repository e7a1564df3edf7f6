"""Pictures of how good crystals are, as in Fig. 2: histograms, unique and novel against number, rates, steps."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from model.evaluation.metrics import wilson
from workbench.views import style
from workbench.views.paper_properties import COLOURS, known

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure


def histogram(
    series: Mapping[str, Any], column: str, *, low: float, high: float, bins: int = 40, lines: Mapping[float, str] = {},
    logarithmic: bool = False,
) -> "Figure":
    """The share of each series' crystals in each bin; values beyond the ends are counted in the last bin (Fig. 2 b, c).

    `lines` are values to mark, each with a word.
    """
    import plotly.graph_objects as go

    edges = np.geomspace(low, high, bins + 1) if logarithmic else np.linspace(low, high, bins + 1)
    traces = []
    for (name, values), colour in zip(series.items(), COLOURS[1:], strict=False):
        those = known(values)
        if not len(those):
            continue
        counts, _ = np.histogram(np.clip(those, low, high), bins=edges)
        traces.append(
            go.Scatter(
                x=np.repeat(edges, 2)[1:-1], y=np.repeat(counts / len(those), 2), mode="lines", fill="tozeroy",
                name=f"{name} ({len(those):,})", line={"color": colour, "width": 1.6}, opacity=0.9,
                fillcolor=_faint(colour), hovertemplate="%{x:.3g}: %{y:.1%}<extra></extra>",
            )
        )  # fmt: skip
    if not traces:
        return style.says("Nothing to show yet", f"{style.title(column)} is not known of any crystal.")
    marks = [{"type": "line", "x0": x, "x1": x, "yref": "paper", "y0": 0, "y1": 1,
              "line": {"dash": "dot", "width": 1.2, "color": style.INK}} for x in lines]  # fmt: skip
    notes = [{"text": word, "x": np.log10(x) if logarithmic else x, "yref": "paper", "y": 1, "yanchor": "top",
              "xanchor": "left", "xshift": 3, "showarrow": False} for x, word in lines.items()]  # fmt: skip
    span = [float(np.log10(low)), float(np.log10(high))] if logarithmic else [low, high]
    return style.figure(
        traces,
        xaxis=style.axis(style.title(column), range=span, type="log" if logarithmic else "linear"),
        yaxis=style.axis("Share of crystals", rangemode="tozero", tickformat=".0%"),
        shapes=marks,
        annotations=notes,
    )


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.16)"


def running(flags: Any) -> np.ndarray:
    """The share of true ones among the first k, for k = 1, 2, …."""
    flags = np.asarray(flags, dtype=float)
    return np.cumsum(flags) / np.arange(1, len(flags) + 1)


def against_number(flags: Mapping[str, Any]) -> "Figure":
    """Shares of crystals with a flag among the first so many generated (Fig. 2 d)."""
    import plotly.graph_objects as go

    traces = [
        go.Scatter(x=np.arange(1, len(values) + 1), y=running(values), mode="lines", name=name,
                   line={"color": colour, "width": 2}, hovertemplate="first %{x}: %{y:.1%}<extra></extra>")
        for (name, values), colour in zip(flags.items(), COLOURS[1:], strict=False) if len(values)
    ]  # fmt: skip
    if not traces:
        return style.says("Nothing to show yet", "There are no crystals.")
    return style.figure(
        traces,
        xaxis=style.axis("Crystals generated", rangemode="tozero"),
        yaxis=style.axis("Share", range=[0, 1.03], tickformat=".0%"),
    )


def bars(
    names: Sequence[str], values: Sequence[float], title: str, *, ours: Mapping[str, tuple[float, float, float]],
    percent: bool = True,
) -> "Figure":
    """Reported values as bars, ours beside them with their intervals (value, low, high) (Fig. 2 e, f)."""
    import plotly.graph_objects as go

    middle = [value for value, _, _ in ours.values()]
    error = {"type": "data", "symmetric": False, "color": style.INK, "thickness": 1.4,
             "array": [high - value for value, _, high in ours.values()],
             "arrayminus": [value - low for value, low, _ in ours.values()]}  # fmt: skip
    form = ".1f" if percent else ".3f"
    traces = [
        go.Bar(x=list(ours), y=middle, name="this project", marker={"color": style.ACCENT}, error_y=error,
               text=[format(v, form) for v in middle], textposition="inside", insidetextanchor="start"),
        go.Bar(x=list(names), y=list(values), name="as reported", marker={"color": style.DIM, "opacity": 0.6},
               text=[format(v, form) for v in values], textposition="outside", cliponaxis=False),
    ]  # fmt: skip
    return style.figure(
        traces, xaxis=style.axis(type="category"), yaxis=style.axis(title, rangemode="tozero"), barmode="overlay"
    )


def steps(table: "pd.DataFrame", column: str, title: str, *, percent: bool = False) -> "Figure":
    """A quality against the steps it takes, with and without a corrector, and 95 % intervals.

    `table` has the columns steps, corrections, and the quality with its `_low` and `_high`.
    """
    import plotly.graph_objects as go

    if table.empty:
        return style.says("Nothing to show yet", "There are no runs with different steps.")
    traces = []
    for (corrections, part), colour in zip(table.groupby("corrections"), COLOURS[1:], strict=False):
        rows = part.sort_values("steps")
        middle = rows[column]
        error = {"type": "data", "symmetric": False, "array": rows[f"{column}_high"] - middle,
                 "arrayminus": middle - rows[f"{column}_low"], "thickness": 1.2, "color": colour}  # fmt: skip
        word = "no corrector" if not corrections else f"{corrections} corrector step{'s' if corrections > 1 else ''}"
        traces.append(
            go.Scatter(x=rows["steps"], y=middle, mode="lines+markers", name=word, error_y=error,
                       line={"color": colour, "width": 2},
                       hovertemplate="%{x} steps: %{y:.3g}<extra></extra>")
        )  # fmt: skip
    shown = sorted(set(table["steps"]))
    return style.figure(
        traces,
        xaxis=style.axis("Steps", type="log", tickvals=shown, ticktext=[str(n) for n in shown]),
        yaxis=style.axis(title, rangemode="tozero", **({"tickformat": ".0%"} if percent else {})),
    )


def curve(table: "pd.DataFrame", columns: Mapping[str, str], *, title: str = "Loss") -> "Figure":
    """Learning curves: a line a column of a table with the column `step`; rows without a value are passed over."""
    import plotly.graph_objects as go

    traces = []
    for (column, name), colour in zip(columns.items(), COLOURS[1:], strict=False):
        if column not in table:
            continue
        rows = table[["step", column]].dropna()
        traces.append(go.Scatter(x=rows["step"], y=rows[column], mode="lines+markers" if len(rows) < 60 else "lines",
                                 name=name, line={"color": colour, "width": 1.8}, marker={"size": 5}))  # fmt: skip
    if not traces:
        return style.says("Nothing to show yet", f"The table has none of {', '.join(columns)}.")
    return style.figure(traces, xaxis=style.axis("Step", rangemode="tozero"), yaxis=style.axis(title))


def interval(hits: int, n: int, *, times: float = 100.0) -> tuple[float, float, float]:
    """A rate with its 95 % interval, in percent; not a number where there are none."""
    if not n:
        return (float("nan"),) * 3
    low_high = wilson(int(hits), int(n))
    return times * hits / n, times * low_high.low, times * low_high.high
