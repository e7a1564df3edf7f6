"""Same crystal or not: formula and fingerprint first, pymatgen's StructureMatcher last. Edge: pymatgen."""

import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from model.crystals import Crystals
from model.evaluation.disorder import levelled, parent, same_shares
from model.evaluation.fingerprint import distance, fingerprint
from model.evaluation.known import KnownCrystals
from model.shapes import Float, Int, UInt8

if TYPE_CHECKING:
    from pymatgen.core import Structure

LTOL, STOL, ANGLE_TOL = 0.2, 0.3, 5.0  # of the paper
# Beyond it no two crystals matched: 0.20 was the most among 895 matching pairs, known polymorphs and crystals shaken
# and strained to the matcher's tolerance. A margin is left: a crystal wrongly called different would count as new.
APART = 0.35


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A crystal made ready for matching once, to be compared many times; reduced when it is first compared."""

    id: str
    formula: str
    composition: dict[str, float]
    fingerprint: UInt8[np.ndarray, " pairs_shell"]
    structure: "Structure | None" = field(repr=False)

    @cached_property
    def reduced(self) -> "Structure | None":
        """The cell that the matcher compares; None where it is no crystal."""
        if self.structure is None:
            return None
        with warnings.catch_warnings(), suppress(Exception):  # a collapsed cell breaks it and matches nothing
            warnings.simplefilter("ignore")
            return reduce(self.structure)
        return None

    @property
    def n_primitive(self) -> int:
        """Atoms in the primitive cell, 0 where there is none."""
        return 0 if self.reduced is None else len(self.reduced)


def probe(crystal: Crystals, name: str = "") -> Probe:
    """Make one crystal ready for matching."""
    from model.io import to_structures

    structure = to_structures(crystal)[0]
    composition = structure.composition
    try:
        found = fingerprint(crystal)
    except ValueError:  # no cell, no crystal
        found, structure = np.zeros(0, dtype=np.uint8), None
    return Probe(
        id=name, formula=composition.reduced_formula, composition=composition.get_el_amt_dict(),
        fingerprint=found, structure=structure,
    )  # fmt: skip


def reduce(structure: "Structure") -> "Structure":
    """The Niggli-reduced, then primitive cell: the matcher's own step, without its copies and its cache."""
    return structure.get_reduced_structure(reduction_algo="niggli").get_primitive_structure()


@dataclass(frozen=True)
class Matcher:
    """pymatgen's StructureMatcher with the paper's tolerances, for ordered crystals or, when asked, disordered ones.

    `disordered` is the published implementation's matcher: where two crystals of one composition do not match as they
    are, the first is made its disordered parent and compared again, with supercells and subsets. It is not symmetric:
    compare (generated, known).
    """

    ltol: float = LTOL
    stol: float = STOL
    angle_tol: float = ANGLE_TOL
    disordered: bool = False
    _fitters: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def name(self) -> str:
        """What a scorecard calls it."""
        kind = "ordered and disordered" if self.disordered else "ordered"
        tolerances = f"ltol {self.ltol:g}, stol {self.stol:g}, angle_tol {self.angle_tol:g}"
        return f"pymatgen StructureMatcher, {kind}, {tolerances}"

    def same(self, one: Probe, other: Probe) -> bool:
        """Whether two crystals are the same: exactly the matcher's verdict, reached sooner."""
        if one.formula != other.formula:
            return False
        if self._as_they_are(one, other):
            return True
        if not self.disordered or one.reduced is None or other.reduced is None:
            return False
        return self.same_parent(one.reduced, other.reduced)

    def _as_they_are(self, one: Probe, other: Probe) -> bool:
        comparable = len(one.fingerprint) == len(other.fingerprint) > 0
        if comparable and distance(one.fingerprint, other.fingerprint[None])[0] > APART:
            return False
        if one.reduced is None or other.reduced is None or one.n_primitive != other.n_primitive:
            return False
        return self.fit(one.reduced, other.reduced)

    def fit(self, reduced: "Structure", other: "Structure") -> bool:
        """The matcher's verdict on two reduced cells as they are."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return bool(self._fitter("ordered").fit(reduced, other, skip_structure_reduction=True))

    def same_parent(self, one: "Structure", other: "Structure") -> bool:
        """Whether the disordered parent of an ordered crystal matches another of the same composition."""
        try:
            mixed = parent(one)
        except ValueError:  # undecided atoms are no elements
            return False
        return mixed is not None and self._fit_mixed(mixed, other)

    def same_as_disordered(self, one: "Structure", known: "Structure") -> bool:
        """Whether a crystal matches one that is disordered from the start: its shares, then the matcher's verdict."""
        return same_shares(one.composition, known.composition) and self._fit_mixed(one, known)

    def _fit_mixed(self, one: "Structure", other: "Structure") -> bool:
        with warnings.catch_warnings(), suppress(Exception):  # what the matcher cannot compare is not the same
            warnings.simplefilter("ignore")
            return bool(self._fitter("mixed").fit(one, other))
        return False

    def _fitter(self, kind: str) -> Any:
        if kind not in self._fitters:
            from pymatgen.analysis.structure_matcher import OrderDisorderElementComparator, StructureMatcher

            mixed = {
                "attempt_supercell": True, "allow_subset": True, "comparator": OrderDisorderElementComparator(),
            } if kind == "mixed" else {}  # fmt: skip
            self._fitters[kind] = StructureMatcher(
                ltol=self.ltol, stol=self.stol, angle_tol=self.angle_tol, **mixed
            )
        return self._fitters[kind]


@dataclass
class Earlier:
    """The distinct crystals met so far, for uniqueness: the first of each kind stands for it."""

    matcher: Matcher = field(default_factory=Matcher)
    _kinds: dict[str, list[Probe]] = field(default_factory=dict)

    def first_like(self, one: Probe) -> str | None:
        """Name of an earlier crystal that matches; else None, and this one is remembered."""
        kinds = self._kinds.setdefault(one.formula, [])
        for earlier in kinds:
            if self.matcher.same(one, earlier):
                return earlier.id
        kinds.append(one)
        return None


@dataclass(frozen=True, kw_only=True)
class Nearest:
    """The known crystal nearest to a probe: its row and name, the fingerprint distance, and whether it matches.

    `matches` is None where only fingerprints are known and the distance leaves it open.
    """

    row: int
    id: str
    distance: float
    matches: bool | None


# With fingerprints alone: of 1,834 pairs of known crystals of one formula with equally many atoms in their primitive
# cells the matcher calls 87 % of those closer than CLOSE the same, 1.8 % of those beyond FAR, and none beyond 0.2. Of
# 160 known crystals relaxed with CHGNet, 91 % stayed within CLOSE of themselves. Between the two it is left open.
# Of 161 relaxed crystals of the shipped models whose formula is known, none of the 134 called novel is matched by a
# known structure, and 20 of the 22 called known are.
CLOSE, FAR = 0.03, 0.08


def nearest(one: Probe, known: KnownCrystals, matcher: Matcher) -> Nearest | None:
    """The known crystal that matches, or else the most similar one of the same formula; None without any.

    With a disordered matcher, disordered crystals of the same elements count too. With an ordered one, a disordered
    crystal of this composition leaves the question open.
    """
    found = _among_ordered(one, known, matcher)
    if found is not None and found.matches:
        return found
    return _among_disordered(one, known, matcher) or found


def _among_ordered(one: Probe, known: KnownCrystals, matcher: Matcher) -> Nearest | None:
    rows = known.rows(one.formula)
    rows = rows[~known.is_disordered(rows)]
    if not len(rows):
        return None
    away = known.distances(one.fingerprint, rows)
    if not known.has_structures:
        first = np.lexsort((away, known.n_primitive[rows] != one.n_primitive))[0]  # those that can match come first
        alike = known.n_primitive[rows[first]] == one.n_primitive
        verdict = _by_distance(float(away[first])) if alike else False
        return _answer(known, int(rows[first]), float(away[first]), verdict)
    place = _matching(one, known, matcher, rows, away)
    if place is None:
        place = int(np.argmin(away))
        return _answer(known, int(rows[place]), float(away[place]), False)
    return _answer(known, int(rows[place]), float(away[place]), True)


def _matching(
    one: Probe,
    known: KnownCrystals,
    matcher: Matcher,
    rows: Int[np.ndarray, " found"],
    away: Float[np.ndarray, " found"],
) -> int | None:
    """Which of some known crystals matches, nearest first: as they are, then as a disordered parent where asked."""
    order = np.argsort(away, kind="stable")
    near = [place for place in order if not (np.isfinite(away[place]) and away[place] > APART)]
    if not (near or matcher.disordered) or one.reduced is None:
        return None
    for place in near:
        if known.n_primitive[rows[place]] == one.n_primitive and matcher.fit(
            one.reduced, _structure(known, int(rows[place]))
        ):
            return int(place)
    for place in order if matcher.disordered else ():
        if matcher.same_parent(one.reduced, _structure(known, int(rows[place]))):
            return int(place)
    return None


def _among_disordered(one: Probe, known: KnownCrystals, matcher: Matcher) -> Nearest | None:
    rows = known.disordered(one.composition)
    if not rows:
        return None
    if matcher.disordered and known.has_structures and one.reduced is not None:
        for row in rows:
            if matcher.same_as_disordered(one.reduced, _disordered_structure(known, row)):
                return _answer(known, row, float("nan"), True)
        return None
    same = set(known.rows(one.formula).tolist()).intersection(rows)
    return _answer(known, min(same), float("nan"), None) if same else None


def _by_distance(away: float) -> bool | None:
    """Sameness as far as a fingerprint tells it."""
    return True if away <= CLOSE else False if away >= FAR else None


def _structure(known: KnownCrystals, row: int) -> "Structure":
    """A known crystal; references keep it reduced already."""
    from model.io import to_structures

    return to_structures(known.structure(row))[0]


def _disordered_structure(known: KnownCrystals, row: int) -> "Structure":
    """A known disordered crystal, its sites shared."""
    from pymatgen.core import Structure

    crystal = known.structure(row)
    return Structure(crystal.cell[0].double().numpy(), known.sites(row), crystal.frac.double().numpy())


def _answer(known: KnownCrystals, row: int, away: float, matches: bool | None) -> Nearest:
    return Nearest(row=row, id=known.id(row), distance=away, matches=matches)


def groups(crystals: Crystals, names: Sequence[str], matcher: Matcher | None = None) -> list[list[str]]:
    """Crystals in groups of the same, in the order of the first of each."""
    earlier = Earlier(matcher or Matcher())
    found: dict[str, list[str]] = {}
    for crystal, name in zip(crystals, names, strict=True):
        like = earlier.first_like(probe(crystal, name))
        found.setdefault(like or name, []).append(name)
    return list(found.values())


def families(probes: Sequence[Probe]) -> list[list[str]]:
    """Names of crystals in groups that may be ordered cells of one disordered parent, formula by formula.

    Only crystals of one formula whose fingerprints agree, like elements counted as one, are compared.
    """
    found = Families()
    for one in probes:
        found.add(one)
    return found.groups


@dataclass
class Families:
    """Crystals met so far that may be ordered cells of one disordered parent: the first of each kind stands for it."""

    matcher: Matcher = field(default_factory=lambda: Matcher(disordered=True))
    _kinds: "dict[str, list[_Kin]]" = field(default_factory=dict)

    def add(self, one: Probe) -> None:
        """Put a crystal to the first of its kind, or let it begin one."""
        kinds = self._kinds.setdefault(one.formula, [])
        member = _Kin(first=one, names=[one.id])
        home = next((kin for kin in kinds if self._alike(member, kin)), None) if kinds else None
        if home is None:
            kinds.append(member)
        else:
            home.names.append(one.id)

    @property
    def groups(self) -> list[list[str]]:
        """Names in groups, formula by formula."""
        return [kin.names for kinds in self._kinds.values() for kin in kinds]

    def _alike(self, one: "_Kin", other: "_Kin") -> bool:
        level, known = one.level, other.level
        near = len(level) == len(known) > 0 and distance(level, known[None])[0] <= APART
        return bool(near and self.matcher.same(one.first, other.first))


@dataclass
class _Kin:
    """One kind: its first crystal and the names of all."""

    first: Probe
    names: list[str]

    @cached_property
    def level(self) -> UInt8[np.ndarray, " pairs_shell"]:
        """The fingerprint of the first with like elements counted as one."""
        return _level(self.first)


def _level(one: Probe) -> UInt8[np.ndarray, " pairs_shell"]:
    """The fingerprint with like elements counted as one; empty where there is no crystal."""
    from model.io import from_structures

    if one.reduced is None:
        return np.zeros(0, dtype=np.uint8)
    try:
        return fingerprint(from_structures([levelled(one.reduced)]))
    except ValueError:  # undecided atoms are no elements
        return np.zeros(0, dtype=np.uint8)
