"""A piece of work as one HTML page to hand on, readable without Python or a network."""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from model.candidates import COLUMNS
from workbench.sessions.session import Session
from workbench.views import code, distributions, hull, style, table

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

SHOWN = 500  # rows of the table; the export has them all
_STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; color: #1f2933; max-width: 1100px; margin: 32px auto;
  padding: 0 20px; }
h1 { font-size: 22px; margin-bottom: 4px; } h2 { font-size: 16px; margin-top: 32px; } .dim { color: #616e7c; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; width: 100%; }
th, td { text-align: left; padding: 3px 10px 3px 0; border-bottom: 1px solid #dde1e6; white-space: nowrap; }
td:last-child { white-space: normal; }
pre { background: #f3f4f6; padding: 10px 14px; border-radius: 6px; overflow: auto; }
.figures { display: grid; grid-template-columns: 1fr 1fr; gap: 16px; }
"""


def report(session: Session, phases: Sequence[hull.Phase] = (), scorecard: Any = None) -> str:
    """The page of a session: a single file of about five megabytes, most of it the plotting library.

    `phases` are the known ones of the asked system, for its hull; without any, the hull is that of the elements.
    """
    candidates, constraints = session.candidates, session.constraints
    pictures = [
        distributions.distribution(candidates, "energy_above_hull"),
        distributions.distribution(candidates, "rmsd"),
    ]
    if 2 <= len(constraints.required) <= 4:
        pictures.insert(0, hull.hull(candidates, phases, sorted(constraints.required)))
    parts = [
        f"<h1>{escape(session.name)}</h1>",
        f'<p class="dim">{escape(_origin(session))}</p>',
        f"<h2>What was asked</h2><pre>{escape(code.python(constraints, session.model_name, session.steps))}</pre>",
        f"<h2>Rates</h2><pre>{escape(str(scorecard))}</pre>" if scorecard is not None else "",
        "<h2>Figures</h2>" + _figures(pictures),
        "<h2>Candidates</h2>" + _table(session),
        '<p class="dim">Made with the MatterGen design workbench. Reference data: Materials Project, CC BY 4.0.</p>',
    ]
    head = f'<meta charset="utf-8"><title>{escape(session.name)}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>'


def _origin(session: Session) -> str:
    model = f"{session.model_name or 'unknown'} ({session.model_hash or 'no hash'})"
    made = session.created or "an unknown time"
    return f"{len(session.candidates)} crystals, {session.judged} judged; model {model}, made {made}"


def _figures(figures: "list[Figure]") -> str:
    """Figures side by side; the plotting library stands in front of the first."""
    drawn = [
        figure.to_html(full_html=False, include_plotlyjs=i == 0, default_height="380px", config={"displaylogo": False})
        for i, figure in enumerate(figures)
    ]
    return f'<div class="figures">{"".join(f"<div>{one}</div>" for one in drawn)}</div>'


def _table(session: Session) -> str:
    """The rows, those nearest to the hull first."""
    data = session.candidates.table
    columns = [column for column in table.columns(data) if column["name"] in data]
    at = table.order(data, table.mask(data, {}, {}), "energy_above_hull", descending=False)
    page = table.page(data, at, [column["name"] for column in columns], 0, SHOWN)
    head = "".join(f"<th>{escape(COLUMNS[c['name']].title)}</th>" for c in columns)
    rows = "".join("<tr>" + "".join(f"<td>{_cell(value)}</td>" for value in row) + "</tr>" for row in page.rows)
    more = f'<p class="dim">{len(data) - SHOWN} more are in the export.</p>' if len(data) > SHOWN else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{more}"


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f'<span style="color:{style.DIM}">·</span>' if value is None else escape(str(value))
