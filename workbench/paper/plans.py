"""What each figure asks of which model, and how much of it: a few minutes, the shipped tables, or the paper's size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from model.constraints import Constraints
from model.sampling.generate import PUBLISHED, Method
from workbench.paper.numbers import EXPLORED
from workbench.paper.symmetry import ASKED

PRESETS = ("quick", "shipped", "paper")


class PlanError(ValueError):
    """A figure or a preset that there is not."""


@dataclass(frozen=True, kw_only=True)
class Ask:
    """Crystals wanted of one model in one way: what is asked, how many, and how the model walks."""

    model: str
    constraints: Constraints
    method: Method = field(default_factory=Method)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One series of a figure under a preset.

    `table` names the shipped table; `asks` are what is generated where `generates` says so. `bulk_modulus` says whether
    that property is added to it, `readout` which shipped readout's word. `says` is one sentence for the reader.
    """

    figure: str
    preset: str
    table: str
    asks: tuple[Ask, ...]
    generates: bool
    bulk_modulus: bool = False
    readout: str = ""

    @property
    def count(self) -> int:
        """How many crystals are asked for, where they are generated."""
        return sum(ask.constraints.count for ask in self.asks)

    @property
    def says(self) -> str:
        """Where the crystals come from, in one sentence."""
        if not self.generates:
            return f"The crystals come from data/{self.table}.csv.gz; data/README.md tells how they were made."
        names = " and ".join(dict.fromkeys(ask.model for ask in self.asks))
        steps = " or ".join(str(steps) for steps in dict.fromkeys(ask.method.steps for ask in self.asks))
        return f"{self.count} crystals are generated now by `{names}` in {steps} steps each, relaxed and judged."


@dataclass(frozen=True, kw_only=True)
class _Figure:
    """A series as it is written down here: targets of ours and of the published model, and how many."""

    ours: str
    theirs: str
    targets: Mapping[str, float] = field(default_factory=dict)
    their_targets: Mapping[str, float] = field(default_factory=dict)
    systems: Sequence[str] = ()
    groups: Sequence[int] = ()
    walks: Sequence[tuple[int, int]] = ()  # steps and corrections a step; empty: one walk, the usual one
    paper_count: int = 512
    quick_count: int = 0  # 0: quick draws from the table
    bulk_modulus: bool = False
    readout: str = ""


_FIGURES: Mapping[str, _Figure] = MappingProxyType({
    "base": _Figure(ours="base", theirs="mattergen_base", paper_count=1024),
    "bulk_modulus": _Figure(
        ours="base-bulk-modulus", theirs="ml_bulk_modulus", targets={"ml_bulk_modulus": 400.0},
        their_targets={"ml_bulk_modulus": 400.0}, quick_count=16, bulk_modulus=True,
    ),
    "magnetic_density": _Figure(
        ours="base-magnetic-density", theirs="dft_mag_density", targets={"ml_mag_density": 0.2},
        their_targets={"dft_mag_density": 0.2},
    ),
    "band_gap": _Figure(
        ours="base-band-gap", theirs="dft_band_gap", targets={"dft_band_gap": 3.0}, their_targets={"dft_band_gap": 3.0},
        readout="readout-band-gap",
    ),
    "low_risk_magnets": _Figure(
        ours="base-magnetic-density-hhi", theirs="dft_mag_density_hhi_score",
        targets={"ml_mag_density": 0.2, "hhi_score": 1200.0},
        their_targets={"dft_mag_density": 0.2, "hhi_score": 1200.0},
    ),
    "symmetry": _Figure(
        ours="base-space-group", theirs="space_group", groups=ASKED, paper_count=256,
    ),
    "systems": _Figure(
        ours="base-chemical-system-hull", theirs="chemical_system_energy_above_hull",
        targets={"energy_above_hull": 0.0}, their_targets={"energy_above_hull": 0.0},
        systems=tuple(system for systems in EXPLORED.values() for system in systems),
        paper_count=10_240,
    ),
    "steps": _Figure(
        ours="base", theirs="mattergen_base", paper_count=64,
        walks=tuple((steps, corrections) for corrections in (0, 1) for steps in (16, 32, 50, 100, 200, 1000)),
    ),
})  # fmt: skip


def plan(table: str, preset: str, *, count: int | str | None = None, steps: int | str | None = None) -> Plan:
    """The plan of a table of the figures under a preset, with other numbers where `count` or `steps` say so.

    Raises PlanError for a table or a preset that there is not, or a number that is none.
    """
    if preset not in PRESETS:
        raise PlanError(f"The preset is one of {', '.join(PRESETS)}; found {preset!r}.")
    if table not in _FIGURES:
        raise PlanError(f"There is no series {table!r}; there are {', '.join(_FIGURES)}.")
    one = _FIGURES[table]
    paper = preset == "paper"
    method = PUBLISHED if paper else Method()
    walks = _walks(one, method, None if steps is None else _whole("steps", steps))
    many = one.paper_count if paper else one.quick_count or 1
    many = many if count is None else _whole("count", count)
    wishes = _wishes(one, one.their_targets if paper else one.targets, many)
    asks = tuple(
        Ask(model=one.theirs if paper else one.ours, constraints=wish, method=walk) for walk in walks for wish in wishes
    )
    generates = paper or (preset == "quick" and bool(one.quick_count))
    return Plan(
        figure=table, preset=preset, table=table, asks=asks, generates=generates, bulk_modulus=one.bulk_modulus,
        readout=one.readout,
    )  # fmt: skip


def _walks(one: _Figure, method: Method, steps: int | None) -> list[Method]:
    """How the crystals of a series are walked to: one way, or several to compare; `steps` takes the place of theirs."""
    told = one.walks or ((method.steps, method.corrections),)
    walks = dict.fromkeys((steps or many, corrections) for many, corrections in told)
    return [replace(method, steps=many, corrections=corrections) for many, corrections in walks]


def _whole(name: str, value: int | str) -> int:
    if not str(value).isdecimal() or int(value) < 1:
        raise PlanError(f"{name} is a whole number of at least 1; found {value!r}.")
    return int(value)


def _wishes(one: _Figure, targets: Mapping[str, float], count: int) -> list[Constraints]:
    shared: dict[str, Any] = {"targets": dict(targets), "count": count, "guidance": 2.0, "seed": 0}
    if one.systems:
        return [Constraints(chemical_system=system, **shared) for system in one.systems]
    if one.groups:
        return [Constraints(space_group=group, **shared) for group in one.groups]
    return [Constraints(**shared)]


PLANS = tuple(_FIGURES)
