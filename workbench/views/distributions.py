"""What was asked, what was obtained, what the data had: one quantity, two quantities, elements, space groups."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from model.candidates import Candidates
from model.constraints import Target
from model.evaluation.obedience import told_by
from model.statistics import LabelStatistics
from workbench.views import style
from workbench.views.table import numbers

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

BINS = 24
ALWAYS = ("energy_above_hull", "rmsd", "n_atoms", "density")


def quantities(candidates: Candidates, targets: Mapping[str, Target]) -> list[str]:
    """Columns worth a histogram: those asked for, the usual ones, then those known of any candidate."""
    further = (
        "volume",
        "hhi_score",
        "formation_energy",
        "nearest_distance",
        "dft_mag_density",
        "dft_band_gap",
        "ml_band_gap",
        "ml_bulk_modulus",
        "dft_bulk_modulus",
    )
    told = {told_by(candidates.table, name) for name in targets}
    known = [name for name in further if name in candidates.table and name not in told]
    known = [name for name in known if np.isfinite(numbers(candidates.table, name)).any()]
    return list(dict.fromkeys([*targets, *ALWAYS, *known]))


def distribution(
    candidates: Candidates,
    column: str,
    *,
    taught: LabelStatistics | None = None,
    target: Target | None = None,
    selected: str = "",
    brush: tuple[float, float] | None = None,
) -> "Figure":
    """Density of a quantity over the candidates, against the training data, with the target as a dashed line.

    As in Fig. 5 of the MatterGen paper. Both are normalised to unit area, so that sets of any size compare.
    """
    import plotly.graph_objects as go

    values = numbers(candidates.table, column)
    known = values[np.isfinite(values)]
    if not len(known) and taught is None:
        return style.says("Nothing to show yet", f"{style.title(column)} is not known of any candidate.")
    edges = (
        np.arange(known.min() - 0.5, known.max() + 1.5)
        if column == "n_atoms" and len(known)
        else _edges(known, taught, target)
    )
    traces: list[Any] = []
    top = None
    if taught is not None and taught.n:
        share = np.asarray(taught.counts) / max(taught.n, 1) / np.diff(taught.edges)
        traces.append(
            go.Scatter(
                x=_staircase(taught.edges),
                y=np.repeat(share, 2),
                name=f"training data ({taught.n:,})",
                mode="lines",
                fill="tozeroy",
                line={"color": style.DIM, "width": 1},
                fillcolor="rgba(120,130,140,0.22)",
                hoverinfo="skip",
            )
        )
    if len(known):
        counts, _ = np.histogram(known, bins=edges)
        share = counts / len(known) / np.diff(edges)
        if traces and max(traces[0].y) > 4 * share.max():  # training data in one peak must not flatten the candidates
            top = 2.5 * float(share.max())
        traces.append(
            go.Bar(
                x=(edges[1:] + edges[:-1]) / 2,
                y=share,
                width=np.diff(edges) * 0.94,
                name=f"candidates ({len(known):,})",
                marker={"color": style.ACCENT, "opacity": 0.78, "line": {"width": 0}},
                customdata=counts,
                hovertemplate="%{x:.3g}: %{customdata} candidates<extra></extra>",
            )
        )
    shapes, notes = _lines(target, column, brush)
    row = np.flatnonzero((candidates.table["id"] == selected).to_numpy())
    if len(row) and np.isfinite(values[row[0]]):
        traces.append(
            go.Scatter(
                x=[values[row[0]]],
                y=[0],
                mode="markers",
                name=selected,
                cliponaxis=False,
                marker={
                    "symbol": "triangle-up",
                    "size": 13,
                    "color": style.BAD,
                    "line": {"color": style.GROUND, "width": 1},
                },
            )
        )
    return style.figure(
        traces,
        xaxis=style.axis(style.title(column)),
        yaxis=style.axis("Density", rangemode="tozero", **({"range": [0, top]} if top else {})),
        shapes=shapes,
        annotations=notes,
        dragmode="select",
        selectdirection="h",
        bargap=0,
        barmode="overlay",
        uirevision=column,
    )


def _edges(known: np.ndarray, taught: LabelStatistics | None, target: Target | None) -> np.ndarray:
    """Bin borders over all there is to see; a single value gets a bin around it."""
    ends = [
        *known,
        *((taught.low, taught.high) if taught is not None and taught.n else ()),
        *((target.low, target.high) if target else ()),
    ]
    low, high = float(np.min(ends)), float(np.max(ends))
    if high - low < 1e-9:
        low, high = low - 0.5 * max(abs(low), 0.1), high + 0.5 * max(abs(high), 0.1)
    return np.linspace(low, high, BINS + 1)


def _staircase(edges: np.ndarray) -> np.ndarray:
    return np.repeat(edges, 2)[1:-1]


def _lines(
    target: Target | None, column: str, brush: tuple[float, float] | None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Target and thresholds as vertical lines with a word beside each, the brush as a band."""
    words = {"yref": "paper", "y": 1, "yanchor": "top", "xanchor": "left", "showarrow": False, "xshift": 3}
    notes: list[dict[str, Any]] = []
    across = {"yref": "paper", "y0": 0, "y1": 1}
    shapes: list[dict[str, Any]] = []
    if brush is not None:
        shapes.append(
            {
                "type": "rect",
                "x0": brush[0],
                "x1": brush[1],
                "fillcolor": style.ACCENT,
                "opacity": 0.12,
                "line": {"width": 0},
                "layer": "below",
            }
            | across
        )
    dash = {"dash": "dash", "width": 1.6, "color": style.INK}
    if target is not None:
        shapes += [{"type": "line", "x0": x, "x1": x, "line": dash} | across for x in sorted({target.low, target.high})]
        notes.append({"text": "target", "x": target.high, "font": {"color": style.INK}} | words)
    if column == "energy_above_hull":
        shapes.append(
            {"type": "line", "x0": 0.1, "x1": 0.1, "line": {"dash": "dot", "width": 1.2, "color": style.GOOD}} | across
        )
        notes.append({"text": "0.1: stable up to here", "x": 0.1, "font": {"color": style.GOOD, "size": 11}} | words)
    return shapes, notes


def pair(
    candidates: Candidates, x: str, y: str, *, lower_is_better: tuple[bool, bool] = (True, True), selected: str = ""
) -> "Figure":
    """Two quantities against each other with their Pareto front, as in Fig. 6 of the MatterGen paper."""
    import plotly.graph_objects as go

    xs, ys = numbers(candidates.table, x), numbers(candidates.table, y)
    known = np.flatnonzero(np.isfinite(xs) & np.isfinite(ys))
    if not len(known):
        return style.says(
            "Nothing to show yet", f"{style.title(x)} and {style.title(y)} are not known together of any candidate."
        )
    ids = candidates.table["id"].to_numpy()[known]
    front = known[
        pareto(
            np.column_stack(
                [xs[known] * (1 if lower_is_better[0] else -1), ys[known] * (1 if lower_is_better[1] else -1)]
            )
        )
    ]
    front = front[np.argsort(xs[front], kind="stable")]
    sizes = np.where(ids == selected, 14, 8)
    text = [
        f"{name}: {formula}" for name, formula in zip(ids, candidates.table["formula"].to_numpy()[known], strict=True)
    ]
    traces = [
        go.Scatter(
            x=xs[front],
            y=ys[front],
            mode="lines",
            name="Pareto front",
            line={"color": style.DIM, "width": 1.5, "shape": "hv"},
            hoverinfo="skip",
        ),
        go.Scatter(
            x=xs[known],
            y=ys[known],
            mode="markers",
            name=f"candidates ({len(known)})",
            customdata=ids,
            text=text,
            marker={"color": style.ACCENT, "size": sizes, "opacity": 0.8, "line": {"color": style.GROUND, "width": 1}},
            hovertemplate="%{text}<br>%{x:.3g}, %{y:.3g}<extra></extra>",
        ),
    ]
    return style.figure(
        traces, xaxis=style.axis(style.title(x)), yaxis=style.axis(style.title(y)), uirevision=f"{x} {y}"
    )


def pareto(points: np.ndarray) -> np.ndarray:
    """Positions of the points that no other point beats in both columns; smaller is better."""
    by_first = np.lexsort((points[:, 1], points[:, 0]))
    best = np.inf
    kept = []
    for at in by_first:
        if points[at, 1] < best:
            kept.append(at)
            best = points[at, 1]
    return np.asarray(kept, dtype=int)


def elements(candidates: Candidates, cells: Sequence[tuple[str, int, int, bool]]) -> "Figure":
    """How many candidates hold each element, as a periodic table; `cells` are symbol, row, column, taught."""
    import plotly.graph_objects as go

    from model.elements import SYMBOLS

    crystals = candidates.crystals
    if not len(crystals):
        return style.says("Nothing to show yet", "Elements appear with the first crystals.")
    present = np.zeros((len(crystals), len(SYMBOLS) + 1), dtype=bool)
    numbers_ = np.clip(crystals.numbers.numpy(), 0, len(SYMBOLS))
    present[crystals.owner.numpy(), numbers_] = True
    counts = {symbol: int(present[:, z].sum()) for z, symbol in enumerate(SYMBOLS) if symbol}
    grid = np.full((9, 18), np.nan)
    words = np.full((9, 18), "", dtype=object)
    for symbol, row, column, _ in cells:
        at = (row - 1 if row < 8 else row - 2, column - 1)
        grid[at], words[at] = counts.get(symbol, 0), symbol
    top = max(1, *counts.values())
    heat = go.Heatmap(
        z=grid,
        text=words,
        texttemplate="%{text}",
        xgap=1.5,
        ygap=1.5,
        zmin=0,
        zmax=top,
        hovertemplate="%{text}: %{z} candidates<extra></extra>",
        colorscale=[[0, "rgba(120,130,140,0.12)"], [0.001, "rgba(15,110,132,0.25)"], [1, style.ACCENT]],
        textfont={"size": 10},
        colorbar={"title": {"text": "candidates", "side": "right"}, "thickness": 8, "outlinewidth": 0, "len": 0.8},
    )
    hidden = {"visible": False, "fixedrange": True}
    return style.figure(
        [heat],
        xaxis=hidden,
        yaxis=hidden | {"autorange": "reversed"},
        showlegend=False,
        margin={"l": 8, "r": 8, "t": 12, "b": 8},
    )


def space_groups(candidates: Candidates) -> "Figure":
    """How often each space group was found among the generated crystals, the fifteen most frequent."""
    import plotly.graph_objects as go

    if "space_group" not in candidates.table or not len(candidates):
        return style.says("Nothing to show yet", "Space groups appear with the first crystals.")
    counts = candidates.table["space_group"].dropna().astype(str).value_counts()
    shown = counts.head(15)
    lowest = int((candidates.table["space_group"] == "P1").sum())
    bars = go.Bar(
        x=list(shown.index),
        y=shown.to_numpy(),
        marker={"color": style.ACCENT, "opacity": 0.8},
        hovertemplate="%{x}: %{y} candidates<extra></extra>",
    )
    note = {
        "text": f"P1: {lowest} of {len(candidates)}",
        "x": 1,
        "y": 1,
        "xref": "paper",
        "yref": "paper",
        "xanchor": "right",
        "yanchor": "bottom",
        "showarrow": False,
        "font": {"color": style.DIM},
    }
    return style.figure(
        [bars],
        xaxis=style.axis("Space group (symprec 0.1 Å)", type="category"),
        yaxis=style.axis("Candidates", rangemode="tozero"),
        showlegend=False,
        annotations=[note],
    )
