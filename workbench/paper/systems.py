"""Chemical systems of Table D3: how well each is known, and what each method found in it. Edge: pandas."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from workbench.paper.numbers import EXPLORED
from workbench.paper.rates import rate, true

if TYPE_CHECKING:
    import pandas as pd

    from model.evaluation.reference import Reference

FEWEST = 5  # known phases in a system and its subsystems below which nothing is claimed of it
ARITY = {2: "binary", 3: "ternary", 4: "quaternary", 5: "quinary"}


def coverage(reference: "Reference") -> "pd.DataFrame":
    """A row a system of Table D3: its kind, how many elements, known phases in it and its subsystems, and verdict."""
    import pandas as pd

    rows = [
        {"system": system, "kind": kind, "elements": ARITY[system.count("-") + 1],
         "known_phases": (known := reference.covering(system.split("-"))), "claims": known >= FEWEST}
        for kind, systems in EXPLORED.items() for system in systems
    ]  # fmt: skip
    return pd.DataFrame(rows)


def outcomes(series: Mapping[str, "pd.DataFrame"], known: "pd.DataFrame") -> "pd.DataFrame":
    """A row a method and system: how many crystals, their S.U.N. share with interval, new phases on the hull.

    `series` are judged crystals by method, with `chemical_system`. Systems with fewer than five known phases are left
    out: against so sparse a hull nearly everything counts as stable.
    """
    import pandas as pd

    facts = known.set_index("system")
    rows = []
    for method, table in series.items():
        for system, part in table.groupby("chemical_system"):
            if system not in facts.index or not facts.loc[system, "claims"]:
                continue
            sun = rate(true(part, "sun").sum(), len(part))
            rows.append({"method": method, "system": system, "kind": facts.loc[system, "kind"],
                         "elements": facts.loc[system, "elements"], "n": sun.n, "sun": sun.hits, "sun_rate": sun.value,
                         "low": sun.low, "high": sun.high, "on_hull": new_on_hull(part)})  # fmt: skip
    columns = ["method", "system", "kind", "elements", "n", "sun", "sun_rate", "low", "high", "on_hull"]
    return pd.DataFrame(rows, columns=columns)


def new_on_hull(table: "pd.DataFrame") -> int:
    """How many unique and novel crystals lie on or below the hull of known phases."""
    low = (table["energy_above_hull"] <= 0.0).to_numpy(dtype=bool, na_value=False)
    return int((true(table, "unique") & true(table, "novel") & low).sum())
