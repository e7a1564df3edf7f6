"""A fingerprint that does not see which cell was chosen: sorted distances between the elements of a crystal.

For every ordered pair of elements (A, B): the distances of the atoms A to their nearest atoms B, sorted, their mean and
their spread over the atoms A, in units of the cube root of the volume per atom. Small moves of atoms change it little.
After the average minimum distances of Widdowson et al., MATCH Commun. Math. Comput. Chem. 87, 529 (2022), taken element
by element; the spread tells polymorphs apart that the mean alone confuses.
"""

import numpy as np

from model.crystals import Crystals
from model.shapes import Float, Int, UInt8

SHELL = 8  # nearest atoms of each element that are looked at
WIDTH = 2 * SHELL  # bytes for each ordered pair of elements
STEP = 0.02  # kept in one byte: up to 5.1 times the atomic spacing
_LONGEST = 40.0  # Å; nothing beyond is looked for


def fingerprint(crystal: Crystals) -> UInt8[np.ndarray, " pairs_shell"]:
    """The fingerprint of one crystal as bytes: elements by rising number, pair after pair, `WIDTH` bytes each.

    Raises ValueError where the cell is no cell.
    """
    frac, cell = crystal.frac.double().numpy(), crystal.cell[0].double().numpy()
    if not (np.isfinite(frac).all() and np.isfinite(cell).all()):
        raise ValueError("A cell or position that is no finite number has no fingerprint.")
    frac = frac % 1.0
    numbers = crystal.numbers.numpy()
    kinds, species = np.unique(numbers, return_inverse=True)
    counts = np.bincount(species)
    volume = abs(np.linalg.det(cell))
    spacing = (volume / len(numbers)) ** (1 / 3)
    if not 1e-3 < spacing < 1e3:
        raise ValueError(f"A cell of {volume:.3g} Å³ with {len(numbers)} atoms has no fingerprint.")
    radius = 1.35 * (SHELL * volume / counts.min() * 3 / (4 * np.pi)) ** (1 / 3)
    while True:
        rows = _nearest(frac @ cell, cell, species, len(kinds), min(radius, _LONGEST))
        if np.isfinite(rows).all() or radius >= _LONGEST:
            break
        radius *= 1.3
    rows = np.minimum(rows / spacing, 255 * STEP)
    of = [rows[species == kind] for kind in range(len(kinds))]
    both = np.stack([np.concatenate([r.mean(0), r.std(0)], axis=1) for r in of])  # kinds, kinds, WIDTH
    return np.rint(both.reshape(-1) / STEP).astype(np.uint8)


def fingerprints(crystals: Crystals) -> "list[UInt8[np.ndarray, ' pairs_shell']]":
    """The fingerprint of every crystal; a crystal without one gets an empty one."""
    found = []
    for crystal in crystals:
        try:
            found.append(fingerprint(crystal))
        except ValueError:
            found.append(np.zeros(0, dtype=np.uint8))
    return found


def distance(
    one: UInt8[np.ndarray, " pairs_shell"], others: UInt8[np.ndarray, "known pairs_shell"]
) -> Float[np.ndarray, " known"]:
    """How far known fingerprints of the same elements lie, in atomic spacings: root mean squares, both parts added."""
    gap = others.astype(np.float32) - one.astype(np.float32)
    return STEP * np.sqrt(2 * (gap * gap).mean(axis=1))


def _nearest(
    cart: Float[np.ndarray, "atoms 3"],
    cell: Float[np.ndarray, "3 3"],
    species: Int[np.ndarray, " atoms"],
    kinds: int,
    radius: float,
) -> Float[np.ndarray, "atoms kinds shell"]:
    """Sorted distances in Å of each atom to its nearest atoms of each kind; infinite where the radius was too small."""
    from pymatgen.optimization.neighbors import find_points_in_spheres

    cart, cell = np.ascontiguousarray(cart), np.ascontiguousarray(cell)
    center, neighbor, _, length = find_points_in_spheres(
        cart, cart, r=radius, pbc=np.ones(3, dtype=np.int64), lattice=cell, tol=1e-8
    )
    other = length > 1e-8
    center, kind, length = center[other], species[neighbor[other]], length[other]
    group = center * kinds + kind
    order = np.lexsort((length, group))
    group, length = group[order], length[order]
    size = np.bincount(group, minlength=len(species) * kinds)
    place = np.arange(len(group)) - np.repeat(np.cumsum(size) - size, size)
    first = place < SHELL
    rows = np.full((len(species) * kinds, SHELL), np.inf)
    rows[group[first], place[first]] = length[first]
    return rows.reshape(len(species), kinds, SHELL)

