"""A piece of work as one HTML page to hand on, readable without Python or a network."""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from model.candidates import COLUMNS
from workbench.paths import PathError
from workbench.sessions.session import Session
from workbench.state import OWN
from workbench.views import code, distributions, hull, path, structure, style, table
from workbench.views.periodic import cells

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

SHOWN = 500  # rows of the table; the export has them all
_STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; color: #1f2933; max-width: 1100px; margin: 32px auto;
  padding: 0 20px; }
h1 { font-size: 22px; margin-bottom: 4px; } h2 { font-size: 16px; margin-top: 32px; } .dim { color: #616e7c; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; width: 100%; }
th, td { text-align: left; padding: 3px 10px 3px 0; border-bottom: 1px solid #dde1e6; white-space: nowrap; }
td:last-child { white-space: normal; min-width: 280px; }
.scroll { overflow-x: auto; }
pre { background: #f3f4f6; padding: 10px 14px; border-radius: 6px; overflow: auto; }
.figures { display: grid; grid-template-columns: 1fr 1fr; gap: 16px; }
"""


def report(session: Session, phases: Sequence[hull.Phase] = (), scorecard: Any = None) -> str:
    """The page of a session: a single file of about five megabytes, most of it the plotting library.

    It holds what every panel of the bench shows: what was asked, the rates, the selected crystal (or else the one
    nearest to the hull) before and after relaxation and how it lost its noise, the hull, the distributions, and the
    candidates. `phases` are the known ones of the asked system, for its hull; without any, the hull is that of the
    elements.
    """
    constraints = session.constraints
    card = scorecard if scorecard is not None else session.scorecard
    drawn = _Figures()
    parts = [
        f"<h1>{escape(session.name)}</h1>",
        f'<p class="dim">{escape(_origin(session))}</p>',
        f"<h2>Constraints</h2><pre>{escape(_asked(session))}</pre>",
        f"<h2>Rates</h2><pre>{escape(str(card))}</pre>" if card else "",
        _structure(session, drawn),
        "<h2>Hull</h2>" + drawn.side_by_side([hull.hull(session.candidates, phases, sorted(constraints.required))])
        if 2 <= len(constraints.required) <= 4 else "",
        "<h2>Distributions</h2>" + drawn.side_by_side(_distributions(session)),
        "<h2>Candidates</h2>" + _table(session),
        '<p class="dim">Made with the MatterGen design workbench. Reference data: Materials Project, CC BY 4.0.</p>',
    ]  # fmt: skip
    head = f'<meta charset="utf-8"><title>{escape(session.name)}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>'


class _Figures:
    """Turns figures into HTML; the plotting library stands in front of the first."""

    def __init__(self) -> None:
        self._loaded = False

    def side_by_side(self, figures: "Sequence[Figure]", height: int = 380) -> str:
        """Figures in two columns."""
        return f'<div class="figures">{"".join(f"<div>{self._html(one, height)}</div>" for one in figures)}</div>'

    def _html(self, figure: "Figure", height: int) -> str:
        first, self._loaded = not self._loaded, True
        return figure.to_html(
            full_html=False, include_plotlyjs=first, default_height=f"{height}px", config={"displaylogo": False}
        )


def _asked(session: Session) -> str:
    """The cell that makes the crystals again; of crystals that were brought, where they came from."""
    if session.method == OWN:
        return f"# crystals of one's own, out of {session.told.get('source') or 'a table'}"
    return code.python(
        session.constraints, session.model_name or "base", session.steps, corrections=session.corrections,
        way=session.method, told=session.told,
    )


def _structure(session: Session, drawn: _Figures) -> str:
    """The selected crystal as generated and relaxed, what is known of it, and its path."""
    from model.io import to_structures

    name = session.selection or _best(session)
    rows = {one: row for row, one in enumerate(session.candidates.table["id"])}
    if name not in rows:
        return ""
    crystals = [("as generated", session.candidates.crystals[rows[name]])]
    if name in session.relaxed:
        crystals.append(("relaxed", session.relaxed[name]))
    found = [(title, to_structures(crystal)[0]) for title, crystal in crystals]
    facts = "".join(f"<p>{structure.facts(title, one, structure.symmetry(one))}</p>" for title, one in found)
    pictures = drawn.side_by_side([structure.figure(one) for _, one in found], 420)
    said = escape(table.verdict(session.candidates.table.iloc[rows[name]].to_dict()))
    return f"<h2>Structure of {escape(name)}</h2>{pictures}{facts}<p>{said}</p>{_path(session, name, drawn)}"


def _path(session: Session, name: str, drawn: _Figures) -> str:
    if name not in session.paths:
        return ""
    try:
        found = path.course(session.paths[name])
    except PathError as error:
        return f'<p class="dim">{escape(str(error))}</p>'
    return "<h3>How it lost its noise</h3>" + drawn.side_by_side([path.figure(found)], 260)


def _best(session: Session) -> str:
    """The candidate nearest to the hull; the first where no energy is known, empty where there is none at all."""
    data = session.candidates.table
    if not len(data):
        return ""
    at = table.order(data, np.ones(len(data), dtype=bool), "energy_above_hull", descending=False)
    return str(data["id"].iloc[at[0]])


def _distributions(session: Session) -> "list[Figure]":
    """Every quantity that is known, elements, space groups, and energy above hull against what else was asked."""
    candidates, targets = session.candidates, session.constraints.targets
    known = [
        name for name in distributions.quantities(candidates, targets)
        if np.isfinite(table.numbers(candidates.table, name)).any()
    ]  # fmt: skip
    figures = [
        distributions.distribution(candidates, name, target=targets.get(name), brush=session.narrowed.get(name))
        for name in known
    ]
    figures += [distributions.elements(candidates, cells()), distributions.space_groups(candidates)]
    pairs = [name for name in (*targets, "hhi_score", "rmsd") if name in known and name != "energy_above_hull"]
    if pairs and "energy_above_hull" in known:
        figures.append(distributions.pair(candidates, pairs[0], "energy_above_hull", selected=session.selection))
    return figures


def _origin(session: Session) -> str:
    model = f"{session.model_name or 'unknown'} ({session.model_hash or 'no hash'})"
    made = session.created or "an unknown time"
    return f"{len(session.candidates)} crystals, {session.judged} judged; model {model}, made {made}"


def _table(session: Session) -> str:
    """The rows, those nearest to the hull first."""
    data = session.candidates.table
    asked = list(session.constraints.targets)
    columns = [column for column in table.columns(data, asked) if column["name"] in data]
    at = table.order(data, table.mask(data, {}, {}), "energy_above_hull", descending=False)
    page = table.page(data, at, [column["name"] for column in columns], 0, SHOWN)
    head = "".join(f"<th>{escape(COLUMNS[c['name']].title)}</th>" for c in columns)
    rows = "".join("<tr>" + "".join(f"<td>{_cell(value)}</td>" for value in row) + "</tr>" for row in page.rows)
    more = f'<p class="dim">{len(data) - SHOWN} more are in the export.</p>' if len(data) > SHOWN else ""
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{more}'


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f'<span style="color:{style.DIM}">·</span>' if value is None else escape(str(value))
