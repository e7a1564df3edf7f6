"""Crystals side by side as small pictures: CrystalNN bonds, one radius for all, VESTA's colours. Edge: pymatviz."""

import re
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from model.elements import SYMBOLS
from workbench.views import style

if TYPE_CHECKING:
    from plotly.graph_objects import Figure
    from pymatgen.core import Structure

ROW = 280  # pixels
RADIUS, ATOM = 0.8, 20.0  # of every atom in Å, and how many points the picture gives an ångström


def gallery(structures: "Sequence[Structure]", titles: Sequence[str], *, columns: int = 3) -> "Figure":
    """A row of crystals, each in its conventional cell with its title.

    Raises ValueError where there are not as many titles as crystals.
    """
    if len(structures) != len(titles):
        raise ValueError(f"{len(structures)} crystals need as many titles; found {len(titles)}.")
    if not structures:
        return style.says("Nothing to show yet", "There are no crystals to draw.")
    import plotly.io as pio

    template = pio.templates.default  # pymatviz changes it on import
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CrystalNN speaks of missing oxidation states at every atom
        import pymatviz

        shown = {str(number): structure for number, structure in enumerate(structures)}
        figure = pymatviz.structure_2d(
            shown, n_cols=min(columns, len(shown)), show_bonds=_bonds(), atom_size=ATOM, show_cell_faces=False,
            atomic_radii=dict.fromkeys(SYMBOLS[1:], RADIUS), elem_colors=style.element_colours(),
            bond_kwargs={"color": style.DIM, "width": 2}, standardize_struct=False,
            subplot_title=lambda _, key: titles[int(key)],
        )  # fmt: skip
    pio.templates.default = template
    figure.update_traces(hoverinfo="skip", hovertext=None, selector={"mode": "lines"})
    figure.for_each_annotation(lambda note: note.update(text=_low(note.text), yshift=12))
    figure.for_each_xaxis(lambda axis: axis.update(domain=_shortened(axis.domain, 0.84)))  # legends stand beside
    figure.for_each_yaxis(lambda axis: axis.update(domain=_shortened(axis.domain, 0.86)))  # and titles above the cells
    font = {"family": style.FONT, "size": 12, "color": style.INK}
    rows = -(-len(shown) // columns)
    return figure.update_layout(
        template="none", font=font, paper_bgcolor="white", plot_bgcolor="white", height=ROW * rows,
        margin={"l": 10, "r": 10, "t": 56, "b": 10},
    )  # fmt: skip


def _low(text: str) -> str:
    """A title with the numbers of its first word, a formula, set low."""
    first, *rest = text.split("<br>")
    return "<br>".join([re.sub(r"(\d+)", r"<sub>\1</sub>", first), *rest])


def _shortened(domain: Sequence[float], share: float) -> list[float]:
    return [domain[0], domain[0] + share * (domain[1] - domain[0])]


def _bonds() -> object:
    from pymatgen.analysis.local_env import CrystalNN

    return CrystalNN()
