"""Two pieces of work side by side: what was asked, what came out, and one quantity of both in one picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from model.constraints import Constraints
from workbench.columns import kind
from workbench.sessions.session import Session
from workbench.views import style
from workbench.views.table import numbers

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

RATES = (("stable", "Stable"), ("unique", "Unique"), ("novel", "Novel"), ("sun", "Stable, unique and novel"))
MEDIANS = ("energy_above_hull", "rmsd", "formation_energy")
COLOURS = (style.ACCENT, style.WARN)


@dataclass(frozen=True)
class Line:
    """One line of the comparison: what it is about, and what each of the two says."""

    about: str
    first: str
    second: str
    outcome: bool = False

    @property
    def differs(self) -> bool:
        """The two say different things."""
        return self.first != self.second


def lines(first: Session, second: Session) -> list[Line]:
    """What was asked, line by line, and what came out, with 95 % Wilson intervals."""
    both = (first, second)
    out = [Line("Crystals, judged", *(f"{len(one.candidates)}, {one.judged}" for one in both), outcome=True)]
    out += [Line(label, *(rate(one, name) for one in both), outcome=True) for name, label in RATES]
    out += [
        Line(f"{style.title(name)}, median", *(median(one, name) for one in both),
             outcome=True)
        for name in MEDIANS
    ]  # fmt: skip
    out.append(Line("Space group P1", *(_plain_groups(one) for one in both), outcome=True))
    out.append(Line("Made", *(one.created.replace("T", " ")[:16] or "just now" for one in both)))
    out.append(Line("By", *(_maker(one) for one in both)))
    out += [Line(name, a, b) for (name, a), (_, b) in zip(*(_asked(one.constraints) for one in both), strict=True)]
    out.append(Line("Steps", *(str(one.steps or "·") for one in both)))
    out.append(Line("Corrections a step", *(str(one.corrections) for one in both)))
    out.append(Line("Reference", *(one.reference or "none" for one in both)))
    return out


def _maker(session: Session) -> str:
    if session.method != "diffusion":
        return session.method
    return f"{session.model_name or 'unknown'} ({session.model_hash[:8] or 'no hash'})"


def _asked(constraints: Constraints) -> list[tuple[str, str]]:
    targets = "; ".join(
        f"{style.title(name)} {target.low:g}" + (f" to {target.high:g}" if target.high != target.low else "")
        for name, target in sorted(constraints.targets.items())
    )
    told = constraints.guidance
    return [
        ("Elements", "-".join(sorted(constraints.chemical_system or ())) or "any"),
        ("Allowed", " ".join(sorted(constraints.allowed or ())) or "any"),
        ("Excluded", " ".join(sorted(constraints.excluded)) or "none"),
        ("Formula", constraints.formula or "any"),
        ("Atoms in the cell", "any" if constraints.n_atoms is None else "-".join(
            str(n) for n in dict.fromkeys(constraints.atom_range))),
        ("Space group asked", str(constraints.space_group or "any")),
        ("Targets", targets or "none"),
        ("Guidance", f"{told:g}" if isinstance(told, int | float) else ", ".join(
            f"{name} {value:g}" for name, value in sorted(told.items()))),
        ("Seed", str(constraints.seed)),
    ]  # fmt: skip


def rate(session: Session, column: str) -> str:
    """Share of those decided for which a column holds, with its interval; a middle dot where none is decided."""
    from model.evaluation.metrics import wilson

    table = session.candidates.table
    known = table[column].dropna() if column in table else []
    if not len(known):
        return "·"
    hits = int(known.astype(bool).sum())
    between = wilson(hits, len(known))
    return f"{hits} of {len(known)}: {hits / len(known):.0%} [{between.low:.0%}, {between.high:.0%}]"


def median(session: Session, column: str) -> str:
    """Median of a quantity over those of which it is known, and their number."""
    values = numbers(session.candidates.table, column)
    known = values[np.isfinite(values)]
    return f"{np.median(known):.3f} (n = {len(known)})" if len(known) else "·"


def _plain_groups(session: Session) -> str:
    table = session.candidates.table
    known = table["space_group"].dropna() if "space_group" in table else []
    return f"{int((known == 'P1').sum())} of {len(known)}" if len(known) else "·"


def shared(first: Session, second: Session) -> int:
    """How many crystals of the first some crystal of the second matches, each as relaxed where it was."""
    from model.evaluation.matching import Matcher

    matcher, theirs = Matcher(), _probes(second, _formulas(first))
    found = 0
    for formula, ours in _probes(first, set(theirs)).items():
        found += sum(any(matcher.same(one, other) for other in theirs[formula]) for one in ours)
    return found


def _formulas(session: Session) -> set[str]:
    table = session.candidates.table
    return set(table["formula"]) if "formula" in table else set()


def _probes(session: Session, formulas: set[str]) -> dict[str, list[Any]]:
    """The crystals of these formulas, ready for matching."""
    from model.evaluation.matching import probe

    out: dict[str, list[Any]] = {}
    table = session.candidates.table
    for row, (name, formula) in enumerate(zip(table["id"], table.get("formula", []), strict=False)):
        if formula in formulas:
            one = probe(session.relaxed.get(name, session.candidates.crystals[row]), str(name))
            out.setdefault(formula, []).append(one)
    return out


def quantities(first: Session, second: Session) -> list[str]:
    """Columns of which a number is known in both."""
    known = [
        name for name in first.candidates.table.columns
        if np.isfinite(numbers(first.candidates.table, name)).any()
        and np.isfinite(numbers(second.candidates.table, name)).any() and kind(name) == "number"
    ]  # fmt: skip
    return [name for name in ("energy_above_hull", "rmsd") if name in known] + [
        name for name in known if name not in {"energy_above_hull", "rmsd", "seed", "index"}
    ]


def figure(sessions: Sequence[Session], column: str) -> "Figure":
    """Densities of one quantity over the crystals of several sessions, on common bins."""
    import plotly.graph_objects as go

    values = [numbers(one.candidates.table, column) for one in sessions]
    known = [each[np.isfinite(each)] for each in values]
    if not all(len(each) for each in known):
        return style.says("Nothing to compare yet", f"{style.title(column)} is not known in both.")
    low, high = (float(end(np.concatenate(known))) for end in (np.min, np.max))
    edges = np.linspace(low, high if high - low > 1e-9 else low + 0.1, 25)
    traces = []
    for session, each, colour in zip(sessions, known, COLOURS, strict=False):
        counts, _ = np.histogram(each, bins=edges)
        traces.append(
            go.Bar(
                x=(edges[1:] + edges[:-1]) / 2, y=counts / len(each) / np.diff(edges), width=np.diff(edges) * 0.94,
                name=f"{session.name} ({len(each)})", marker={"color": colour, "opacity": 0.55, "line": {"width": 0}},
                customdata=counts, hovertemplate="%{x:.3g}: %{customdata} crystals<extra></extra>",
            )
        )
    return style.figure(
        traces, xaxis=style.axis(style.title(column)), yaxis=style.axis("Density", rangemode="tozero"), bargap=0,
        barmode="overlay", uirevision=column,
    )
