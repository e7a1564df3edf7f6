"""Crystals from and to pymatgen, ASE, CIF, POSCAR and extended XYZ. Edge: pymatgen, ase."""

from model.io.cif import cif_text, parse_cif, parse_disordered, parse_poscar, space_group, write_cif
from model.io.convert import from_atoms, from_structures, to_atoms, to_structures
from model.io.extxyz import read_extxyz, write_extxyz
from model.io.folders import RECORD, Reading, natural, read_crystals
from model.io.text import UnreadableError, write_text

__all__ = [
    "RECORD",
    "Reading",
    "UnreadableError",
    "cif_text",
    "from_atoms",
    "from_structures",
    "natural",
    "parse_cif",
    "parse_disordered",
    "parse_poscar",
    "read_crystals",
    "read_extxyz",
    "space_group",
    "to_atoms",
    "to_structures",
    "write_cif",
    "write_extxyz",
    "write_text",
]
