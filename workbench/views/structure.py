"""One crystal as the plain dictionary the viewer draws. Edge: pymatgen, Crystal Toolkit."""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from model.crystals import MASK, Crystals
from model.elements import SYMBOLS
from workbench.views import style

if TYPE_CHECKING:
    from plotly.graph_objects import Figure
    from pymatgen.core import Structure

LARGEST_SCENE = 1500  # atoms; beyond it the supercell is left out, for a browser draws no more smoothly
UNDECIDED = "#9aa5b1"


def scene(structure: "Structure", repeats: tuple[int, int, int] = (2, 2, 2)) -> dict[str, Any]:
    """Crystal Toolkit's scene of a supercell with CrystalNN bonds, one radius for all, and the legend of its colours.

    Bonds are found in the unit cell and then repeated. Where CrystalNN finds no neighbours for a crystal, it is drawn
    without bonds.
    """
    toolkit = _toolkit()
    from pymatgen.analysis.graphs import StructureGraph
    from pymatgen.analysis.local_env import CrystalNN

    structure = standing(structure)
    while len(structure) * int(np.prod(repeats)) > LARGEST_SCENE and max(repeats) > 1:
        repeats = tuple(max(1, n - 1) for n in repeats)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CrystalNN speaks of missing oxidation states at every atom
        try:
            graph = StructureGraph.from_local_env_strategy(structure, CrystalNN())
        except (ValueError, RuntimeError, IndexError, KeyError):  # no Voronoi cells, as in a collapsed crystal
            graph = StructureGraph.from_empty_graph(structure)
        graph = graph * repeats
        legend = toolkit.Legend(graph.structure, color_scheme="VESTA", radius_scheme="uniform")
        drawn = graph.get_scene(
            draw_image_atoms=True, bonded_sites_outside_unit_cell=False, hide_incomplete_edges=True, legend=legend
        )
    axes = graph.structure.lattice._axes_from_lattice()  # noqa: SLF001 - Crystal Toolkit puts it there, under this name only
    axes.visible = True
    drawn.contents.append(axes)
    data = json.loads(json.dumps(drawn.to_json(), default=lambda value: value.tolist()))
    data["name"] = "StructureGraph"  # the viewer takes the old scene away by this name
    colours = style.element_colours()
    elements = sorted({site.specie.symbol for site in structure})
    return {
        "data": data,
        "legend": [[symbol, colours.get(symbol, UNDECIDED)] for symbol in elements],
        "repeats": list(repeats),
    }


def standing(structure: "Structure") -> "Structure":
    """The same crystal turned as pictures show it: c nearly upright, seen a little from above and from the side.

    The turn follows from lengths and angles alone, so that a crystal before and after relaxation stands alike.
    """
    from pymatgen.core import Lattice, Structure

    upright = Lattice.from_parameters(*structure.lattice.abc, *structure.lattice.angles).matrix
    around, above = np.radians(-22.0), np.radians(14.0)
    # x right, y up, z towards the eye: c of the standard setting (z) becomes up
    lay = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    turn = np.array([[np.cos(around), 0, -np.sin(around)], [0, 1, 0], [np.sin(around), 0, np.cos(around)]])
    nod = np.array([[1, 0, 0], [0, np.cos(above), np.sin(above)], [0, -np.sin(above), np.cos(above)]])
    return Structure(Lattice(upright @ lay @ turn @ nod), structure.species, structure.frac_coords)


class _Toolkit:
    """Crystal Toolkit, imported once; what it patches onto other people's classes is taken back."""

    def __init__(self) -> None:
        from monty.json import MSONable

        had = {name: MSONable.__dict__.get(name) for name in ("_ipython_display_", "_repr_mimebundle_")}
        with warnings.catch_warnings(), _no_dash_comm():
            warnings.simplefilter("ignore")
            import crystal_toolkit  # noqa: F401 - puts get_scene onto pymatgen's classes
            from crystal_toolkit.core.legend import Legend
        # otherwise any pymatgen object at the end of a cell tries to start a Dash server
        for name, value in had.items():
            if value is None and name in MSONable.__dict__:
                delattr(MSONable, name)
        self.Legend = Legend


@contextmanager
def _no_dash_comm() -> Iterator[None]:
    """Dash opens a channel to the page on import, which JupyterLab answers with an error: this one ends here."""
    import comm

    real = comm.create_comm

    def create(*args: Any, **kwargs: Any) -> Any:
        return comm.DummyComm(*args, **kwargs) if kwargs.get("target_name") == "dash" else real(*args, **kwargs)

    comm.create_comm = create
    try:
        yield
    finally:
        comm.create_comm = real


_LOADED: list[_Toolkit] = []


def _toolkit() -> _Toolkit:
    if not _LOADED:
        _LOADED.append(_Toolkit())
    return _LOADED[0]


def preview(crystals: Crystals, row: int = 0) -> dict[str, Any]:
    """One crystal of a batch as the little moving picture draws it: positions in Å, cell, colours, formula."""
    one = crystals[row]
    colours = style.element_colours()
    symbols = [SYMBOLS[z] if 0 < z < MASK else "?" for z in one.numbers.tolist()]
    cell = one.cell[0].double().cpu().numpy()
    if not np.isfinite(cell).all() or not np.isfinite(one.frac.cpu().numpy()).all():
        return {}
    positions = (one.frac.double().cpu().numpy() % 1.0) @ cell
    return {
        "positions": np.round(positions, 2).tolist(),
        "cell": np.round(cell, 3).tolist(),
        "colours": [colours.get(symbol, UNDECIDED) for symbol in symbols],
        "formula": formula(symbols),
        "facts": [f"{len(symbols)} atoms, {symbols.count('?')} undecided", f"{abs(np.linalg.det(cell)):.0f} Å³"],
    }


def formula(symbols: list[str]) -> str:
    """Formula of a cell, undecided atoms as question marks."""
    counts = {symbol: symbols.count(symbol) for symbol in sorted(set(symbols), key=lambda s: (s == "?", s))}
    return "".join(f"{symbol}{n if n > 1 else ''}" for symbol, n in counts.items())


def symmetry(structure: "Structure", symprec: float = 0.1) -> dict[str, Any]:
    """Space group, crystal system and Wyckoff positions within `symprec` Å; empty where no symmetry can be found."""
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = SpacegroupAnalyzer(structure, symprec=symprec)
            whole = found.get_symmetrized_structure()
            sites = [
                (sites[0].specie.symbol, letter)
                for sites, letter in zip(whole.equivalent_sites, whole.wyckoff_symbols, strict=True)
            ]
            return {
                "symbol": found.get_space_group_symbol(),
                "number": found.get_space_group_number(),
                "system": found.get_crystal_system(),
                "wyckoff": sites,
            }
    except Exception:  # noqa: BLE001 - spglib refuses collapsed crystals in many ways; they have no symmetry to name
        return {}


def facts(title: str, structure: "Structure", found: dict[str, Any]) -> str:
    """Formula, symmetry, Wyckoff positions and cell of a crystal in two lines of HTML."""
    a, b, c = structure.lattice.abc
    angles = ", ".join(f"{x:.1f}" for x in structure.lattice.angles)
    sites = ", ".join(f"{symbol} {letter}" for symbol, letter in found.get("wyckoff", ()))
    above = [
        f"<b>{structure.composition.reduced_formula}</b> {escape(title)}",
        f"{found['system']}, {sites}" if found else "no symmetry found",
    ]
    below = [f"{a:.3f}, {b:.3f}, {c:.3f} Å", f"{angles}°", f"{structure.volume:.1f} Å³"]
    return f'<span title="{escape(sites)}">{" · ".join(above)}<br>{" · ".join(below)}</span>'


def figure(structure: "Structure", repeats: tuple[int, int, int] = (2, 2, 2)) -> "Figure":
    """The same supercell as a compact plotly figure, for pages where the viewer cannot be loaded."""
    import plotly.graph_objects as go
    from pymatgen.core.lattice import Lattice

    whole = structure.make_supercell(repeats, in_place=False)
    colours = style.element_colours()
    traces: list[Any] = [_box(Lattice(whole.lattice.matrix))]
    for symbol in sorted({site.specie.symbol for site in whole}):
        xyz = np.array([site.coords for site in whole if site.specie.symbol == symbol])
        traces.append(
            go.Scatter3d(
                x=xyz[:, 0],
                y=xyz[:, 1],
                z=xyz[:, 2],
                mode="markers",
                name=symbol,
                hovertemplate=f"{symbol}<extra></extra>",
                marker={"size": 7, "color": colours.get(symbol, UNDECIDED), "line": {"color": style.INK, "width": 1}},
            )
        )
    hidden = {"visible": False}
    return style.figure(
        traces,
        scene={"xaxis": hidden, "yaxis": hidden, "zaxis": hidden, "aspectmode": "data"},
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
    )


def _box(lattice: Any) -> Any:
    import plotly.graph_objects as go

    corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    lines: list[Any] = []
    for corner in corners:
        for axis in range(3):
            if not corner[axis]:
                other = corner.copy()
                other[axis] = 1
                lines += [lattice.get_cartesian_coords(corner), lattice.get_cartesian_coords(other), [None] * 3]
    x, y, z = zip(*lines, strict=True)
    return go.Scatter3d(
        x=x, y=y, z=z, mode="lines", line={"color": style.DIM, "width": 2}, hoverinfo="skip", showlegend=False
    )
