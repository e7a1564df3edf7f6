"""GemNet-dT: atoms and directed edges exchange messages; scores of coordinates and cell are read off the edges.

Attribute names are those of the published checkpoints; the symbols in comments are those of section 3 of the facts.
"""

import inspect
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from model.crystals import N_CLASSES, Crystals
from model.network import graph as graphs
from model.network.basis import RadialBasis, degree_weights, expand_degrees, spherical_harmonics
from model.network.graph import Graph, swapped
from model.network.layers import (
    Cubic,
    Dense,
    Linear,
    ScaleFactor,
    mean_of,
    residuals,
    scaled_silu,
    sum_over_edges,
)
from model.network.products import at_least_single, by_rows, product, single_precision, sum_by_rows
from model.shapes import Float

_SCALES: dict[str, list[float]] = json.loads(Path(__file__).with_name("scales.json").read_text())

Steer = Callable[[int, Tensor], Tensor]  # (block, atom states) → atom states; how conditions enter


def _scale(name: str, index: int) -> ScaleFactor:
    """The published fitted factor; 1 beyond the blocks it was fitted for (section 3.6)."""
    values = _SCALES[name]
    return ScaleFactor(values[index] if index < len(values) else 1.0)


class Bases(NamedTuple):
    """What every block reads of the geometry; computed once an evaluation."""

    trip: Float[Tensor, "edges 16"]
    atom: Float[Tensor, "edges 16"]
    out: Float[Tensor, "edges 16"]
    lattice: Float[Tensor, "edges 16"]
    harmonics: Float[Tensor, "atoms degree 49"]
    circular: Float[Tensor, "atoms degree_times_16 49"]
    itself: Float[Tensor, "edges 16"]


class Outputs(NamedTuple):
    """Cartesian forces on atoms, the lattice score, and the last atom states."""

    forces: Float[Tensor, "atoms 3"]
    stress: Float[Tensor, "batch 3 3"]
    atoms: Float[Tensor, "atoms width"]


class AtomEmbedding(nn.Module):
    """One vector for each element and for the mask."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(N_CLASSES, width)
        nn.init.uniform_(self.embeddings.weight, -(3**0.5), 3**0.5)


class EdgeEmbedding(nn.Module):
    """silu*(W [h_s; h_t; rest]), the matrix split so that atoms are multiplied once each."""

    def __init__(self, atom: int, rest: int, out: int) -> None:
        super().__init__()
        self.atom = atom
        self.dense = Linear(2 * atom + rest, out)

    def around(self, h: Float[Tensor, "atoms width"]) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        """One vector an edge, from what is told of it, its source and its target."""
        rest = self.dense.weight.shape[1] - 2 * self.atom
        parts = self.dense.weight.split([self.atom, self.atom, rest], dim=1)
        of_source, of_target, of_rest = (part.contiguous() for part in parts)
        from_source, from_target = product(h, of_source), product(h, of_target)
        return lambda told, s, t: scaled_silu(product(told, of_rest) + from_source[s] + from_target[t])


class TripletInteraction(nn.Module):
    """Messages from edges b → a to edges c → a, weighted by the angle between them.

    The sum over b is taken once an atom, in spherical harmonics, so that no triplet is ever listed.
    """

    def __init__(self, edge: int, trip: int, bil: int, rbf: int, cbf: int, block: int) -> None:
        super().__init__()
        self.dense_ba = Dense(edge, edge)
        self.mlp_rbf = Linear(rbf, edge)
        self.scale_rbf = _scale("had_rbf", block)
        self.mlp_cbf = Cubic(trip, cbf, bil)
        self.scale_cbf_sum = _scale("sum_cbf", block)
        self.down_projection = Dense(edge, trip)
        self.up_projection_ca = Dense(bil, edge)
        self.up_projection_ac = Dense(bil, edge)

    def forward(self, m: Tensor, bases: Bases, graph: Graph) -> Tensor:
        """T(m) of section 3.7."""
        radial = self.mlp_rbf.weight * self.scale_rbf.scale_factor
        y = by_rows(lambda m, r: self.down_projection(self.dense_ba(m) * product(r, radial)), m, bases.trip)
        padded = torch.cat([y, y.new_zeros(1, y.shape[-1])])[graph.slots]
        around = torch.bmm(bases.harmonics.mT, padded)  # (atoms, 49, trip): the sum over b
        cbf = bases.itself.shape[-1]
        turned = torch.bmm(bases.circular, around).reshape(graph.slots.numel(), cbf, y.shape[-1])  # P
        mixing = self.mlp_cbf.weight.permute(2, 1, 0).flatten(1) * self.scale_cbf_sum.scale_factor

        def mixed(place: Tensor, itself: Tensor, own: Tensor) -> Tensor:
            others = torch.addcmul(turned[place], itself.unsqueeze(-1), own.unsqueeze(1), value=-1)
            return product(others.flatten(1), mixing)

        q = by_rows(mixed, graph.place, bases.itself, y)
        return by_rows(lambda q, back: mean_of(self.up_projection_ca(q), self.up_projection_ac(back)), q, swapped(q))


class AtomUpdate(nn.Module):
    """Atom states out of the edges that arrive."""

    def __init__(self, atom: int, edge: int, rbf: int, count: int, scale: ScaleFactor) -> None:
        super().__init__()
        self.dense_rbf = Linear(rbf, edge)
        self.scale_sum = scale
        self.layers = nn.Sequential(Dense(edge, atom), *residuals(count, atom))

    def forward(self, m: Tensor, rbf: Tensor, graph: Graph, atoms: int) -> Tensor:
        """G of section 3.7, step 3."""
        arrived = sum_by_rows(lambda m, r: m * self.dense_rbf(r), graph.target, atoms, m, rbf)
        return self.layers(self.scale_sum(arrived))


class ConcatLayer(EdgeEmbedding):
    """Edge messages renewed from both atoms and themselves."""


class InteractionBlock(nn.Module):
    """One exchange between edges, their neighbours and their atoms (section 3.7)."""

    def __init__(self, block: int, size: dict[str, int]) -> None:
        super().__init__()
        atom, edge = size["emb_size_atom"], size["emb_size_edge"]
        self.dense_ca = Dense(edge, edge)
        self.trip_interaction = TripletInteraction(
            edge, size["emb_size_trip"], size["emb_size_bil_trip"], size["emb_size_rbf"], size["emb_size_cbf"], block
        )
        self.layers_before_skip = nn.Sequential(*residuals(size["num_before_skip"], edge))
        self.layers_after_skip = nn.Sequential(*residuals(size["num_after_skip"], edge))
        self.atom_update = AtomUpdate(atom, edge, size["emb_size_rbf"], size["num_atom"], _scale("atom_sum", block))
        self.concat_layer = ConcatLayer(atom, edge, edge)
        self.residual_m = nn.Sequential(*residuals(size["num_concat"], edge))

    def forward(self, h: Tensor, m: Tensor, bases: Bases, graph: Graph) -> tuple[Tensor, Tensor]:
        """New atom and edge states."""
        m = by_rows(self._exchange, m, self.trip_interaction(m, bases, graph))
        h = mean_of(h, self.atom_update(m, bases.atom, graph, h.shape[0]))
        renewed = self.concat_layer.around(h)
        return h, by_rows(
            lambda m, s, t: mean_of(m, self.residual_m(renewed(m, s, t))), m, graph.source, graph.target
        )

    def _exchange(self, m: Tensor, triplets: Tensor) -> Tensor:
        """Edge states with what their neighbours said (section 3.7, steps 1 and 2)."""
        x = self.layers_before_skip(mean_of(triplets, self.dense_ca(m)))
        return self.layers_after_skip(mean_of(m, x))


class OutputBlock(nn.Module):
    """A force along every edge. The energy branch is kept for published checkpoints and never evaluated."""

    def __init__(self, index: int, size: dict[str, int], *, energy: bool) -> None:
        super().__init__()
        atom, edge, rbf = size["emb_size_atom"], size["emb_size_edge"], size["emb_size_rbf"]
        if energy:
            unused = AtomUpdate(atom, edge, rbf, size["num_atom"], _scale("out_sum", index))
            self.dense_rbf, self.scale_sum, self.layers = unused.dense_rbf, unused.scale_sum, unused.layers
            self.out_energy = Linear(atom, 1)
        self.scale_rbf_F = _scale("out_had", index)
        self.seq_forces = nn.Sequential(Dense(edge, edge), *residuals(size["num_atom"], edge))
        self.out_forces = Linear(edge, 1)
        self.dense_rbf_F = Linear(rbf, edge)

    def forward(self, m: Tensor, rbf: Tensor) -> Float[Tensor, " edges"]:
        """F_e of section 3.8: w · (f ⊙ (F_rbf r)), as r · (F_rbfᵀ diag(w) f), which is 16 numbers an edge."""
        gate = (self.dense_rbf_F.weight * self.out_forces.weight.T * self.scale_rbf_F.scale_factor).T.contiguous()
        return by_rows(lambda m, r: at_least_single(product(self.seq_forces(m), gate) * r).sum(-1), m, rbf)


class LatticeBlock(nn.Module):
    """A stretch along every edge."""

    def __init__(self, size: dict[str, int]) -> None:
        super().__init__()
        edge = size["emb_size_edge"]
        self.mlp = nn.Sequential(Dense(edge, edge), Linear(edge, edge))
        self.dense_rbf_F = Linear(size["emb_size_rbf"], edge)
        self.out_forces = Linear(edge, 1)

    def forward(self, m: Tensor, rbf: Tensor) -> Float[Tensor, " edges"]:
        """φ_e of section 3.8. The second matrix is linear, so it is applied to the 16 radial columns instead."""
        gate = (self.mlp[1].weight.T @ (self.dense_rbf_F.weight * self.out_forces.weight.T)).T.contiguous()
        return by_rows(lambda m, r: at_least_single(product(self.mlp[0](m), gate) * r).sum(-1), m, rbf)


class GemNet(nn.Module):
    """GemNet-dT with a lattice head (section 3). Sizes are arguments; the defaults are the published ones."""

    def __init__(
        self,
        *,
        num_blocks: int = 4,
        emb_size_atom: int = 512,
        emb_size_edge: int = 512,
        latent_dim: int = 512,
        cutoff: float = 7.0,
        max_neighbors: int = 50,
        max_cell_images_per_dim: int = 5,
        num_spherical: int = 7,
        num_radial: int = 128,
        emb_size_trip: int = 64,
        emb_size_bil_trip: int = 64,
        emb_size_rbf: int = 16,
        emb_size_cbf: int = 16,
        num_before_skip: int = 1,
        num_after_skip: int = 2,
        num_concat: int = 1,
        num_atom: int = 3,
        energy: bool = False,
        heads: bool = True,
    ) -> None:
        super().__init__()
        size = {
            "emb_size_atom": emb_size_atom, "emb_size_edge": emb_size_edge, "emb_size_trip": emb_size_trip,
            "emb_size_bil_trip": emb_size_bil_trip, "emb_size_rbf": emb_size_rbf, "emb_size_cbf": emb_size_cbf,
            "num_before_skip": num_before_skip, "num_after_skip": num_after_skip, "num_concat": num_concat,
            "num_atom": num_atom,
        }
        self.cutoff, self.max_neighbors, self.max_images = cutoff, max_neighbors, max_cell_images_per_dim
        self.num_spherical = num_spherical
        self.atom_emb = AtomEmbedding(emb_size_atom)
        self.atom_latent_emb = nn.Linear(emb_size_atom + latent_dim, emb_size_atom)
        self.radial_basis = RadialBasis(num_radial, cutoff)
        self.edge_emb = EdgeEmbedding(emb_size_atom, num_radial, emb_size_edge)
        self.angle_edge_emb = nn.Sequential(
            nn.Linear(emb_size_edge + 3, emb_size_edge), nn.ReLU(), nn.Linear(emb_size_edge, emb_size_edge)
        )
        self.mlp_rbf3 = Linear(num_radial, emb_size_rbf)
        self.mlp_rbf_h = Linear(num_radial, emb_size_rbf)
        self.mlp_rbf_out = Linear(num_radial, emb_size_rbf)
        self.mlp_rbf_lattice = Linear(num_radial, emb_size_rbf)
        self.mlp_cbf3 = Cubic(num_spherical, num_radial, emb_size_cbf)
        self.int_blocks = nn.ModuleList(InteractionBlock(b, size) for b in range(num_blocks))
        stages = range(num_blocks + 1) if heads else ()  # an encoder alone has none
        self.out_blocks = nn.ModuleList(OutputBlock(i, size, energy=energy) for i in stages)
        self.lattice_out_blocks = nn.ModuleList(LatticeBlock(size) for _ in stages)

    def forward(self, crystals: Crystals, latent: Float[Tensor, "batch latent"], steer: Steer | None = None) -> Outputs:
        """Forces, lattice score and atom states of noisy crystals.

        `steer` changes the atom states before each interaction block, after that stage's outputs were read.
        """
        with single_precision(crystals.cell):
            graph = graphs.build(crystals, self.cutoff, self.max_neighbors, self.max_images)
        rbf, bases = self._bases(graph)
        h = self._embed_atoms(crystals, latent)
        m = self._embed_edges(h, rbf, crystals, graph)
        force, stretch = self._heads(0, m, bases)
        for b, block in enumerate(self.int_blocks):
            h = h if steer is None else steer(b, h)
            h, m = block(h, m, bases, graph)
            more_force, more_stretch = self._heads(b + 1, m, bases)
            force, stretch = force + more_force, stretch + more_stretch
        forces = sum_over_edges(at_least_single(force)[:, None] * graph.direction, graph.target, h.shape[0])
        return Outputs(forces, _stress(at_least_single(stretch), graph, len(crystals)), h)

    def _heads(self, stage: int, m: Tensor, bases: Bases) -> tuple[Tensor, Tensor]:
        """What one stage adds to forces and stretches along the edges; nothing where there are no heads."""
        if not self.out_blocks:
            return m.new_zeros(len(m)), m.new_zeros(len(m))
        return self.out_blocks[stage](m, bases.out), self.lattice_out_blocks[stage](m, bases.lattice)

    def _embed_atoms(self, crystals: Crystals, latent: Tensor) -> Tensor:
        """h⁰ = W [Emb(Z − 1); z] + b, the crystal's part multiplied once a crystal."""
        width = self.atom_emb.embeddings.weight.shape[-1]
        of_atom, of_latent = self.atom_latent_emb.weight.split([width, latent.shape[-1]], dim=1)
        per_class = self.atom_emb.embeddings.weight @ of_atom.T
        per_crystal = latent @ of_latent.T + self.atom_latent_emb.bias
        return per_class[crystals.numbers - 1] + per_crystal[crystals.owner]

    def _embed_edges(self, h: Tensor, rbf: Tensor, crystals: Crystals, graph: Graph) -> Tensor:
        """m⁰: both atoms, the distance, and the angles with the lattice vectors (section 3.5)."""
        joined, (first, _, second) = self.edge_emb.around(h), self.angle_edge_emb
        rows = torch.nn.functional.normalize(crystals.cell, dim=-1, eps=1e-8)
        angles = (rows[graph.owner] * graph.direction.unsqueeze(1)).sum(-1)

        def embedded(rbf: Tensor, angles: Tensor, source: Tensor, target: Tensor) -> Tensor:
            m = joined(rbf, source, target)
            m = product(torch.cat([m, angles.to(m)], dim=-1), first.weight, first.bias, after="relu")
            return product(m, second.weight, second.bias)

        return by_rows(embedded, rbf, angles, graph.source, graph.target)

    def _bases(self, graph: Graph) -> tuple[Tensor, Bases]:
        """Radial functions are the same both ways along an edge: computed for one half."""
        rbf = self.radial_basis(graph.distance[: graph.half])
        flat = [self.mlp_rbf3.weight, self.mlp_rbf_h.weight, self.mlp_rbf_out.weight, self.mlp_rbf_lattice.weight]
        of_four = product(rbf, torch.cat(flat))
        trip, atom, out, lattice = (torch.cat([v, v]) for v in of_four.split(len(flat[0]), dim=-1))
        degrees, _, cbf = self.mlp_cbf3.weight.shape
        radial = product(rbf, self.mlp_cbf3.weight.permute(2, 0, 1).flatten(0, 1)).unflatten(-1, (cbf, degrees))
        radial = torch.cat([radial, radial])  # R of section 3.4
        weights, at_zero = (w.to(radial) for w in degree_weights(self.num_spherical))
        harmonics = _pad(spherical_harmonics(graph.direction, self.num_spherical).to(radial), graph)
        spread = _pad((radial * weights).flatten(1), graph).unflatten(-1, radial.shape[1:])
        circular = (expand_degrees(spread) * harmonics.unsqueeze(-2)).flatten(1, 2)
        return torch.cat([rbf, rbf]), Bases(trip, atom, out, lattice, harmonics, circular, radial @ at_zero)


def _pad(per_edge: Float[Tensor, "edges width"], graph: Graph) -> Float[Tensor, "atoms degree width"]:
    """Each atom's incoming edges in a row, zeros behind them."""
    return torch.cat([per_edge, per_edge.new_zeros(1, per_edge.shape[-1])])[graph.slots]


def _stress(stretch: Float[Tensor, " edges"], graph: Graph, batch: int) -> Float[Tensor, "batch 3 3"]:
    """S = mean over a crystal's edges of φ û ûᵀ (section 3.8); zero for a crystal without edges."""
    outer = (stretch[:, None, None] * graph.direction.unsqueeze(-1) * graph.direction.unsqueeze(-2)).flatten(1)
    total = sum_over_edges(outer, graph.owner, batch)
    edges = stretch.new_zeros(batch).index_add_(0, graph.owner, torch.ones_like(stretch)).clamp(min=1)
    return (total / edges[:, None]).unflatten(-1, (3, 3))


SIZES: Sequence[str] = tuple(inspect.signature(GemNet).parameters)
