"""What a person asks for, in plain Python, to and from JSON."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import gcd, isfinite
from typing import Any

from model import elements

_TOKEN = re.compile(r"([A-Z][a-z]?)(\d*)")


class ConstraintError(ValueError):
    """Constraints that contradict themselves or ask for what does not exist."""


@dataclass(frozen=True)
class Target:
    """A wished value of a property, or a range of them (`low` = `high` for a point), in the property's unit."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (isfinite(self.low) and isfinite(self.high)) or self.low > self.high:
            raise ConstraintError(f"A target runs from a finite low to a finite high; found {self.low} to {self.high}.")

    @staticmethod
    def of(value: "float | Sequence[float] | Target") -> "Target":
        """A target out of a number or a pair of numbers."""
        if isinstance(value, Target):
            return value
        low, high = value if isinstance(value, tuple | list) else (value, value)
        return Target(float(low), float(high))


@dataclass(frozen=True, kw_only=True)
class Constraints:
    """What the wanted crystals must be (hard) and should be (asked of the model).

    Parameters
    ----------
    chemical_system
        Hard: exactly these elements, each present. None is any.
    allowed, excluded
        Hard: nothing outside `allowed` and nothing of `excluded` appears.
    formula
        Hard: this composition times a whole number; `"CaTiO3"` and `"Ca2Ti2O6"` ask for the same.
    space_group
        Asked: number 1 to 230; only models that listen to `space_group` can follow.
    targets
        Asked: property name to a value or a range.
    n_atoms
        Atoms in the cell: one number, a (low, high) pair, or None for as often as in the training data.
    count, seed
        How many crystals, and where the random streams begin.
    guidance
        Strength of classifier-free guidance, one for all or one for each property.

    """

    # wider than what is kept: __post_init__ makes frozensets, Targets and pairs of whatever is handed in
    chemical_system: Iterable[str] | None = None
    allowed: Iterable[str] | None = None
    excluded: Iterable[str] = frozenset()
    formula: str | None = None
    space_group: int | None = None
    targets: Mapping[str, Target | float | Sequence[float]] = field(default_factory=dict)
    n_atoms: int | Sequence[int] | None = None
    count: int = 64
    guidance: float | int | Mapping[str, float] = 2.0
    seed: int = 0

    def __post_init__(self) -> None:
        put = object.__setattr__  # the one place where a frozen value is still being made
        if isinstance(self.chemical_system, str):
            put(self, "chemical_system", parse_system(self.chemical_system))
        for name in ("chemical_system", "allowed"):
            value = getattr(self, name)
            put(self, name, None if value is None else frozenset(value))
        put(self, "excluded", frozenset(self.excluded))
        put(self, "targets", {name: Target.of(value) for name, value in dict(self.targets).items()})
        if isinstance(self.n_atoms, range):
            put(self, "n_atoms", (self.n_atoms.start, self.n_atoms.stop - 1))
        elif isinstance(self.n_atoms, list):
            put(self, "n_atoms", tuple(self.n_atoms))
        self._check()

    def _check(self) -> None:
        for name in ("chemical_system", "allowed", "excluded"):
            elements.check_known(getattr(self, name) or ())
        if self.chemical_system is not None and not self.chemical_system:
            raise ConstraintError("A chemical system holds at least one element; found none. Leave it out for any.")
        if self.count < 1:
            raise ConstraintError(f"count is the number of crystals, at least 1; found {self.count}.")
        if self.space_group is not None and not 1 <= self.space_group <= 230:
            raise ConstraintError(f"Space groups are numbered 1 to 230; found {self.space_group}.")
        if self.n_atoms is not None:
            low, high = self.atom_range
            if not 1 <= low <= high:
                raise ConstraintError(f"Numbers of atoms run from at least 1 upwards; found {low} to {high}.")
        if not self.palette:
            raise ConstraintError("These constraints leave no element to build with; allow more or exclude fewer.")
        if self.formula is not None and self.chemical_system not in (None, frozenset(parse_formula(self.formula))):
            raise ConstraintError(
                f"The formula {self.formula} is not of the chemical system {'-'.join(sorted(self.chemical_system))}; "
                "give one of the two."
            )
        if missing := self.required - self.palette:
            raise ConstraintError(
                f"The formula or chemical system needs {', '.join(sorted(missing))}, "
                "which the allowed or excluded elements rule out."
            )
        strengths = self.guidance.values() if isinstance(self.guidance, Mapping) else [self.guidance]
        if not all(isfinite(strength) for strength in strengths):
            raise ConstraintError(f"The guidance is a finite number; found {self.guidance}.")
        if self.n_atoms is not None and self.required and self.atom_range[1] < len(self.required):
            raise ConstraintError(
                f"{len(self.required)} elements need at least {len(self.required)} atoms; "
                f"at most {self.atom_range[1]} were asked for."
            )
        if self.formula is not None and self.n_atoms is not None:
            low, high = self.atom_range
            unit = sum(reduced(parse_formula(self.formula)).values())
            if high // unit * unit < low or high < unit:
                raise ConstraintError(
                    f"{self.formula} has {unit} atoms, and no multiple of it has {low} to {high}."
                )

    @property
    def atom_range(self) -> tuple[int, int]:
        """Lowest and highest number of atoms asked for; only where `n_atoms` is given."""
        return self.n_atoms if isinstance(self.n_atoms, tuple) else (self.n_atoms, self.n_atoms)

    @property
    def required(self) -> frozenset[str]:
        """Elements that every crystal must hold."""
        if self.formula is not None:
            return frozenset(parse_formula(self.formula))
        return self.chemical_system or frozenset()

    @property
    def palette(self) -> frozenset[str]:
        """Elements that may appear at all: those asked for, out of the 76 that models are taught."""
        palette = frozenset(elements.ALLOWED) - self.excluded
        if self.allowed is not None:
            palette &= self.allowed
        if self.chemical_system is not None:
            palette &= self.chemical_system
        if self.formula is not None:
            palette &= frozenset(parse_formula(self.formula))
        return palette

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and dictionaries."""
        out = asdict(self)
        for name in ("chemical_system", "allowed", "excluded"):
            out[name] = None if out[name] is None else sorted(out[name])
        out["targets"] = {name: [t.low, t.high] for name, t in self.targets.items()}
        out["guidance"] = dict(self.guidance) if isinstance(self.guidance, Mapping) else self.guidance
        return out

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "Constraints":
        """Constraints from what `to_json` gave. Raises ConstraintError on unknown names."""
        known = set(Constraints.__dataclass_fields__)
        if extra := set(data) - known:
            raise ConstraintError(
                f"Unknown constraints: {', '.join(sorted(extra))}. Known are {', '.join(sorted(known))}."
            )
        return Constraints(**data)


def parse_system(text: str) -> frozenset[str]:
    """Elements of a chemical system written as `"Li-O"`, `"Li O"` or `"Li,O"`."""
    symbols = [s for s in re.split(r"[\s,\-]+", text.strip()) if s]
    elements.check_known(symbols)
    return frozenset(symbols)


def parse_formula(text: str) -> dict[str, int]:
    """Whole-number counts of each element of a formula without brackets, as `"Ca1Ti1O3"`."""
    counts: dict[str, int] = {}
    if not text or _TOKEN.sub("", text):
        raise ConstraintError(f"A formula is written like CaTiO3, without brackets or fractions; found {text!r}.")
    for symbol, number in _TOKEN.findall(text):
        counts[symbol] = counts.get(symbol, 0) + (int(number) if number else 1)
    elements.check_known(counts)
    if any(n < 1 for n in counts.values()):
        raise ConstraintError(f"Every element of a formula has at least one atom; found {text!r}.")
    return counts


def reduced(counts: Mapping[str, int]) -> dict[str, int]:
    """The smallest whole-number counts of the same composition."""
    divisor = gcd(*counts.values())
    return {symbol: n // divisor for symbol, n in counts.items()}
