"""Crystals from and to pymatgen structures and ASE atoms. Edge: pymatgen, ase."""

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
import torch
from ase import Atoms
from pymatgen.core import DummySpecies, Element, Structure

from model.cell import wrapped
from model.crystals import MASK, Crystals
from model.elements import SYMBOLS
from model.io.text import UnreadableError

LAST_ELEMENT = MASK - 1


def _number(structure: Structure, site: int) -> int:
    """Atomic number of a site; a dummy species is an undecided atom."""
    species = structure[site].species
    if not structure[site].is_ordered:
        raise UnreadableError("disorder", f"disordered: one site holds {species}; order it first.")
    specie = next(iter(species))
    if isinstance(specie, DummySpecies):
        if str(specie.symbol) == "X":
            return MASK
        raise UnreadableError("unknown element", f"{specie.symbol} is no element; use symbols from H to Fm.")
    if specie.Z > LAST_ELEMENT:
        raise UnreadableError("unknown element", f"{specie} lies beyond the elements H to Fm that crystals here hold.")
    return int(specie.Z)


def numbers_of(structure: Structure) -> list[int]:
    """Atomic numbers of an ordered structure, MASK for the dummy species X. Raises UnreadableError for others."""
    return [_number(structure, site) for site in range(len(structure))]


def _pack(fracs: Sequence[np.ndarray], cells: Sequence[np.ndarray], numbers: Sequence[Sequence[int]]) -> Crystals:
    """One batch from float64 arrays of each crystal."""
    if not cells:
        return Crystals.empty()
    frac = torch.from_numpy(np.concatenate([np.asarray(f, dtype=float) % 1.0 for f in fracs])).float()
    return Crystals(
        frac=wrapped(frac),
        cell=torch.from_numpy(np.stack([np.asarray(c, dtype=float) for c in cells])).float(),
        numbers=torch.tensor([z for one in numbers for z in one], dtype=torch.long),
        n_atoms=torch.tensor([len(one) for one in numbers], dtype=torch.long),
    )


def _unpack(crystals: Crystals) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Coordinates, cell and numbers of each crystal, in double precision."""
    counts = crystals.n_atoms.tolist()
    fracs = crystals.frac.detach().cpu().double().split(counts)
    numbers = crystals.numbers.cpu().split(counts)
    for frac, cell, species in zip(fracs, crystals.cell.detach().cpu().double(), numbers, strict=True):
        yield frac.numpy(), cell.numpy(), species.numpy()


def from_structures(structures: Sequence[Structure]) -> Crystals:
    """Crystals out of pymatgen structures, cells as given. Raises UnreadableError on disorder or elements past Fm."""
    return _pack(
        [s.frac_coords for s in structures], [s.lattice.matrix for s in structures], [numbers_of(s) for s in structures]
    )


def to_structures(crystals: Crystals) -> list[Structure]:
    """Pymatgen structures, atoms in the same order; undecided atoms become the dummy species X."""
    species = _species()
    return [
        Structure(cell, [species[int(z)] for z in numbers], frac) for frac, cell, numbers in _unpack(crystals)
    ]


@cache
def _species() -> dict[int, Element | DummySpecies]:
    return {z: Element(symbol) for z, symbol in enumerate(SYMBOLS) if 0 < z <= LAST_ELEMENT} | {MASK: DummySpecies("X")}


def from_atoms(atoms: Sequence[Atoms]) -> Crystals:
    """Crystals out of ASE atoms, cells as given. Raises UnreadableError where a cell or an element is missing."""
    for one in atoms:
        if abs(one.cell.volume) < 1e-6:
            raise UnreadableError("no cell", "The atoms stand in no periodic cell; give three lattice vectors.")
        if one.numbers.max(initial=0) > LAST_ELEMENT:
            found = ", ".join(sorted({a.symbol for a in one if a.number > LAST_ELEMENT}))
            raise UnreadableError("unknown element", f"{found} lies beyond the elements H to Fm.")
    fracs = [np.linalg.solve(one.cell.array.T, one.positions.T).T for one in atoms]
    numbers = [[int(z) or MASK for z in one.numbers] for one in atoms]
    return _pack(fracs, [one.cell.array for one in atoms], numbers)


def to_atoms(crystals: Crystals) -> list[Atoms]:
    """ASE atoms, periodic in three directions; undecided atoms become X."""
    return [
        Atoms(np.where(numbers == MASK, 0, numbers), scaled_positions=frac, cell=cell, pbc=True)
        for frac, cell, numbers in _unpack(crystals)
    ]
