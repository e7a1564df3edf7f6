"""Space groups: which are asked for, how often the data hold them, and how often they were met."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from model.statistics import Statistics

if TYPE_CHECKING:
    import pandas as pd

# the two most frequent groups of each crystal system in the training data
ASKED = (2, 1, 12, 14, 62, 63, 139, 129, 166, 164, 194, 189, 225, 221)
SYSTEMS = {"triclinic": 2, "monoclinic": 15, "orthorhombic": 74, "tetragonal": 142, "trigonal": 167, "hexagonal": 194,
           "cubic": 230}  # fmt: skip


def crystal_system(group: int) -> str:
    """Crystal system of a space group number. Raises ValueError outside 1 to 230."""
    if not 1 <= group <= 230:
        raise ValueError(f"Space groups are numbered 1 to 230; found {group}.")
    return next(name for name, last in SYSTEMS.items() if group <= last)


def symbol(group: int) -> str:
    """International short symbol of a space group number, as P6_3/mmc."""
    import moyopy

    return moyopy.SpaceGroupType(int(group)).hm_short.replace(" ", "")


def shares(statistics: Statistics) -> dict[int, float]:
    """How large a share of the training crystals each space group holds."""
    counts = {group: sum(sizes.values()) for group, sizes in statistics.n_atoms_by_space_group.items()}
    whole = sum(counts.values())
    return {group: n / whole for group, n in sorted(counts.items())}


def drawn_groups(statistics: Statistics, count: int, seed: int = 0) -> dict[int, int]:
    """`count` space groups drawn as often as the training data hold them. Raises ValueError where data know none."""
    known = shares(statistics)
    if not known:
        raise ValueError("The model's training data know no space groups, so none can be drawn.")
    chance = np.random.default_rng(seed)
    drawn = chance.choice(list(known), size=count, p=list(known.values()))
    groups, many = np.unique(drawn, return_counts=True)
    return {int(group): int(n) for group, n in zip(groups, many, strict=True)}


def hits(found: "pd.DataFrame", groups: Sequence[int] = ASKED) -> "pd.DataFrame":
    """For each asked group: how many crystals, how many relaxed into it, the same of the S.U.N. ones, with intervals.

    `found` needs the columns `asked_space_group` and `relaxed_space_group_number`.
    """
    import pandas as pd

    from workbench.paper.rates import rate

    rows = []
    for group in groups:
        part = found[found["asked_space_group"] == group]
        if part.empty:
            continue
        hit = (part["relaxed_space_group_number"] == group).to_numpy()
        new = part["sun"].fillna(value=False).to_numpy(dtype=bool)
        whole, sun = rate(hit.sum(), len(part)), rate((hit & new).sum(), new.sum())
        rows.append({"space_group": group, "symbol": symbol(group), "system": crystal_system(group),
                     "n": len(part), "hits": int(hit.sum()), "rate": whole.value, "low": whole.low, "high": whole.high,
                     "sun": int(new.sum()), "sun_hits": int((hit & new).sum()), "sun_rate": sun.value,
                     "in_family": int((part["relaxed_space_group_number"].map(_system) == crystal_system(group)).sum()),
                     })  # fmt: skip
    return pd.DataFrame(rows)


def _system(group: float) -> str:
    return crystal_system(int(group)) if group == group else ""  # noqa: PLR0124 - NaN is not equal to itself


def by_system(counts: Mapping[int, float]) -> dict[str, float]:
    """Shares of groups summed over the seven crystal systems."""
    whole = dict.fromkeys(SYSTEMS, 0.0)
    for group, n in counts.items():
        whole[crystal_system(group)] += n
    return whole
