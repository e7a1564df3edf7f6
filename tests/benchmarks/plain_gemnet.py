"""GemNet-dT written down plainly: every triplet listed, every concatenation made, every branch computed.

The same weights and formulas as `model.network.gemnet`, to compare speed and memory with, and to agree with.
"""

import math

import torch
from torch.nn import functional as F

from model.crystals import Prediction
from model.network import graph as graphs
from model.network.denoiser import GemNetDenoiser, _fractional


def silu(x):
    return F.silu(x) / 0.6


def dense(layer, x):
    return silu(x @ layer.linear.weight.T)


def residual(layer, x):
    return (x + dense(layer.dense_mlp[1], dense(layer.dense_mlp[0], x))) / math.sqrt(2)


def stack(layers, x):
    for layer in layers:
        x = residual(layer, x) if hasattr(layer, "dense_mlp") else dense(layer, x)
    return x


def legendre(x, degrees):
    p = [torch.ones_like(x), x]
    for l in range(2, degrees):
        p.append(((2 * l - 1) * x * p[-1] - (l - 1) * p[-2]) / l)
    return torch.stack([math.sqrt((2 * l + 1) / (4 * math.pi)) * p[l] for l in range(degrees)], -1)


def triplets(graph, atoms):
    """Pairs of different edges with the same target."""
    edges = graph.source.shape[0]
    order = torch.argsort(graph.target, stable=True)
    degree = torch.bincount(graph.target, minlength=atoms)
    first = torch.cumsum(degree, 0) - degree
    count = degree[graph.target]
    out = torch.repeat_interleave(torch.arange(edges), count)
    within = torch.arange(out.shape[0]) - torch.repeat_interleave(torch.cumsum(count, 0) - count, count)
    other = order[first[graph.target[out]] + within]
    keep = other != out
    return out[keep], other[keep]


def add_up(x, index, size):
    return x.new_zeros(size, *x.shape[1:]).index_add_(0, index, x)


def plain(denoiser: GemNetDenoiser, noisy, t) -> Prediction:
    """The network's answer, the long way."""
    net = denoiser.gemnet
    atoms, batch = len(noisy.frac), len(noisy)
    graph = graphs.build(noisy, net.cutoff, net.max_neighbors)
    out, other = triplets(graph, atoms)
    source, target = graph.source, graph.target
    rbf = net.radial_basis(graph.distance)
    y = legendre((graph.direction[out] * graph.direction[other]).sum(-1).clamp(-1, 1), net.num_spherical)
    radial = torch.einsum("er,lrc->ecl", net.radial_basis(graph.distance), net.mlp_cbf3.weight)
    r3, rh, ro, rl = (rbf @ w.linear.weight.T for w in (net.mlp_rbf3, net.mlp_rbf_h, net.mlp_rbf_out, net.mlp_rbf_lattice))
    z = denoiser.noise_level_encoding(t)[noisy.owner]
    h = net.atom_latent_emb(torch.cat([net.atom_emb.embeddings(noisy.numbers - 1), z], -1))
    m = silu(torch.cat([h[source], h[target], rbf], -1) @ net.edge_emb.dense.linear.weight.T)
    cosines = torch.stack(
        [F.cosine_similarity(graph.direction, noisy.cell[graph.owner][:, i], dim=-1) for i in range(3)], -1
    )
    m = net.angle_edge_emb(torch.cat([m, cosines], -1))
    swap = graphs.swapped(torch.arange(len(source)))
    force, stretch, energy = 0, 0, 0
    for i, (head, lattice) in enumerate(zip(net.out_blocks, net.lattice_out_blocks, strict=True)):
        if i:
            h, m = interact(net.int_blocks[i - 1], h, m, graph, (out, other, y, radial, r3, rh, swap))
        f = stack(head.seq_forces, m) * (ro @ head.dense_rbf_F.linear.weight.T) * head.scale_rbf_F.scale_factor
        force = force + f @ head.out_forces.linear.weight.T
        if hasattr(head, "layers"):
            e = add_up(m * (ro @ head.dense_rbf.linear.weight.T), target, atoms) * head.scale_sum.scale_factor
            energy = energy + stack(head.layers, e) @ head.out_energy.linear.weight.T
        s = dense(lattice.mlp[0], m) @ lattice.mlp[1].linear.weight.T
        s = s * (rl @ lattice.dense_rbf_F.linear.weight.T)
        stretch = stretch + s @ lattice.out_forces.linear.weight.T
    forces = add_up(force * graph.direction, target, atoms)
    outer = stretch[:, :, None] * graph.direction[:, :, None] * graph.direction[:, None, :]
    edges = torch.bincount(graph.owner, minlength=batch).clamp(min=1)
    cell = add_up(outer, graph.owner, batch) / edges[:, None, None]
    return Prediction(frac=_fractional(forces, noisy), cell=cell, logits=denoiser.fc_atom(h))


def interact(block, h, m, graph, known):
    out, other, y, radial, r3, rh, swap = known
    trip = block.trip_interaction
    x = dense(trip.dense_ba, m) * (r3 @ trip.mlp_rbf.linear.weight.T) * trip.scale_rbf.scale_factor
    x = dense(trip.down_projection, x)
    around = add_up(y[:, :, None] * x[other][:, None, :], out, len(m))  # (edges, degrees, trip), one triplet at a time
    turned = radial @ around
    q = torch.einsum("eik,kio->eo", turned, trip.mlp_cbf.weight) * trip.scale_cbf_sum.scale_factor
    q = (dense(trip.up_projection_ca, q) + dense(trip.up_projection_ac, q)[swap]) / math.sqrt(2)
    x = (dense(block.dense_ca, m) + q) / math.sqrt(2)
    x = stack(block.layers_before_skip, x)
    m = stack(block.layers_after_skip, (m + x) / math.sqrt(2))
    g = add_up(m * (rh @ block.atom_update.dense_rbf.linear.weight.T), graph.target, len(h))
    h = (h + stack(block.atom_update.layers, g * block.atom_update.scale_sum.scale_factor)) / math.sqrt(2)
    new = silu(torch.cat([h[graph.source], h[graph.target], m], -1) @ block.concat_layer.dense.linear.weight.T)
    return h, (m + stack(block.residual_m, new)) / math.sqrt(2)
