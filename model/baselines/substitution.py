"""Substitution: known crystals with their elements exchanged, scaled to the room the new ones take. Edge: pymatgen.

With a chemical system or a formula, every assignment of the elements to every prototype, each once, in an order that
the seed draws (Zeni et al. 2025, D.4); otherwise known crystals with like elements exchanged, neighbours on Pettifor's
scale: D. G. Pettifor, Solid State Commun. 51, 31 (1984).
"""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import islice, permutations
from typing import TYPE_CHECKING, Any

import numpy as np

from model.baselines.habits import Habits
from model.baselines.proposer import MOST_ATOMS, chance, in_batches, without_space_group, without_targets
from model.constraints import ConstraintError, Constraints, parse_formula, reduced
from model.crystals import Crystals
from model.elements import NUMBERS, SYMBOLS
from model.execution import Watch, silent

if TYPE_CHECKING:
    from model.evaluation.reference import Reference

Assignment = tuple[int, ...]  # for each element of a prototype, in the order of its numbers: which new one it becomes
_LIKE = 8.0  # places on Pettifor's scale over which likeness falls to 1/e: about one group of the periodic table
_REDRAWS = 200


@dataclass(frozen=True)
class Prototype:
    """A known crystal to exchange elements in: a batch of one, read when it is needed."""

    name: str
    n_atoms: int
    kinds: int
    read: Callable[[], Crystals]

    @cached_property
    def crystal(self) -> Crystals:
        """The crystal itself."""
        return self.read()

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        """Its elements, rising."""
        return tuple(sorted(set(self.crystal.numbers.tolist())))

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """How many atoms of each of its elements the cell holds."""
        return tuple(int((self.crystal.numbers == number).sum()) for number in self.numbers)

    @cached_property
    def symmetries(self) -> tuple[Assignment, ...]:
        """Exchanges of its elements among themselves that give the same crystal again."""
        return tuple(order for order in permutations(range(self.kinds)) if self._same(order))

    def distinct(self, assignment: Assignment) -> bool:
        """Whether this assignment is the first of those that give the same crystal."""
        return all(assignment <= tuple(assignment[place] for place in order) for order in self.symmetries)

    def exchanged(self, elements: Sequence[str]) -> Crystals:
        """The crystal with other elements, in the order of its own; nothing else is changed."""
        numbers = self.crystal.numbers.clone()
        for old, new in zip(self.numbers, elements, strict=True):
            numbers[self.crystal.numbers == old] = NUMBERS[new]
        return self.crystal.replace(numbers=numbers)

    def _same(self, order: Assignment) -> bool:
        if order == tuple(range(self.kinds)):
            return True
        if any(self.counts[new] != count for new, count in zip(order, self.counts, strict=True)):
            return False
        from pymatgen.analysis.structure_matcher import StructureMatcher

        from model.io import to_structures

        own = [SYMBOLS[z] for z in self.numbers]
        first, second = (to_structures(c)[0] for c in (self.crystal, self.exchanged([own[place] for place in order])))
        return bool(StructureMatcher(primitive_cell=False).fit(first, second))


@cache
def aflow() -> tuple[Prototype, ...]:
    """Prototypes of the AFLOW library, which pymatgen brings: ordered, in their primitive cells.

    Source: M. J. Mehl et al., Comput. Mater. Sci. 136, S1 (2017).
    """
    from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY

    from model.io import UnreadableError, from_structures

    found = []
    for entry in AFLOW_PROTOTYPE_LIBRARY:
        structure = entry["snl"].structure.get_primitive_structure()
        try:
            crystal = from_structures([structure])
        except UnreadableError:  # a site shared by several elements
            continue
        name = f"aflow:{entry['tags']['aflow']}"
        kinds = len(structure.composition.elements)
        found.append(Prototype(name, len(structure), kinds, lambda crystal=crystal: crystal))
    return tuple(found)


def of_reference(reference: "Reference") -> tuple[Prototype, ...]:
    """Prototypes out of a reference with structures: one crystal for each anonymous formula, space group and size.

    Raises ConstraintError where the reference keeps no structures.
    """
    from pymatgen.core import Composition

    if not reference.has_structures:
        raise ConstraintError(
            f"The reference {reference.name} keeps no structures to exchange elements in; build one with structures: "
            "workbench reference build FILES --out REF."
        )
    known, seen, found = reference.known, set(), []
    table = known.table.select(["id", "formula", "space_group", "n_primitive"]).to_pylist()
    for row, entry in sorted(enumerate(table), key=lambda one: one[1]["id"]):
        if entry["n_primitive"] == 0:  # a disordered crystal: no sites to give elements to
            continue
        composition = Composition(entry["formula"])
        kind = (composition.anonymized_formula, entry["space_group"], entry["n_primitive"])
        if kind not in seen:
            seen.add(kind)
            read = lambda row=row: known.structure(row)  # noqa: E731 - a prototype is read when it is needed
            found.append(Prototype(entry["id"], entry["n_primitive"], len(composition.elements), read))
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class Substitution:
    """Known crystals with their elements exchanged: every one of them once, in an order that the seed draws."""

    prototypes: tuple[Prototype, ...] = field(default_factory=aflow)
    source: str = "AFLOW prototypes"
    habits: Habits = field(default_factory=Habits.shipped)
    name: str = "substitution"

    @cached_property
    def hash(self) -> str:
        """Of the prototypes' names and the habits."""
        told = " ".join([self.habits.hash, self.source, *(prototype.name for prototype in self.prototypes)])
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    @property
    def settings(self) -> Mapping[str, Any]:
        """What is drawn from, in plain words."""
        return {"way": self.name, "prototypes": len(self.prototypes), "of": self.source}

    def check(self, constraints: Constraints) -> None:
        """Raise ConstraintError on targets and space groups, and where too few substitutions exist."""
        without_targets(constraints, "Substitution")
        without_space_group(constraints, "Substitution")
        if not self._fitting(constraints):
            kinds = f" of {len(constraints.required)} elements" if constraints.required else ""
            low, high = _sizes(constraints)
            raise ConstraintError(
                f"None of the {len(self.prototypes)} prototypes{kinds} has {low} to {high} atoms; allow more "
                "(--atoms 1:100), or take the prototypes of a reference with structures."
            )
        if constraints.required:
            self.listed(constraints, constraints.count)

    def __call__(
        self, constraints: Constraints, *, done: Collection[int] = (), batch_size: int = 16, watch: Watch = silent
    ) -> Crystals:
        """Crystals that keep the hard constraints. Raises ConstraintError where fewer exist than are asked for."""
        self.check(constraints)
        listed = self.listed(constraints, constraints.count) if constraints.required else []

        def make(index: int) -> tuple[Crystals, str]:
            return self._scaled(*(listed[index] if listed else self._like(constraints, index))), ""

        return in_batches(make, constraints, done=done, batch_size=batch_size, watch=watch)

    def origins(self, constraints: Constraints) -> list[str]:
        """For each crystal of a run the prototype, and what its elements became."""
        listed = self.listed(constraints, constraints.count) if constraints.required else [
            self._like(constraints, index) for index in range(constraints.count)
        ]
        return [f"{one.name}: " + ", ".join(map(_becomes, one.numbers, elements)) for one, elements in listed]

    def listed(self, constraints: Constraints, count: int) -> list[tuple[Prototype, tuple[str, ...]]]:
        """The first so many prototypes with the elements they take. Raises ConstraintError where there are fewer."""
        found = list(islice(self._all(constraints), count))
        if len(found) < count:
            raise ConstraintError(
                f"Only {len(found)} substitutions keep these constraints and {count} were asked for; ask for at most "
                f"{len(found)}, allow more atoms, or take the prototypes of a reference with structures."
            )
        return found

    def _all(self, constraints: Constraints) -> Iterator[tuple[Prototype, tuple[str, ...]]]:
        """Every prototype with every assignment of the required elements, those that give one crystal once."""
        symbols = tuple(sorted(constraints.required))
        pairs = [(p, a) for p in self._fitting(constraints) for a in permutations(range(len(symbols)))]
        for at in np.random.default_rng([constraints.seed & 0xFFFFFFFFFFFFFFFF, 1]).permutation(len(pairs)):
            prototype, assignment = pairs[at]
            elements = tuple(symbols[place] for place in assignment)
            if _gives(prototype, elements, constraints) and prototype.distinct(assignment):
                yield prototype, elements

    def _fitting(self, constraints: Constraints) -> list[Prototype]:
        """Prototypes of the size and number of elements that are asked for."""
        low, high = _sizes(constraints)
        kinds = {len(constraints.required)} if constraints.required else range(1, len(constraints.palette) + 1)
        return [p for p in self.prototypes if low <= p.n_atoms <= high and p.kinds in kinds]

    def _like(self, constraints: Constraints, index: int) -> tuple[Prototype, tuple[str, ...]]:
        """A known crystal and like elements out of those allowed; not its own, unless there are no others."""
        draw, fitting, palette = chance(constraints, index), self._fitting(constraints), sorted(constraints.palette)
        for _ in range(_REDRAWS):
            prototype = fitting[int(draw.integers(len(fitting)))]
            elements = _likes(prototype, palette, draw)
            if elements != tuple(SYMBOLS[z] for z in prototype.numbers):
                break
        return prototype, elements

    def _scaled(self, prototype: Prototype, elements: Sequence[str]) -> Crystals:
        """The crystal with new elements, as much larger as these are than the old ones."""
        room = [
            self.habits.volume(dict(zip(symbols, prototype.counts, strict=True)))
            for symbols in ([SYMBOLS[z] for z in prototype.numbers], elements)
        ]
        crystal = prototype.exchanged(elements)
        return crystal.replace(cell=crystal.cell * (room[1] / room[0]) ** (1 / 3))


def _gives(prototype: Prototype, elements: Sequence[str], constraints: Constraints) -> bool:
    """Whether these elements in this prototype give the formula, where one is asked for."""
    if constraints.formula is None:
        return True
    return reduced(dict(zip(elements, prototype.counts, strict=True))) == reduced(parse_formula(constraints.formula))


def _sizes(constraints: Constraints) -> tuple[int, int]:
    return constraints.atom_range if constraints.n_atoms is not None else (1, MOST_ATOMS)


def _likes(prototype: Prototype, palette: Sequence[str], draw: np.random.Generator) -> tuple[str, ...]:
    """For each element one that is like it, no two the same."""
    scale = _pettifor()
    chosen: list[str] = []
    for number in prototype.numbers:
        free = [symbol for symbol in palette if symbol not in chosen]
        away = np.array([abs(scale[symbol] - scale[SYMBOLS[number]]) for symbol in free])
        weight = np.exp(-(away - away.min()) / _LIKE)
        chosen.append(str(draw.choice(free, p=weight / weight.sum())))
    return tuple(chosen)


def _becomes(number: int, symbol: str) -> str:
    return f"{SYMBOLS[number]} to {symbol}"


@cache
def _pettifor() -> Mapping[str, float]:
    """Places on Pettifor's scale, on which like elements are neighbours."""
    from pymatgen.core import Element

    return {symbol: float(Element(symbol).mendeleev_no) for symbol in SYMBOLS[1:101]}
