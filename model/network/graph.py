"""Periodic neighbours of every atom of a batch at once, and the edges between them, in plain torch."""

from dataclasses import dataclass

import torch
from torch import Tensor

from model.cell import cartesian, heights
from model.crystals import Crystals
from model.shapes import Float, Int

CLOSEST = 0.01  # Å; nearer pairs are an atom and itself, or an overlap that the published network does not see
MOST_IMAGES = 5  # a side; flatter cells lose neighbours by design (section 11, trap 24)


@dataclass(frozen=True, slots=True)
class Graph:
    """Directed edges source → target. The second half holds the first half's edges reversed, in the same order.

    `direction` points from the source's image to the target (section 3.3). `slots` lists the incoming edges of each
    atom, padded with the number of edges.
    """

    source: Int[Tensor, " edges"]
    target: Int[Tensor, " edges"]
    distance: Float[Tensor, " edges"]
    direction: Float[Tensor, "edges 3"]
    owner: Int[Tensor, " edges"]
    slots: Int[Tensor, "atoms degree"]
    place: Int[Tensor, " edges"]

    @property
    def half(self) -> int:
        """Number of undirected edges."""
        return self.source.shape[0] // 2

    def degree(self) -> Int[Tensor, " atoms"]:
        """Incoming edges of each atom."""
        return (self.slots < self.source.shape[0]).sum(-1)


def swapped(edges: Tensor) -> Tensor:
    """What each edge's counter-edge carries."""
    return edges.unflatten(0, (2, -1)).flip(0).flatten(0, 1)


def build(
    crystals: Crystals, cutoff: float = 7.0, max_neighbors: int = 50, most_images: int = MOST_IMAGES
) -> Graph:
    """Edges between atoms within `cutoff` Å: for every atom its nearest `max_neighbors`, then made symmetric.

    A kept pair is decided by the atom of larger index (section 3.3, step 6). Crystals without any edge are allowed.
    """
    centre, neighbour, offset, vector = _pairs(crystals, cutoff, most_images)
    squared = (vector**2).sum(-1)
    near = (squared <= cutoff**2) & (squared > CLOSEST**2)
    near = near.nonzero().squeeze(-1)
    centre, neighbour, offset, vector, squared = (v[near] for v in (centre, neighbour, offset, vector, squared))
    keep = _among_nearest(centre, squared, max_neighbors, crystals.frac.shape[0])
    first = torch.where(offset[:, 0] != 0, offset[:, 0], torch.where(offset[:, 1] != 0, offset[:, 1], offset[:, 2]))
    keep = keep & ((neighbour < centre) | ((neighbour == centre) & (first < 0)))
    keep = keep.nonzero().squeeze(-1)
    centre, neighbour, vector, squared = centre[keep], neighbour[keep], vector[keep], squared[keep]
    distance = squared.sqrt()
    unit = -vector / distance[:, None]
    target, source = torch.cat([centre, neighbour]), torch.cat([neighbour, centre])
    slots, place = _slots(target, crystals.frac.shape[0])
    return Graph(
        source=source,
        target=target,
        distance=torch.cat([distance, distance]),
        direction=torch.cat([unit, -unit]),
        owner=crystals.owner[target],
        slots=slots,
        place=place,
    )


def image_ranges(
    cell: Float[Tensor, "batch 3 3"], cutoff: float, most: int = MOST_IMAGES
) -> Int[Tensor, "batch 3"]:
    """How many images a side reach within the cutoff: ceil(cutoff · ‖b×c‖/volume), at most `most`."""
    needed = torch.ceil(cutoff / heights(cell))
    return torch.nan_to_num(needed, nan=float(most), posinf=float(most)).clamp(max=most).long()


def _pairs(crystals: Crystals, cutoff: float, most_images: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """All (centre, neighbour, image) with the vector from centre to neighbour, ragged over crystals."""
    n, device = crystals.n_atoms, crystals.device
    reach = image_ranges(crystals.cell, cutoff, most_images)
    sides = 2 * reach + 1
    images = sides.prod(-1)
    count = n * n * images
    crystal = torch.repeat_interleave(torch.arange(len(crystals), device=device), count)
    within = torch.arange(crystal.shape[0], device=device) - (torch.cumsum(count, 0) - count)[crystal]
    pair, image = within // images[crystal], within % images[crystal]
    first_atom = (torch.cumsum(n, 0) - n)[crystal]
    centre, neighbour = first_atom + pair // n[crystal], first_atom + pair % n[crystal]
    side = sides[crystal]
    offset = torch.stack(
        [image // (side[:, 1] * side[:, 2]), image // side[:, 2] % side[:, 1], image % side[:, 2]], dim=-1
    )
    offset = offset - reach[crystal]
    cart = cartesian(crystals)
    shift = torch.bmm(offset.to(cart)[:, None], crystals.cell[crystal]).squeeze(1)
    # in this order, so that an atom's images at ±k are exactly as far away and the cut never depends on rounding
    return centre, neighbour, offset, (cart[neighbour] - cart[centre]) + shift


def _among_nearest(centre: Tensor, squared: Tensor, most: int, atoms: int) -> Tensor:
    """Which pairs are among the `most` nearest of their centre."""
    by_distance = torch.argsort(squared, stable=True)
    order = by_distance[torch.argsort(centre[by_distance], stable=True)]
    degree = torch.bincount(centre, minlength=atoms)
    rank = torch.arange(centre.shape[0], device=centre.device) - (torch.cumsum(degree, 0) - degree)[centre[order]]
    keep = torch.zeros_like(centre, dtype=torch.bool)
    keep[order] = rank < most
    return keep


def _slots(target: Tensor, atoms: int) -> tuple[Tensor, Tensor]:
    """Incoming edges of each atom as a padded table, and where each edge stands in it (flattened)."""
    edges = target.shape[0]
    degree = torch.bincount(target, minlength=atoms)
    widest = int(degree.max()) if edges else 0
    order = torch.argsort(target, stable=True)
    rank = torch.arange(edges, device=target.device) - (torch.cumsum(degree, 0) - degree)[target[order]]
    slots = torch.full((atoms, widest), edges, dtype=torch.long, device=target.device)
    slots[target[order], rank] = order
    place = torch.empty_like(target)
    place[order] = target[order] * widest + rank
    return slots, place
