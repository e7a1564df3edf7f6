"""CIF out with its space group, CIF and POSCAR in. Edge: pymatgen."""

import os
import re
import warnings
from contextlib import suppress
from io import StringIO

import numpy as np
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Composition, Structure
from pymatgen.io.cif import CifParser, CifWriter
from pymatgen.io.vasp import Poscar
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from model.io.convert import numbers_of
from model.io.text import UnreadableError, first_line, write_text


def space_group(structure: Structure, symprec: float = 0.1) -> tuple[str, int]:
    """International symbol and number of the space group within `symprec` Å; ("P1", 1) where none can be found."""
    if not np.isfinite(structure.lattice.matrix).all() or not np.isfinite(structure.frac_coords).all():
        return "P1", 1  # spglib would end the process
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = SpacegroupAnalyzer(structure, symprec=symprec)
            return found.get_space_group_symbol(), int(found.get_space_group_number())
    except Exception:  # noqa: BLE001 - spglib refuses collapsed crystals in many ways; they have no symmetry to name
        return "P1", 1


def write_cif(path: str | os.PathLike, structure: Structure, symprec: float = 0.1) -> None:
    """Write a crystal as CIF, idealised to its space group within `symprec` Å, which the file then carries.

    Where the search fails, or idealising would give another crystal, the crystal is written as it is, in P1.
    """
    write_text(path, cif_text(structure, symprec))


def cif_text(structure: Structure, symprec: float = 0.1) -> str:
    """The text that `write_cif` writes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with suppress(Exception):  # whatever the symmetry search trips over, P1 is the answer
            text = str(CifWriter(structure, symprec=symprec))
            if StructureMatcher(scale=False).fit(parse_cif(text)[0], structure):
                return text
        return str(CifWriter(structure))


def parse_cif(text: str) -> list[Structure]:
    """The ordered crystals of a CIF text, one a data block, cells as given, without charges.

    Raises UnreadableError for what is empty, truncated, disordered or made of no known elements.
    """
    if not text.strip():
        raise UnreadableError("empty", "the file is empty.")
    if not re.search(r"^\s*data_", text, re.MULTILINE):
        raise UnreadableError("unreadable CIF", "not a CIF: it has no data_ block.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            parser = CifParser(StringIO(text), check_cif=False)
            structures = parser.parse_structures(primitive=False, on_error="ignore")
            blocks = [block for block in parser.as_dict().values() if "_atom_site_fract_x" in block]
        except Exception as error:  # pymatgen lets many kinds through on damaged text
            raise UnreadableError("unreadable CIF", f"not readable as CIF, perhaps truncated ({first_line(error)}).") \
                from error
    if not structures:
        cause = parser.warnings[-1].splitlines()[-1] if parser.warnings else "no atoms"
        raise UnreadableError("unreadable CIF", f"not readable as CIF, perhaps truncated ({cause}).")
    plain = [_plain(one) for one in structures]
    if len(blocks) != len(plain):
        raise UnreadableError("unreadable CIF", f"only {len(plain)} of {len(blocks)} crystals in it are readable.")
    for one, block in zip(plain, blocks, strict=True):
        _check_formula(one, str(block.get("_chemical_formula_sum", "")))
    return plain


def parse_disordered(text: str) -> Structure:
    """The first crystal of a CIF text, whose sites several elements may share, without charges.

    Raises UnreadableError.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = CifParser(StringIO(text), check_cif=False).parse_structures(primitive=False)[0]
        except Exception as error:  # pymatgen lets many kinds through on damaged text
            raise UnreadableError("unreadable CIF", f"not readable as CIF ({first_line(error)}).") from error
    return Structure(found.lattice, [site.species.element_composition for site in found], found.frac_coords)


def _plain(structure: Structure) -> Structure:
    """The same crystal of neutral elements: charges and isotopes would keep equal crystals from matching."""
    if not np.isfinite(structure.lattice.matrix).all() or not np.isfinite(structure.frac_coords).all():
        raise UnreadableError("not a number", "its cell or a coordinate is not a finite number.")
    return Structure(structure.lattice, numbers_of(structure), structure.frac_coords)


def _check_formula(structure: Structure, formula: str) -> None:
    """A CIF whose last atoms were cut off still parses; its own formula tells."""
    try:
        said = Composition(formula.replace("D", "H") if re.search(r"D\d*(?:\s|$)", formula) else formula)
    except Exception:  # noqa: BLE001 - no formula, or one in no known form, accuses nobody
        return
    said = said.remove_charges().as_dict()
    found = structure.composition.as_dict()
    if not said or any(abs(n - round(n)) > 1e-3 for n in said.values()):
        return
    times = {found.get(symbol, 0) / n for symbol, n in said.items()}
    if set(found) != set(said) or max(times) - min(times) > 1e-6 or abs(min(times) - round(min(times))) > 1e-6:
        atoms = structure.composition.formula
        raise UnreadableError(
            "unreadable CIF", f"truncated or inconsistent: its formula says {formula.strip()}, its atoms are {atoms}."
        )


def parse_poscar(text: str) -> list[Structure]:
    """The crystal of a POSCAR text, in a list. Raises UnreadableError."""
    if not text.strip():
        raise UnreadableError("empty", "the file is empty.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # an element guessed from nothing comes with a warning
            return [_plain(Poscar.from_str(text).structure)]
    except UnreadableError:
        raise
    except Exception as error:
        reason = f"not readable as POSCAR, perhaps truncated ({first_line(error)})."
        raise UnreadableError("unreadable POSCAR", reason) from error
