"""CHGNet as a potential: a whole batch in one call, graphs built by index arithmetic. Edge: chgnet.

CHGNet's own converter makes one Python object an edge; here the same edges and angles come out of sorted arrays, and
forces and stress out of one backward pass. Source of the network: Deng et al., Nat. Mach. Intell. 5, 1031 (2023).
"""

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from model.crystals import Crystals
from model.relax.chgnet_network import Featurised, Network
from model.relax.potential import PotentialError, Reading, join, silence
from model.shapes import Float, Int

_WEIGHTS = "pretrained/0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar"
_COSTLIEST = 500_000  # edges and angles one crystal may have: some 4 GB with their gradients
_REACH = 64  # images to either side that are still searched: a flatter cell is no crystal


class Edges(NamedTuple):
    """Who sees whom within the cutoff. An edge runs from `center` to `neighbor` in the cell `image`."""

    center: Int[np.ndarray, " edges"]
    neighbor: Int[np.ndarray, " edges"]
    image: Int[np.ndarray, "edges 3"]
    length: Float[np.ndarray, " edges"]

    def shifted(self, atoms: int) -> "Edges":
        """The same edges among atoms counted from `atoms` on."""
        return self._replace(center=self.center + atoms, neighbor=self.neighbor + atoms)


class Graph(NamedTuple):
    """Edges of a batch with their reverses paired into bonds, and the angles between short edges."""

    edges: Edges
    bond: Int[np.ndarray, " edges"]  # which undirected bond each edge belongs to
    first: Int[np.ndarray, " bonds"]  # one edge of each bond
    angles: Int[np.ndarray, "angles 2"]  # pairs of different edges out of one atom


class CHGNetPotential:
    """CHGNet 0.3.0, whose weights lie in its wheel.

    The network runs on `device`; graphs are built on the CPU. `budget` is how many edges and angles are computed at
    once: it bounds the memory, not the answer.
    """

    name = "CHGNet 0.3.0"

    def __init__(self, device: str = "cpu", *, budget: int = 100_000) -> None:
        self.device, self.budget = device, budget
        self._network = _load(device)

    def __call__(self, crystals: Crystals) -> Reading:
        """Energy, forces, stress and moments. Crystals with lonely or overlapping atoms are declined."""
        edges = [self._edges(crystal) for crystal in crystals]
        parts, sizes = [], []
        for rows in _portions([_cost(e) if isinstance(e, Edges) else e for e in edges], self.budget):
            part = crystals[rows]
            sound = isinstance(edges[rows[0]], Edges)
            parts.append(self._read(part, [edges[r] for r in rows]) if sound else silence(part, edges[rows[0]]))
            sizes.append(len(rows))
        return join(parts, sizes) if parts else silence(crystals, "")

    def _edges(self, crystal: Crystals) -> Edges | str:
        """Edges of one crystal, or the reason why it has none that the network understands."""
        cutoff = self._network.long
        if trouble := _unreadable(crystal, cutoff):
            return trouble
        edges = neighbours(crystal, cutoff)
        if np.unique(edges.center).size < int(crystal.n_atoms[0]):
            return f"an atom has no neighbour within {cutoff:g} Å, where CHGNet cannot judge it"
        if edges.length.min() < 0.05:
            return f"two atoms lie {edges.length.min():.3f} Å apart"
        if _cost(edges) > _COSTLIEST:
            return "its atoms are packed too densely to be a crystal"
        return edges

    def _read(self, crystals: Crystals, edges: list[Edges]) -> Reading:
        starts = np.cumsum([0, *crystals.n_atoms.tolist()]).tolist()
        joined = Edges(*(np.concatenate(column) for column in zip(
            *(e.shifted(start) for e, start in zip(edges, starts, strict=False)), strict=True)))
        batch, cart, strain = self._featurise(crystals, pair(joined, self._network.short))
        energy, moments = self._network(batch)
        slope = torch.autograd.grad(energy.sum(), [cart, strain])
        volume = torch.linalg.det(crystals.cell.double()).abs()
        stress = slope[1].cpu().double() / volume[:, None, None]
        return Reading(
            energy=energy.detach().cpu().double() + self._composition(crystals),
            forces=-slope[0].cpu().double(),
            stress=(stress + stress.mT) / 2,
            moments=moments.detach().cpu().double(),
        )

    def _composition(self, crystals: Crystals) -> Float[Tensor, " batch"]:
        """The part of the energy that only the composition decides, in eV."""
        each = self._network.weights["composition_model.fc.weight"].cpu().double()[0][crystals.numbers - 1]
        return torch.zeros(len(crystals), dtype=torch.float64).index_add_(0, crystals.owner, each)

    def _featurise(self, crystals: Crystals, graph: Graph) -> tuple[Featurised, Tensor, Tensor]:
        """What the network reads, with the positions and the strain that its answer is differentiated by."""
        put = {"device": self.device}
        owner = crystals.owner.to(**put)
        strain = torch.zeros(len(crystals), 3, 3, **put, requires_grad=True)
        cell = crystals.cell.to(dtype=torch.float32, **put)
        cell = cell + cell @ strain
        cart = torch.einsum("ni,nij->nj", crystals.frac.to(dtype=torch.float32, **put), cell[owner])
        edges = graph.edges
        center, neighbor, bond, first = (
            torch.from_numpy(a).to(**put) for a in (edges.center, edges.neighbor, graph.bond, graph.first)
        )
        image = torch.from_numpy(edges.image).to(dtype=torch.float32, **put)
        vector = cart[center] - cart[neighbor] - torch.einsum("ni,nij->nj", image, cell[owner[center]])
        length = vector.norm(dim=1)
        short, sides = np.unique(graph.bond[graph.angles], return_inverse=True)
        left, right = torch.from_numpy(graph.angles).to(**put).unbind(1)
        left_bond, right_bond = torch.from_numpy(sides.reshape(-1, 2)).to(**put).unbind(1)
        unit = vector / length[:, None]
        batch = Featurised(
            species=crystals.numbers.to(**put), owner=owner, crystals=len(crystals),
            center=center, neighbor=neighbor, bond=bond, length=length[first],
            short=torch.from_numpy(short).to(**put), apex=center[left], left=left_bond, right=right_bond,
            cosine=(unit[left] * unit[right]).sum(1),
        )  # fmt: skip
        return batch, cart, strain


def neighbours(crystal: Crystals, cutoff: float) -> Edges:
    """All edges of one crystal no longer than `cutoff` Å."""
    from pymatgen.optimization.neighbors import find_points_in_spheres

    cell = np.ascontiguousarray(crystal.cell[0].double().numpy())
    cart = np.ascontiguousarray(crystal.frac.double().numpy() @ cell)
    center, neighbor, image, length = find_points_in_spheres(
        cart, cart, r=cutoff, pbc=np.ones(3, dtype=np.int64), lattice=cell, tol=1e-8
    )
    itself = (center == neighbor) & (image == 0).all(1)
    keep = ~itself
    integers = (array[keep].astype(np.int64) for array in (center, neighbor, image))
    return Edges(*integers, length[keep])


def pair(edges: Edges, short: float) -> Graph:
    """Pair every edge with its reverse, and every edge shorter than `short` Å with the others out of its atom."""
    span = int(np.abs(edges.image).max(initial=0)) + 1
    cells = (edges.image + span) @ np.array([(2 * span) ** 2, 2 * span, 1])
    back = (span - edges.image) @ np.array([(2 * span) ** 2, 2 * span, 1])
    many, deep = int(edges.center.max(initial=0)) + 1, (2 * span) ** 3
    forth = (edges.center * many + edges.neighbor) * deep + cells
    reverse = (edges.neighbor * many + edges.center) * deep + back
    _, first, bond = np.unique(np.minimum(forth, reverse), return_index=True, return_inverse=True)
    close = np.flatnonzero(edges.length < short)
    close = close[np.argsort(edges.center[close], kind="stable")]
    return Graph(edges, bond.reshape(-1), first, _ordered_pairs(close, edges.center[close]))


def _ordered_pairs(items: Int[np.ndarray, " n"], group: Int[np.ndarray, " n"]) -> Int[np.ndarray, "pairs 2"]:
    """All ordered pairs of different items of the same group; the groups run one after another."""
    if not len(items):
        return np.zeros((0, 2), dtype=np.int64)
    _, start, size = np.unique(group, return_index=True, return_counts=True)
    partners = np.repeat(size, size)  # each item meets every item of its group, itself included
    left = np.repeat(np.arange(len(items)), partners)
    offset = np.arange(len(left)) - np.repeat(np.cumsum(partners) - partners, partners)
    right = np.repeat(np.repeat(start, size), partners) + offset
    different = left != right
    return np.stack([items[left[different]], items[right[different]]], 1)


def _cost(edges: Edges) -> int:
    """Edges and angles: what the network's time and memory go with."""
    fan = np.bincount(edges.center[edges.length < 3.0])
    return len(edges.center) + int((fan * (fan - 1)).sum())


def _portions(costs: "list[int | str]", budget: int) -> list[list[int]]:
    """Rows in runs that stay within the budget; a row without a cost stands alone."""
    runs: list[list[int]] = []
    filled = budget + 1
    for row, cost in enumerate(costs):
        if isinstance(cost, str):
            runs.append([row])
            filled = budget + 1
        elif filled + cost > budget:
            runs.append([row])
            filled = cost
        else:
            runs[-1].append(row)
            filled += cost
    return runs


def _unreadable(crystal: Crystals, cutoff: float) -> str:
    """Why the network cannot look at this crystal at all, or nothing."""
    cell = crystal.cell[0].double()
    if not (torch.isfinite(cell).all() and torch.isfinite(crystal.frac).all()):
        return "a coordinate or a cell vector is not a finite number"
    if not len(crystal.numbers) or int(crystal.numbers.min()) < 1 or int(crystal.numbers.max()) > 94:
        return "CHGNet knows the elements H to Pu"
    volume = float(torch.linalg.det(cell).abs())
    faces = torch.linalg.cross(cell[[1, 2, 0]], cell[[2, 0, 1]]).norm(dim=1)
    if volume < 0.1 or float(faces.max()) * cutoff > volume * _REACH:
        return f"its cell of {volume:.3g} Å³ is flat"
    if volume / len(crystal.numbers) < 1.0:
        return f"its atoms have {volume / len(crystal.numbers):.2g} Å³ each"
    return ""


def _load(device: str) -> Network:
    """The network, its weights read as numbers only."""
    found = find_spec("chgnet")
    if found is None or not found.submodule_search_locations:
        raise ImportError("Relaxing with CHGNet needs its weights, which lie in its wheel: pip install chgnet")
    path = Path(found.submodule_search_locations[0]) / _WEIGHTS
    if not path.exists():
        raise PotentialError(f"CHGNet's weights are not at {path}; install chgnet 0.4 anew.")
    state = torch.load(path, map_location="cpu", weights_only=True)["model"]
    asked = state["model_args"]
    long, short = float(asked["atom_graph_cutoff"]), float(asked["bond_graph_cutoff"])
    return Network(state["state_dict"], long, short, asked["cutoff_coeff"], device)
