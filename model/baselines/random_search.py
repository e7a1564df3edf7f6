"""Random structure search: random symmetric crystals at plausible volumes and distances. Edge: pyxtal.

The relaxer does the rest. Source: Zeni et al. 2025, D.4, after Pickard and Needs, J. Phys.: Condens. Matter 23, 053201
(2011); symmetric cells by PyXtal: Fredericks et al., Comput. Phys. Commun. 261, 107810 (2021).
"""

import warnings
from collections.abc import Collection, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from model.baselines.habits import Habits
from model.baselines.proposer import MOST_ATOMS, chance, in_batches, without_targets
from model.constraints import ConstraintError, Constraints
from model.crystals import Crystals
from model.execution import INLINE, Watch, silent
from model.sampling.palette import formula_unit

if TYPE_CHECKING:
    from pymatgen.core import Structure

# 2 to 4 symmetry operations, as in the paper: point groups -1, 2, m, 2/m, 222, mm2, 4, -4 and 3
FEW_OPERATIONS = (*range(2, 47), *range(75, 83), *range(143, 147))
# atoms in the cell by number of elements, in thirds of the search (D.4); quaternary ranges begin with one each
RANGES: Mapping[int, tuple[tuple[int, int], ...]] = {
    3: ((3, 9), (10, 15), (16, 20)), 4: ((4, 10), (11, 15), (16, 20)), 5: ((5, 11), (12, 16), (17, 20)),
}  # fmt: skip
ATTEMPTS = 150
_PLACINGS = 4  # of the atoms in one cell
_PATIENCE = 5  # attempts after which a composition is given up where the sites of one space group must hold it
_TIGHT, _LOOSE, _YIELD = 0.8, 0.5, 0.98  # of the distances: what is asked first, at last, and what a failure gives way
_MOST_ELEMENTS = 5
# primitive vectors in those of the conventional cell, by the letter of the centring
_PRIMITIVE = {
    "A": ((1, 0, 0), (0, 1 / 2, -1 / 2), (0, 1 / 2, 1 / 2)),
    "B": ((1 / 2, 0, -1 / 2), (0, 1, 0), (1 / 2, 0, 1 / 2)),
    "C": ((1 / 2, -1 / 2, 0), (1 / 2, 1 / 2, 0), (0, 0, 1)),
    "I": ((-1 / 2, 1 / 2, 1 / 2), (1 / 2, -1 / 2, 1 / 2), (1 / 2, 1 / 2, -1 / 2)),
    "F": ((0, 1 / 2, 1 / 2), (1 / 2, 0, 1 / 2), (1 / 2, 1 / 2, 0)),
    "R": ((2 / 3, 1 / 3, 1 / 3), (-1 / 3, 1 / 3, 1 / 3), (-1 / 3, -2 / 3, 1 / 3)),
}


@dataclass(frozen=True, kw_only=True)
class RandomSearch:
    """Random crystals of 2 to 4 symmetry operations (or of the space group asked for), at distances that are known.

    A crystal's composition is drawn once (again where the sites of a space group asked for do not hold it); then
    groups, volumes and places until no two atoms are too near, the distances giving way from 0.8 to 0.5 of those known.
    A second round is tuned by the first: see `Habits.retuned`.
    """

    habits: Habits = field(default_factory=Habits.shipped)
    name: str = "random-search"

    @property
    def hash(self) -> str:
        """Of the habits."""
        return self.habits.hash

    @property
    def settings(self) -> Mapping[str, Any]:
        """What is drawn from, in plain words."""
        return {"way": self.name, "habits": self.habits.source, "attempts": ATTEMPTS}

    def check(self, constraints: Constraints) -> None:
        """Raise ConstraintError on targets, and where no number of atoms fits."""
        without_targets(constraints, "Random search")
        if constraints.formula is not None or constraints.required:
            _sizes(constraints, len(constraints.required), chance(constraints, 0))

    def origins(self, constraints: Constraints) -> list[str]:  # noqa: ARG002 - as other proposers have it
        """Nothing: a random crystal comes from chance alone."""
        return []

    def __call__(
        self, constraints: Constraints, *, done: Collection[int] = (), batch_size: int = 16, watch: Watch = silent,
        executor: Executor = INLINE,
    ) -> Crystals:  # fmt: skip
        """Crystals that keep the hard constraints; one for which no place was found is told as bad.

        Raises ImportError where PyXtal is not installed.
        """
        self.check(constraints)
        _pyxtal()
        make = partial(self.one, constraints)
        return in_batches(make, constraints, done=done, batch_size=batch_size, watch=watch, executor=executor)

    def one(self, constraints: Constraints, index: int) -> tuple[Crystals, str]:
        """The crystal of an index, and what is wrong with it."""
        from model.io import from_structures

        first = chance(constraints, index)
        composition = compose(constraints, self.habits, first)
        for attempt in range(1, ATTEMPTS + 1):
            draw = chance(constraints, index, attempt)
            near = max(_LOOSE, _TIGHT * _YIELD ** (attempt - 1))
            group = constraints.space_group or int(draw.choice(FEW_OPERATIONS))
            found = place(composition, group, self.habits, near, draw)
            if found is not None:
                return from_structures([found]), ""
            if constraints.space_group is not None and attempt % _PATIENCE == 0:
                composition = compose(constraints, self.habits, first)
        loose = scattered(composition, self.habits, chance(constraints, index, ATTEMPTS + 1))
        where = f" in space group {constraints.space_group}" if constraints.space_group else ""
        return from_structures([loose]), f"no place was found for its atoms{where} in {ATTEMPTS} attempts"


def compose(constraints: Constraints, habits: Habits, draw: np.random.Generator) -> dict[str, int]:
    """A composition that keeps the hard constraints: how many atoms of each element."""
    if constraints.formula is not None:
        unit = formula_unit(constraints)
        copies = _sizes(constraints, len(unit), draw) // sum(unit.values())
        return {symbol: n * copies for symbol, n in unit.items()}
    symbols = sorted(constraints.chemical_system or _elements(constraints, habits, draw))
    n_atoms = _sizes(constraints, len(symbols), draw)
    bars = np.sort(draw.choice(n_atoms - 1, len(symbols) - 1, replace=False)) + 1  # every composition alike
    counts = np.diff([0, *bars, n_atoms])
    return {symbol: int(n) for symbol, n in zip(symbols, counts, strict=True)}


def _elements(constraints: Constraints, habits: Habits, draw: np.random.Generator) -> list[str]:
    """As many elements as in known crystals, each as often as there."""
    palette = sorted(constraints.palette)
    most = min(len(palette), _MOST_ELEMENTS, constraints.atom_range[1] if constraints.n_atoms else MOST_ATOMS)
    sizes = np.array([habits.sizes.get(k, 0) + 1e-9 for k in range(1, most + 1)])
    count = int(draw.choice(np.arange(1, most + 1), p=sizes / sizes.sum()))
    often = np.array([habits.elements.get(symbol, 0) + 1.0 for symbol in palette])
    return [str(symbol) for symbol in draw.choice(palette, count, replace=False, p=often / often.sum())]


def _sizes(constraints: Constraints, kinds: int, draw: np.random.Generator) -> int:
    """A number of atoms: as asked, else out of the paper's ranges. Raises ConstraintError where none fits."""
    if constraints.n_atoms is not None:
        low, high = constraints.atom_range
    else:
        ranges = RANGES.get(kinds, ((kinds, MOST_ATOMS),))
        low, high = ranges[int(draw.integers(len(ranges)))]
    unit = sum(formula_unit(constraints).values()) if constraints.formula is not None else 1
    fitting = [n for n in range(max(low, kinds), high + 1) if n % unit == 0]
    if not fitting and constraints.n_atoms is None:
        fitting = [n for n in range(kinds, max(MOST_ATOMS, unit) + 1) if n % unit == 0]
    if not fitting:
        raise ConstraintError("No number of atoms fits the formula, the elements and the numbers asked for together.")
    return int(draw.choice(fitting))


def place(
    composition: Mapping[str, int], group: int, habits: Habits, near: float, draw: np.random.Generator
) -> "Structure | None":
    """A random crystal of a space group, in its primitive cell, or None where chance or the group forbids it.

    No two atoms come nearer than `near` times the known distance of their elements.
    """
    from pymatgen.core import Structure

    random_crystal, Lattice, Tol_matrix, Group = _pyxtal()
    symmetry = Group(group)
    room = habits.volume(composition) * float(np.exp(draw.normal(0.05, habits.spread)))
    tolerance = Tol_matrix(*_tolerances(composition, habits, near), prototype="atomic")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of volumes that were raised
        try:
            lattice = Lattice(symmetry.lattice_type, room * symmetry.cellsize(), random_state=draw)
            crystal = random_crystal(
                group=symmetry, species=list(composition), numIons=list(composition.values()), lattice=lattice,
                tm=tolerance, conventional=False, random_state=draw,
            )
        except Exception:  # noqa: BLE001 - PyXtal tells in many ways that a composition does not fit a group or cell
            return None
    if not crystal.valid:
        return None
    sites = [(site.specie, x) for site in crystal.atom_sites for x in site.coords]
    symbols, places = zip(*sites, strict=True)
    structure = primitive(Structure(crystal.lattice.matrix, symbols, places), str(symmetry.symbol)[0])
    kept = structure.composition.get_el_amt_dict() == {symbol: float(n) for symbol, n in composition.items()}
    return structure if kept else None


def primitive(structure: "Structure", centring: str) -> "Structure":
    """The primitive cell of a conventional one, by the letter of its centring: only what that letter says is undone."""
    from pymatgen.core import Lattice, Structure

    if centring not in _PRIMITIVE:
        return structure
    vectors = np.array(_PRIMITIVE[centring], dtype=float)
    small = Lattice(vectors @ structure.lattice.matrix)
    frac = structure.frac_coords @ np.linalg.inv(vectors)
    kept: list[int] = []
    for atom in range(len(structure)):
        like = [k for k in kept if structure[k].species == structure[atom].species]
        if not like or small.get_all_distances(frac[[atom]], frac[like]).min() > 1e-3:
            kept.append(atom)
    return Structure(small, [structure[k].specie for k in kept], frac[kept] % 1.0)


def scattered(composition: Mapping[str, int], habits: Habits, draw: np.random.Generator) -> "Structure":
    """Atoms anywhere in a cube of the usual volume: what is left where no crystal could be placed."""
    from pymatgen.core import Lattice, Structure

    symbols = [symbol for symbol, n in composition.items() for _ in range(n)]
    cube = Lattice.cubic(habits.volume(composition) ** (1 / 3))
    return Structure(cube, symbols, draw.random((len(symbols), 3)))


def _tolerances(composition: Mapping[str, int], habits: Habits, near: float) -> list[tuple[str, str, float]]:
    symbols = list(composition)
    return [
        (first, second, near * habits.distance(first, second))
        for at, first in enumerate(symbols)
        for second in symbols[at:]
    ]


@cache
def _pyxtal() -> tuple[Any, Any, Any, Any]:
    try:
        from pyxtal.crystal import random_crystal
        from pyxtal.lattice import Lattice
        from pyxtal.symmetry import Group
        from pyxtal.tolerance import Tol_matrix
    except ImportError as error:
        raise ImportError("Random structure search needs PyXtal: pip install pyxtal") from error

    class Brief(random_crystal):
        """PyXtal's own tries one composition 400 times in one group; here a group that does not fit is soon left."""

        lattice_attempts = property(lambda _: 1, lambda *_: None)
        coord_attempts = property(lambda _: _PLACINGS, lambda *_: None)

    return Brief, Lattice, Tol_matrix, Group
