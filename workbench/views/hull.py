"""The phase diagram of a chemical system with candidates on and above it. Edge: pymatgen."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from model.candidates import Candidates
from workbench.views import style
from workbench.views.table import numbers

if TYPE_CHECKING:
    from plotly.graph_objects import Figure
    from pymatgen.analysis.phase_diagram import PhaseDiagram

SCALE = [[0.0, style.GOOD], [0.5, "#e0a92e"], [1.0, style.BAD]]  # energies above hull, 0 to 0.2 eV/atom
TOP = 0.2
# corners of a segment, a triangle, a tetrahedron: where the pure elements lie
CORNERS = {
    2: np.array([[0.0], [1.0]]),
    3: np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]]),
    4: np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.5, np.sqrt(3) / 2, 0.0], [0.5, np.sqrt(3) / 6, np.sqrt(2 / 3)]]),
}


@dataclass(frozen=True)
class Phase:
    """A known phase: its formula and its formation energy in eV/atom."""

    formula: str
    energy: float


def known_phases(reference: Any, elements: Iterable[str]) -> list[Phase]:
    """Known phases of a chemical system and its subsystems, without the elements; none without a reference."""
    elements = list(elements)
    if reference is None or not elements:
        return []
    known = reference.hull.entries(elements)
    known = known[known["kind"] != "element"]
    return [Phase(str(f), float(e)) for f, e in zip(known["formula"], known["formation_energy"], strict=True)]


def diagram(phases: Sequence[Phase], elements: Sequence[str]) -> "PhaseDiagram":
    """Pymatgen's phase diagram of known phases over the elements, whose formation energies are zero."""
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition, Element

    entries = [PDEntry(Composition(symbol), 0.0) for symbol in elements]
    for phase in phases:
        composition = Composition(phase.formula)
        if set(composition.chemical_system_set) <= set(elements):
            entries.append(PDEntry(composition, phase.energy * composition.num_atoms))
    return PhaseDiagram(entries, elements=[Element(symbol) for symbol in elements])


def hull(candidates: Candidates, phases: Sequence[Phase], elements: Sequence[str], selected: str = "") -> "Figure":
    """The hull of two to four elements: known phases, tie lines, and the candidates coloured by energy above hull.

    Other numbers of elements give a figure that says so.
    """
    elements = sorted(elements)
    if len(elements) not in CORNERS:
        return style.says(
            "A hull is drawn for two to four elements",
            f"{'-'.join(elements)} has {len(elements)}; the table gives each energy above hull.",
        )
    pd = diagram(phases, elements)
    at = _inside(candidates, elements)
    draw = {2: _binary, 3: _ternary, 4: _quaternary}[len(elements)]
    return draw(pd, candidates, at, elements, selected)


def _inside(candidates: Candidates, elements: Sequence[str]) -> np.ndarray:
    """Rows of the candidates within the system whose energies are known."""
    known = np.isfinite(numbers(candidates.table, "energy_above_hull"))
    if not known.any():
        return np.zeros(0, dtype=int)
    inside = [
        known[i] and shares(f).keys() <= set(elements) for i, f in enumerate(candidates.table["formula"])
    ]
    return np.flatnonzero(inside)


def fractions(formulas: Sequence[str], elements: Sequence[str]) -> np.ndarray:
    """Atomic fraction of each element, a row a formula."""
    return np.array([[shares(f).get(e, 0.0) for e in elements] for f in formulas]).reshape(-1, len(elements))


@lru_cache(maxsize=100_000)
def shares(formula: str) -> dict[str, float]:
    """Atomic fraction of each element of a formula; kept, for thousands of candidates share few formulas."""
    from pymatgen.core import Composition

    composition = Composition(formula)
    return {str(element): composition.get_atomic_fraction(element) for element in composition}


def _stable(pd: "PhaseDiagram", elements: Sequence[str]) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Fractions, formulas and formation energies of the phases on the hull."""
    entries = sorted(pd.stable_entries, key=lambda entry: entry.composition.reduced_formula)
    formulas = [entry.composition.reduced_formula for entry in entries]
    return fractions(formulas, elements), formulas, np.array([pd.get_form_energy_per_atom(entry) for entry in entries])


def _edges(pd: "PhaseDiagram", elements: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Tie lines as pairs of fractions."""
    from itertools import combinations

    pairs = {tuple(sorted(pair)) for facet in pd.facets for pair in combinations(facet, 2)}
    points = fractions([entry.composition.reduced_formula for entry in pd.qhull_entries], elements)
    return [(points[i], points[j]) for i, j in sorted(pairs)]


def _marker(energies: np.ndarray, ids: np.ndarray, selected: str, size: int = 9) -> dict[str, Any]:
    return {
        "color": energies,
        "cmin": 0.0,
        "cmax": TOP,
        "colorscale": SCALE,
        "size": np.where(ids == selected, size + 6, size),
        "line": {"color": style.INK, "width": 1},
        "colorbar": {
            "title": {"text": "above hull (eV/atom)", "side": "right"},
            "thickness": 8,
            "outlinewidth": 0,
            "len": 0.7,
            "tickvals": [0, 0.1, 0.2],
            "ticktext": ["≤ 0", "0.1", "≥ 0.2"],
        },
    }


def _words(candidates: Candidates, at: np.ndarray) -> list[str]:
    part = candidates.table.iloc[at]
    return [
        f"{i}<br>{f}: {e:+.3f} eV/atom"
        for i, f, e in zip(part["id"], part["formula"], part["energy_above_hull"].astype(float), strict=True)
    ]


def _binary(pd: "PhaseDiagram", candidates: Candidates, at: np.ndarray, elements: list[str], selected: str) -> "Figure":
    import plotly.graph_objects as go

    points, formulas, energies = _stable(pd, elements)
    along = np.argsort(points[:, 1])
    x, y = points[along, 1], energies[along]
    labels = _labels(formulas, np.column_stack([points[:, 1], energies / (np.abs(energies).max() or 1.0)]))
    traces = [
        go.Scatter(x=x, y=y, line={"color": style.DIM, "width": 1.5}, **_TIE_LINES),
        _known(go.Scatter, [points[:, 1], energies], formulas, energies, labels, "bottom center"),
    ]
    if len(at):
        part = candidates.table.iloc[at]
        where = fractions(list(part["formula"]), elements)[:, 1]
        above = part["energy_above_hull"].to_numpy(dtype=float)
        traces.append(_made(go.Scatter, [where, np.interp(where, x, y) + above], candidates, at, selected))
    return style.figure(
        traces,
        xaxis=style.axis(f"Fraction of {elements[1]}", range=[-0.04, 1.04]),
        yaxis=style.axis("Formation energy (eV/atom)"),
        showlegend=False,
        uirevision="-".join(elements),
    )


_TIE_LINES = {"mode": "lines", "hoverinfo": "skip", "showlegend": False}


def _known(
    trace: Any, spots: Sequence[np.ndarray], formulas: list[str], energies: np.ndarray, labels: list[str], place: Any
) -> Any:
    """The phases on the hull, as rings with their formulas beside them."""
    flat = len(spots) == 2
    return trace(
        **dict(zip("xyz", spots, strict=False)), mode="markers+text", text=labels, textposition=place,
        **({"cliponaxis": False} if flat else {}), name="known, on the hull",
        marker={"color": style.GROUND, "size": 8 if flat else 5, "line": {"color": style.INK, "width": 1.5}},
        hovertext=[f"{f}<br>on the hull, {e:.3f} eV/atom" for f, e in zip(formulas, energies, strict=True)],
        hoverinfo="text",
    )


def _made(trace: Any, spots: Sequence[np.ndarray], candidates: Candidates, at: np.ndarray, selected: str) -> Any:
    """The candidates, coloured by energy above hull; a click on one tells its id."""
    part = candidates.table.iloc[at]
    ids, above = part["id"].to_numpy(), part["energy_above_hull"].to_numpy(dtype=float)
    return trace(
        **dict(zip("xyz", spots, strict=False)), mode="markers", name="candidates", customdata=ids,
        text=_words(candidates, at), marker=_marker(above, ids, selected, 9 if len(spots) == 2 else 6),
        hovertemplate="%{text}<extra></extra>",
    )


def _lines(edges: list[tuple[np.ndarray, np.ndarray]], corners: np.ndarray) -> list[np.ndarray]:
    """Coordinates of tie lines, each ended by a gap."""
    gap = np.full(corners.shape[1], np.nan)
    rows = [row for a, b in edges for row in (a @ corners, b @ corners, gap)]
    return list(np.array(rows).T) if rows else [np.zeros(0)] * corners.shape[1]


def _labels(formulas: list[str], spots: np.ndarray, places: Sequence[str] = ()) -> list[str]:
    """Labels that lie neither on each other nor on the elements: elements first, then simple formulas.

    The others speak when they are pointed at. `places` says on which side of its spot each label stands.
    """
    from pymatgen.core import Composition

    sizes = [Composition(f).num_atoms * (len(Composition(f)) > 1) for f in formulas]
    shown: dict[int, np.ndarray] = {}
    for i in sorted(range(len(formulas)), key=lambda i: sizes[i]):
        box = _box(spots[i], formulas[i], places[i] if len(places) else "bottom center")
        if not any((box[0] < other[1]).all() and (other[0] < box[1]).all() for other in shown.values()):
            shown[i] = box
    return [_words_of(formula) if i in shown else "" for i, formula in enumerate(formulas)]


def _box(spot: np.ndarray, formula: str, place: str) -> np.ndarray:
    """Where a label lies, lowest and highest corner, in the units of a triangle of side 1 about 300 pixels wide."""
    wide, high, off = 0.03 * len(formula), 0.07, 0.02
    x, y = spot[0], spot[1] if len(spot) > 1 else 0.0
    low_x = x - off - wide if "left" in place else x + off if "right" in place else x - wide / 2
    low_y = y + off if "top" in place else y - off - high if "bottom" in place else y - high / 2
    box = np.array([[low_x, low_y], [low_x + wide, low_y + high]])
    return np.column_stack([box, [spot[2] - off, spot[2] + off]]) if len(spot) > 2 else box


def _beside(spot: np.ndarray) -> str:
    """Where a label stands: outside the triangle for points on its edges, above for those within."""
    x, y = spot
    if y < 0.02:
        return "bottom center"
    left, right = np.sqrt(3) * x - y < 0.02, np.sqrt(3) * (1 - x) - y < 0.02
    return "top center" if left == right else "middle left" if left else "middle right"


def _words_of(formula: str) -> str:
    """A formula with its numbers set low; an element by its symbol alone."""
    from pymatgen.core import Composition

    if len(Composition(formula)) == 1:
        return re.sub(r"\d", "", formula)
    return re.sub(r"(\d+)", r"<sub>\1</sub>", formula)


def _corners(
    pd: "PhaseDiagram", candidates: Candidates, at: np.ndarray, elements: list[str], selected: str
) -> "list[Any]":
    """Tie lines, known phases and candidates in a triangle or a tetrahedron of elements."""
    import plotly.graph_objects as go

    corners = CORNERS[len(elements)]
    flat = corners.shape[1] == 2
    trace = go.Scatter if flat else go.Scatter3d
    points, formulas, energies = _stable(pd, elements)
    spots = points @ corners
    place = [_beside(spot) for spot in spots] if flat else "top center"
    labels = _labels(formulas, spots, place if flat else ())
    ties = dict(zip("xyz", _lines(_edges(pd, elements), corners), strict=False))
    traces = [
        trace(**ties, line={"color": style.DIM, "width": 1.1 if flat else 2}, opacity=1 if flat else 0.5, **_TIE_LINES),
        _known(trace, list(spots.T), formulas, energies, labels, place),
    ]
    if len(at):
        where = fractions(list(candidates.table["formula"].iloc[at]), elements) @ corners
        traces.append(_made(trace, list(where.T), candidates, at, selected))
    return traces


def _ternary(
    pd: "PhaseDiagram", candidates: Candidates, at: np.ndarray, elements: list[str], selected: str
) -> "Figure":
    return style.figure(
        _corners(pd, candidates, at, elements, selected),
        xaxis={"visible": False, "range": [-0.12, 1.12]},
        yaxis={"visible": False, "range": [-0.12, 0.98], "scaleanchor": "x"},
        showlegend=False,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        uirevision="-".join(elements),
    )


def _quaternary(
    pd: "PhaseDiagram", candidates: Candidates, at: np.ndarray, elements: list[str], selected: str
) -> "Figure":
    hidden = {"visible": False}
    return style.figure(
        _corners(pd, candidates, at, elements, selected),
        scene={"xaxis": hidden, "yaxis": hidden, "zaxis": hidden, "aspectmode": "data"},
        showlegend=False,
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        uirevision="-".join(elements),
    )
