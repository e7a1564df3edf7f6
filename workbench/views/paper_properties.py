"""Pictures of asked properties as in Figs. 5 and 6: densities, what a budget finds, two at once, elements."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from model.candidates import COLUMNS
from workbench.views import style
from workbench.views.distributions import pareto
from workbench.views.table import numbers

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure

# data, then ours, then others: in this order wherever several series stand together
COLOURS = (style.DIM, style.ACCENT, style.WARN, style.GOOD, style.BAD)


def known(values: Any) -> np.ndarray:
    """The values that are numbers."""
    values = np.asarray(values, dtype=float)
    return values[np.isfinite(values)]


def density(
    data: Any,
    series: Mapping[str, Any],
    column: str,
    target: float,
    *,
    highest: float | None = None,
    lowest_data: float | None = None,
    bins: int = 30,
) -> "Figure":
    """Density of a property: training data as a shaded area, each series as a line, the target dashed (Fig. 5 a-c).

    Each is normalised to unit area over all its values, also those beyond `highest`, where the axis ends. Values of the
    data below `lowest_data` are left out, as the paper does for magnetic densities.
    """
    taught = known(data)
    left_out = int((taught < lowest_data).sum()) if lowest_data is not None else 0
    taught = taught if lowest_data is None else taught[taught >= lowest_data]
    named = {name: known(values) for name, values in series.items()}
    everything = np.concatenate([taught, *named.values(), [target]])
    if not len(taught) and not any(map(len, named.values())):
        return style.says("Nothing to show yet", f"{style.title(column)} is not known of any crystal.")
    edges = np.linspace(min(0.0, everything.min()), highest or everything.max() * 1.02 + 1e-9, bins + 1)
    traces: list[Any] = []
    if len(taught):
        more = f", {left_out:,} below {lowest_data:g} left out" if left_out else ""
        traces.append(_area(taught, edges, f"training data ({len(taught):,}{more})"))
    for (name, values), colour in zip(named.items(), COLOURS[1:], strict=False):
        if len(values):
            traces.append(_line(values, edges, f"{name} ({len(values):,})", colour))
    top = _top(named, edges, traces)
    dashed = {"type": "line", "x0": target, "x1": target, "yref": "paper", "y0": 0, "y1": 1,
              "line": {"dash": "dash", "width": 1.6, "color": style.INK}}  # fmt: skip
    note = {"text": f"target {target:g}", "x": target, "yref": "paper", "y": 1, "yanchor": "top", "xanchor": "left",
            "showarrow": False, "xshift": 3}  # fmt: skip
    return style.figure(
        traces,
        xaxis=style.axis(style.title(column), range=[edges[0], edges[-1]]),
        yaxis=style.axis("Density", rangemode="tozero", **({"range": [0, top]} if top else {})),
        shapes=[dashed],
        annotations=[note],
    )


def _top(named: Mapping[str, np.ndarray], edges: np.ndarray, traces: list[Any]) -> float | None:
    """Where the axis ends so that a peak of others at one end does not flatten the first series; None: at the peak."""
    first = next((values for values in named.values() if len(values)), None)
    if first is None:
        return None
    highest, own = max(max(trace.y) for trace in traces), float(_shares(first, edges).max())
    return 2.5 * own if highest > 4 * own > 0 else None


def _shares(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    counts, _ = np.histogram(values, bins=edges)
    return counts / len(values) / np.diff(edges)


def _area(values: np.ndarray, edges: np.ndarray, name: str) -> Any:
    import plotly.graph_objects as go

    return go.Scatter(
        x=np.repeat(edges, 2)[1:-1], y=np.repeat(_shares(values, edges), 2), name=name, mode="lines", fill="tozeroy",
        line={"color": style.DIM, "width": 1}, fillcolor="rgba(120,130,140,0.22)", hoverinfo="skip",
    )  # fmt: skip


def _line(values: np.ndarray, edges: np.ndarray, name: str, colour: str) -> Any:
    import plotly.graph_objects as go

    return go.Scatter(
        x=np.repeat(edges, 2)[1:-1], y=np.repeat(_shares(values, edges), 2), name=name, mode="lines",
        line={"color": colour, "width": 2}, hovertemplate="%{x:.3g}: density %{y:.3g}<extra></extra>",
    )  # fmt: skip


def found(values: Any, threshold: float) -> np.ndarray:
    """How many of the first k values lie above the threshold, for k = 0, 1, …; a value that is not known is not."""
    values = np.asarray(values, dtype=float)
    return np.concatenate([[0], np.cumsum(np.nan_to_num(values, nan=-np.inf) > threshold)])


def budget(series: Mapping[str, Any], column: str, threshold: float, *, labelled: int | None = None) -> "Figure":
    """How many crystals beyond a threshold so many property calculations find (Fig. 5 g, h).

    Each series holds the values in the order in which they are calculated. `labelled` is how many the data held, as a
    level.
    """
    import plotly.graph_objects as go

    traces: list[Any] = []
    for (name, values), colour in zip(series.items(), COLOURS[1:], strict=False):
        if not len(values):
            continue
        counts = found(values, threshold)
        traces.append(
            go.Scatter(
                x=np.arange(len(counts)), y=counts, name=name, mode="lines",
                line={"color": colour, "width": 2, "shape": "hv"},
                hovertemplate="%{y} found with %{x} calculations<extra></extra>",
            )
        )  # fmt: skip
    if not traces:
        return style.says("Nothing to show yet", "No property was calculated of any series.")
    if labelled is not None:
        longest = max(len(trace.x) for trace in traces) - 1
        traces.append(
            go.Scatter(
                x=[0, longest], y=[labelled, labelled], mode="lines", name=f"in the training data ({labelled})",
                line={"color": style.DIM, "dash": "dot", "width": 1.6}, hoverinfo="skip",
            )
        )  # fmt: skip
    return style.figure(
        traces,
        xaxis=style.axis("Property calculations", rangemode="tozero"),
        yaxis=style.axis(f"Crystals above {threshold:g} {COLUMNS[column].unit}", rangemode="tozero"),
    )


def joint(
    data: "pd.DataFrame", series: Mapping[str, "pd.DataFrame"], x: str, y: str, targets: tuple[float, float]
) -> "Figure":
    """Two properties of each crystal: data as a shaded density, the series as points, the targets dashed (Fig. 6 a)."""
    import plotly.graph_objects as go

    traces: list[Any] = []
    a, b = numbers(data, x), numbers(data, y)
    both = np.isfinite(a) & np.isfinite(b)
    if both.any():
        counts, across, up = np.histogram2d(a[both], b[both], bins=(40, 40))
        traces.append(
            go.Heatmap(
                x=(across[1:] + across[:-1]) / 2, y=(up[1:] + up[:-1]) / 2,
                z=np.log10(np.where(counts > 0, counts, np.nan)).T,
                colorscale=[[0, "rgba(120,130,140,0.12)"], [1, "rgba(60,70,80,0.75)"]], showscale=False,
                name=f"training data ({int(both.sum()):,})", showlegend=True, hoverinfo="skip",
            )
        )  # fmt: skip
    for (name, table), colour in zip(series.items(), COLOURS[1:], strict=False):
        if len(table):
            traces.append(_points(table, x, y, name, colour))
    lines = [
        {"type": "line", "x0": targets[0], "x1": targets[0], "yref": "paper", "y0": 0, "y1": 1},
        {"type": "line", "y0": targets[1], "y1": targets[1], "xref": "paper", "x0": 0, "x1": 1},
    ]
    dash = {"line": {"dash": "dash", "width": 1.4, "color": style.INK}}
    return style.figure(
        traces, xaxis=style.axis(style.title(x)), yaxis=style.axis(style.title(y)), shapes=[s | dash for s in lines]
    )


def _points(table: "pd.DataFrame", x: str, y: str, name: str, colour: str) -> Any:
    import plotly.graph_objects as go

    return go.Scatter(
        x=numbers(table, x), y=numbers(table, y), mode="markers", name=f"{name} ({len(table)})",
        text=table["formula"],
        marker={"color": colour, "size": 7, "opacity": 0.8, "line": {"color": "white", "width": 0.5}},
        hovertemplate="%{text}<br>%{x:.3g}, %{y:.3g}<extra></extra>",
    )  # fmt: skip


def front(
    series: Mapping[str, "pd.DataFrame"], x: str, y: str, *, lower_is_better: tuple[bool, bool]
) -> "Figure":
    """Crystals of each series with its Pareto front: those that no other of it beats in both (Fig. 6 c)."""
    import plotly.graph_objects as go

    traces: list[Any] = []
    signs = np.where(lower_is_better, 1.0, -1.0)
    for (name, table), colour in zip(series.items(), COLOURS[1:], strict=False):
        points = np.column_stack([numbers(table, x), numbers(table, y)])
        rows = np.flatnonzero(np.isfinite(points).all(axis=1))
        if not len(rows):
            continue
        best = rows[pareto(points[rows] * signs)]
        best = best[np.argsort(points[best, 0], kind="stable")]
        traces += [
            _points(table.iloc[rows], x, y, name, colour),
            go.Scatter(
                x=points[best, 0], y=points[best, 1], mode="lines+markers", name=f"front of {name} ({len(best)})",
                line={"color": colour, "width": 2}, marker={"size": 9, "color": colour}, hoverinfo="skip",
            ),
        ]  # fmt: skip
    if not traces:
        return style.says("Nothing to show yet", f"{style.title(x)} and {style.title(y)} are not known together.")
    return style.figure(traces, xaxis=style.axis(style.title(x)), yaxis=style.axis(style.title(y)))


def element_shares(table: "pd.DataFrame") -> dict[str, float]:
    """The share of crystals that hold each element, most frequent first."""
    from pymatgen.core import Composition

    counts: dict[str, int] = {}
    for formula in table["formula"]:
        for element in Composition(formula).chemical_system_set:
            counts[element] = counts.get(element, 0) + 1
    return {e: n / len(table) for e, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))}


def elements(series: Mapping[str, "pd.DataFrame"], *, most: int = 24) -> "Figure":
    """How large a share of each series' crystals holds each element, the most frequent ones (Fig. 6 b)."""
    import plotly.graph_objects as go

    shares = {name: element_shares(table) for name, table in series.items() if len(table)}
    if not shares:
        return style.says("Nothing to show yet", "There are no crystals.")
    highest = {e: max(one.get(e, 0.0) for one in shares.values()) for one in shares.values() for e in one}
    shown = sorted(highest, key=lambda e: (-highest[e], e))[:most]
    bars = [
        go.Bar(x=shown, y=[one.get(e, 0.0) for e in shown], name=f"{name} ({len(series[name])})",
               marker={"color": colour}, hovertemplate="%{x}: %{y:.1%}<extra></extra>")
        for (name, one), colour in zip(shares.items(), COLOURS[1:], strict=False)
    ]  # fmt: skip
    return style.figure(
        bars,
        xaxis=style.axis("Element", type="category"),
        yaxis=style.axis("Share of crystals", rangemode="tozero", tickformat=".0%"),
        barmode="group",
    )


def best(table: "pd.DataFrame", column: str, target: float, *, most: int = 6) -> "pd.DataFrame":
    """The S.U.N. crystals whose property is known, the one nearest to the target first."""
    flags = table["sun"].astype("boolean").fillna(value=False).to_numpy(dtype=bool)
    rows = table[flags & np.isfinite(numbers(table, column))]
    return rows.iloc[np.argsort(np.abs(numbers(rows, column) - target), kind="stable")[:most]]


def overview(series: Mapping[str, Any], thresholds: Sequence[float]) -> "pd.DataFrame":
    """How many values each series has, their median and highest, and how many lie above each threshold."""
    import pandas as pd

    rows = {}
    for name, values in series.items():
        those = known(values)
        rows[name] = {"known": len(those), "median": np.median(those) if len(those) else np.nan,
                      "highest": those.max() if len(those) else np.nan,
                      **{f"above {t:g}": int((those > t).sum()) for t in thresholds}}  # fmt: skip
    return pd.DataFrame(rows).T
