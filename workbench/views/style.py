"""Colours, fonts and axis titles of every picture: the only place that knows plotly's template."""

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.candidates import COLUMNS

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

INK, DIM, LINE, GROUND = "#1f2933", "#616e7c", "#dde1e6", "#fefefe"
ACCENT, GOOD, WARN, BAD = "#0f6e84", "#1b7f4b", "#a65a00", "#b42318"
# what a widget exchanges for the theme's own colours; the figure itself stays readable on white paper
INKS = {
    "ink": INK,
    "dim": DIM,
    "line": LINE,
    "ground": GROUND,
    "accent": ACCENT,
    "good": GOOD,
    "warn": WARN,
    "bad": BAD,
}
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
MARGIN = {"l": 52, "r": 16, "t": 34, "b": 44}


def title(column: str) -> str:
    """Axis title of a quantity, with its unit."""
    return COLUMNS[column].title if column in COLUMNS else column.replace("_", " ")


def axis(text: str = "", **more: Any) -> dict[str, Any]:
    """One axis in the house style."""
    return {
        "title": {"text": text, "standoff": 8},
        "gridcolor": LINE,
        "zeroline": False,
        "linecolor": LINE,
        "ticks": "outside",
        "tickcolor": LINE,
        "showline": True,
        "automargin": True,
    } | more


def figure(traces: list[Any], **layout: Any) -> "Figure":
    """A figure in the house style."""
    import plotly.graph_objects as go

    base = {
        "template": "none",
        "font": {"family": FONT, "size": 12, "color": INK},
        "margin": MARGIN,
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "hovermode": "closest",
        "showlegend": True,
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 1.0,
            "yanchor": "bottom",
            "bgcolor": "rgba(0,0,0,0)",
            "font": {"size": 11},
        },
        "hoverlabel": {"align": "left"},
    }
    return go.Figure(data=traces, layout=base | layout)


def says(text: str, about: str = "") -> "Figure":
    """A figure that is a sentence, for when there is nothing to draw yet."""
    lines = f"<b>{text}</b>" + (f"<br><span style='color:{DIM}'>{about}</span>" if about else "")
    note = {
        "text": lines,
        "x": 0.5,
        "y": 0.5,
        "xref": "paper",
        "yref": "paper",
        "showarrow": False,
        "align": "center",
        "font": {"size": 13},
    }
    blank = {"visible": False}
    return figure([], annotations=[note], xaxis=blank, yaxis=blank, margin={"l": 16, "r": 16, "t": 16, "b": 16})


def to_widget(fig: "Figure") -> str:
    """JSON for the plot widget: the paper is left to the theme."""
    data = json.loads(fig.to_json())
    for name in ("paper_bgcolor", "plot_bgcolor"):
        data["layout"].pop(name, None)
    data["layout"].get("font", {}).pop("color", None)
    return json.dumps(data)


@cache
def element_colours() -> dict[str, str]:
    """Colour of each element as VESTA has it, from Crystal Toolkit's table."""
    import yaml

    spec = find_spec("crystal_toolkit")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("Element colours come with crystal-toolkit: pip install crystal-toolkit.")
    file = Path(next(iter(spec.submodule_search_locations))) / "core" / "ElementColorSchemes.yaml"
    table = yaml.safe_load(file.read_text(encoding="utf-8"))["VESTA"]
    return {symbol: "#{:02x}{:02x}{:02x}".format(*(int(v) for v in rgb)) for symbol, rgb in table.items()}
