"""Makes mini.csv: well-known prototypes with their measured lattice constants. Run: python -m model.data.mini.make.

Lattice constants (Å) and internal coordinates are the common textbook values at room temperature; only what is truly
known is said: the space group. Edge: pymatgen.
"""

import csv
import io
from collections.abc import Sequence
from numbers import Real
from pathlib import Path

from pymatgen.core import Composition, Lattice, Structure
from pymatgen.io.cif import CifWriter
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

HERE = Path(__file__).parent
THIRD = 1 / 3
O3 = (0.0, 0.0, 0.0)
QUARTER = (0.25, 0.25, 0.25)
HALF = (0.5, 0.5, 0.5)
FIVE_EIGHTHS = (0.625, 0.625, 0.625)  # centred groups stand in origin choice 1, pymatgen's own

Sites = Sequence[tuple[str, tuple[Real, Real, Real]]]


def _cubic(group: str, a: float, sites: Sites) -> tuple[str, Lattice, Sites]:
    return group, Lattice.cubic(a), sites


def _tetragonal(group: str, a: float, c: float, sites: Sites) -> tuple[str, Lattice, Sites]:
    return group, Lattice.tetragonal(a, c), sites


def _hexagonal(group: str, a: float, c: float, sites: Sites) -> tuple[str, Lattice, Sites]:
    return group, Lattice.hexagonal(a, c), sites


def _orthorhombic(group: str, abc: tuple[float, float, float], sites: Sites) -> tuple[str, Lattice, Sites]:
    return group, Lattice.orthorhombic(*abc), sites


def _spinel(a: float, tetrahedral: str, octahedral: str, anion: str, u: float) -> tuple[str, Lattice, Sites]:
    sites = [(tetrahedral, O3), (octahedral, FIVE_EIGHTHS), (anion, (u + 0.125, u + 0.125, u + 0.125))]
    return _cubic("Fd-3m", a, sites)


PROTOTYPES: dict[str, tuple[str, Lattice, Sites]] = {
    # elements
    "fcc-Cu": _cubic("Fm-3m", 3.615, [("Cu", O3)]),
    "fcc-Al": _cubic("Fm-3m", 4.050, [("Al", O3)]),
    "bcc-Fe": _cubic("Im-3m", 2.866, [("Fe", O3)]),
    "bcc-W": _cubic("Im-3m", 3.165, [("W", O3)]),
    "hcp-Mg": _hexagonal("P6_3/mmc", 3.209, 5.211, [("Mg", (THIRD, 2 * THIRD, 0.25))]),
    "hcp-Ti": _hexagonal("P6_3/mmc", 2.951, 4.684, [("Ti", (THIRD, 2 * THIRD, 0.25))]),
    "diamond-C": _cubic("Fd-3m", 3.567, [("C", O3)]),
    "diamond-Si": _cubic("Fd-3m", 5.431, [("Si", O3)]),
    "graphite-C": _hexagonal("P6_3/mmc", 2.464, 6.711, [("C", (0, 0, 0.25)), ("C", (THIRD, 2 * THIRD, 0.25))]),
    "arsenic-Bi": _hexagonal("R-3m", 4.546, 11.862, [("Bi", (0, 0, 0.2339))]),
    # AX
    "rocksalt-NaCl": _cubic("Fm-3m", 5.640, [("Na", O3), ("Cl", HALF)]),
    "rocksalt-MgO": _cubic("Fm-3m", 4.212, [("Mg", O3), ("O", HALF)]),
    "rocksalt-LiF": _cubic("Fm-3m", 4.027, [("Li", O3), ("F", HALF)]),
    "rocksalt-TiN": _cubic("Fm-3m", 4.241, [("Ti", O3), ("N", HALF)]),
    "cesium-chloride-CsCl": _cubic("Pm-3m", 4.123, [("Cs", O3), ("Cl", HALF)]),
    "b2-NiAl": _cubic("Pm-3m", 2.887, [("Ni", O3), ("Al", HALF)]),
    "zincblende-ZnS": _cubic("F-43m", 5.409, [("Zn", O3), ("S", QUARTER)]),
    "zincblende-GaAs": _cubic("F-43m", 5.653, [("Ga", O3), ("As", QUARTER)]),
    "wurtzite-ZnO": _hexagonal(
        "P6_3mc", 3.250, 5.207, [("Zn", (THIRD, 2 * THIRD, 0)), ("O", (THIRD, 2 * THIRD, 0.382))]
    ),
    "wurtzite-GaN": _hexagonal(
        "P6_3mc", 3.189, 5.186, [("Ga", (THIRD, 2 * THIRD, 0)), ("N", (THIRD, 2 * THIRD, 0.377))]
    ),
    "nickeline-NiAs": _hexagonal("P6_3/mmc", 3.619, 5.034, [("Ni", O3), ("As", (THIRD, 2 * THIRD, 0.25))]),
    "boron-nitride-BN": _hexagonal(
        "P6_3/mmc", 2.504, 6.661, [("B", (THIRD, 2 * THIRD, 0.25)), ("N", (THIRD, 2 * THIRD, 0.75))]
    ),
    "litharge-PbO": _tetragonal("P4/nmm", 3.976, 5.023, [("Pb", (0, 0.5, 0.2345)), ("O", O3)]),
    # AX2 and A2X
    "fluorite-CaF2": _cubic("Fm-3m", 5.463, [("Ca", O3), ("F", QUARTER)]),
    "fluorite-CeO2": _cubic("Fm-3m", 5.411, [("Ce", O3), ("O", QUARTER)]),
    "antifluorite-Li2O": _cubic("Fm-3m", 4.619, [("O", O3), ("Li", QUARTER)]),
    "rutile-TiO2": _tetragonal("P4_2/mnm", 4.594, 2.959, [("Ti", O3), ("O", (0.3053, 0.3053, 0))]),
    "anatase-TiO2": _tetragonal("I4_1/amd", 3.785, 9.514, [("Ti", O3), ("O", (0, 0, 0.2081))]),
    "rutile-SnO2": _tetragonal("P4_2/mnm", 4.737, 3.186, [("Sn", O3), ("O", (0.3056, 0.3056, 0))]),
    "cadmium-iodide-CdI2": _hexagonal("P-3m1", 4.244, 6.859, [("Cd", O3), ("I", (THIRD, 2 * THIRD, 0.2492))]),
    "cadmium-iodide-TiS2": _hexagonal("P-3m1", 3.407, 5.695, [("Ti", O3), ("S", (THIRD, 2 * THIRD, 0.2495))]),
    "molybdenite-MoS2": _hexagonal(
        "P6_3/mmc", 3.161, 12.295, [("Mo", (THIRD, 2 * THIRD, 0.25)), ("S", (THIRD, 2 * THIRD, 0.621))]
    ),
    "pyrite-FeS2": _cubic("Pa-3", 5.416, [("Fe", O3), ("S", (0.3851, 0.3851, 0.3851))]),
    "quartz-SiO2": _hexagonal(
        "P3_221", 4.913, 5.405, [("Si", (0.4697, 0, 2 * THIRD)), ("O", (0.4135, 0.2669, 0.7858))]
    ),
    "laves-MgCu2": _cubic("Fd-3m", 7.034, [("Mg", O3), ("Cu", FIVE_EIGHTHS)]),
    "diboride-MgB2": _hexagonal("P6/mmm", 3.086, 3.524, [("Mg", O3), ("B", (THIRD, 2 * THIRD, 0.5))]),
    "cuprite-Cu2O": _cubic("Pn-3m", 4.270, [("O", O3), ("Cu", QUARTER)]),
    # more elements
    "corundum-Al2O3": _hexagonal("R-3c", 4.759, 12.993, [("Al", (0, 0, 0.3522)), ("O", (0.3063, 0, 0.25))]),
    "bismuth-telluride-Bi2Te3": _hexagonal(
        "R-3m", 4.386, 30.497, [("Bi", (0, 0, 0.4000)), ("Te", O3), ("Te", (0, 0, 0.2095))]
    ),
    "rhenium-oxide-ReO3": _cubic("Pm-3m", 3.748, [("Re", O3), ("O", (0.5, 0, 0))]),
    "perovskite-SrTiO3": _cubic("Pm-3m", 3.905, [("Sr", HALF), ("Ti", O3), ("O", (0.5, 0, 0))]),
    "perovskite-BaTiO3": _tetragonal(
        "P4mm", 3.994, 4.034,
        [("Ba", O3), ("Ti", (0.5, 0.5, 0.5224)), ("O", (0.5, 0.5, -0.0244)), ("O", (0.5, 0, 0.4895))],
    ),
    "perovskite-CaTiO3": _orthorhombic(
        "Pnma", (5.442, 7.640, 5.380),
        [
            ("Ca", (0.0360, 0.25, 0.9932)),
            ("Ti", (0, 0, 0.5)),
            ("O", (0.4838, 0.25, 0.0714)),
            ("O", (0.2888, 0.0371, 0.7108)),
        ],
    ),
    "antiperovskite-Ni3MgC": _cubic("Pm-3m", 3.812, [("Mg", O3), ("C", HALF), ("Ni", (0, 0.5, 0.5))]),
    "delafossite-CuAlO2": _hexagonal("R-3m", 2.858, 16.958, [("Cu", O3), ("Al", (0, 0, 0.5)), ("O", (0, 0, 0.1099))]),
    "layered-LiCoO2": _hexagonal("R-3m", 2.816, 14.054, [("Li", O3), ("Co", (0, 0, 0.5)), ("O", (0, 0, 0.2395))]),
    "spinel-MgAl2O4": _spinel(8.083, "Mg", "Al", "O", 0.2624),
    "spinel-LiMn2O4": _spinel(8.248, "Li", "Mn", "O", 0.2632),
    "calcite-CaCO3": _hexagonal("R-3c", 4.990, 17.061, [("Ca", O3), ("C", (0, 0, 0.25)), ("O", (0.2578, 0, 0.25))]),
    "chalcopyrite-CuFeS2": _tetragonal(
        "I-42d", 5.289, 10.423, [("Cu", O3), ("Fe", (0, 0, 0.5)), ("S", (0.2574, 0.25, 0.125))]
    ),
    "zircon-ZrSiO4": _tetragonal(
        "I4_1/amd", 6.607, 5.982, [("Zr", O3), ("Si", (0, 0, 0.5)), ("O", (0, 0.1839, 0.3203))]
    ),
    "ruddlesden-popper-Sr2RuO4": _tetragonal(
        "I4/mmm", 3.871, 12.739,
        [("Sr", (0, 0, 0.3534)), ("Ru", O3), ("O", (0, 0.5, 0)), ("O", (0, 0, 0.1619))],
    ),
    "double-perovskite-Ba2YTaO6": _cubic(
        "Fm-3m", 8.433, [("Ba", QUARTER), ("Y", O3), ("Ta", HALF), ("O", (0.2640, 0, 0))]
    ),
    # intermetallics
    "auricupride-Cu3Au": _cubic("Pm-3m", 3.749, [("Au", O3), ("Cu", (0, 0.5, 0.5))]),
    "heusler-Cu2MnAl": _cubic("Fm-3m", 5.962, [("Al", O3), ("Mn", HALF), ("Cu", QUARTER)]),
    "half-heusler-NiMnSb": _cubic("F-43m", 5.920, [("Mn", O3), ("Sb", HALF), ("Ni", QUARTER)]),
    "l10-FePt": _tetragonal("P4/mmm", 2.723, 3.712, [("Fe", O3), ("Pt", HALF)]),
    "haucke-LaNi5": _hexagonal(
        "P6/mmm", 5.017, 3.982, [("La", O3), ("Ni", (THIRD, 2 * THIRD, 0)), ("Ni", (0.5, 0, 0.5))]
    ),
    "a15-Nb3Sn": _cubic("Pm-3n", 5.290, [("Sn", O3), ("Nb", (0.25, 0, 0.5))]),
    "haucke-SmCo5": _hexagonal(
        "P6/mmm", 5.002, 3.964, [("Sm", O3), ("Co", (THIRD, 2 * THIRD, 0)), ("Co", (0.5, 0, 0.5))]
    ),
    "zintl-CaAl2Si2": _hexagonal(
        "P-3m1", 4.130, 7.145, [("Ca", O3), ("Al", (THIRD, 2 * THIRD, 0.63)), ("Si", (THIRD, 2 * THIRD, 0.27))]
    ),
    "iron-arsenide-BaFe2As2": _tetragonal(
        "I4/mmm", 3.963, 13.017, [("Ba", O3), ("Fe", (0.5, 0, 0.25)), ("As", (0, 0, 0.3545))]
    ),
    "rutile-MgH2": _tetragonal("P4_2/mnm", 4.517, 3.021, [("Mg", O3), ("H", (0.306, 0.306, 0))]),
    "perovskite-KMnF3": _cubic("Pm-3m", 4.190, [("K", HALF), ("Mn", O3), ("F", (0.5, 0, 0))]),
    "hcp-Zn": _hexagonal("P6_3/mmc", 2.665, 4.947, [("Zn", (THIRD, 2 * THIRD, 0.25))]),
}


def build(name: str) -> Structure:
    """The primitive cell of a prototype. Raises ValueError where its sites do not give its formula and space group."""
    group, lattice, sites = PROTOTYPES[name]
    structure = Structure.from_spacegroup(group, lattice, [s for s, _ in sites], [x for _, x in sites])
    formula = name.rsplit("-", 1)[1]
    found = SpacegroupAnalyzer(structure, symprec=0.01).get_space_group_symbol()
    if structure.composition.reduced_composition != Composition(formula).reduced_composition or found != group:
        raise ValueError(f"{name} came out as {structure.composition.reduced_formula} in {found}; wanted {group}.")
    return structure.get_primitive_structure()


def table() -> str:
    """All prototypes as CSV in the column layout of MP-20."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["material_id", "pretty_formula", "elements", "spacegroup.number", "cif"])
    for name in PROTOTYPES:
        structure = build(name)
        number = SpacegroupAnalyzer(structure, symprec=0.01).get_space_group_number()
        elements = sorted(structure.composition.get_el_amt_dict())
        writer.writerow([name, structure.composition.reduced_formula, elements, number, str(CifWriter(structure))])
    return text.getvalue()


if __name__ == "__main__":
    (HERE / "mini.csv").write_text(table(), encoding="utf-8")
