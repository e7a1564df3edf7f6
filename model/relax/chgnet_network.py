"""CHGNet's network arranged for speed: the same weights and the same numbers with less arithmetic.

CHGNet puts what two atoms and their bond know side by side, edge by edge, and multiplies by one matrix. That product
splits into one for the atoms, one for the bonds and one for the angles, each taken once and only then looked up by
edge. Only the short bonds, which meet at angles, ever change; the others stay a linear image of their radial basis. The
last angle layer, whose answer nobody reads, is left out. Source: Deng et al., Nat. Mach. Intell. 5, 1031 (2023).
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import layer_norm, linear, silu

from model.shapes import Float, Int

WIDTH = 64
LAYERS = 4


class Featurised(NamedTuple):
    """A batch as the network reads it: who meets whom, and the lengths and angles that depend on the positions."""

    species: Int[Tensor, " atoms"]
    owner: Int[Tensor, " atoms"]
    crystals: int
    center: Int[Tensor, " edges"]
    neighbor: Int[Tensor, " edges"]
    bond: Int[Tensor, " edges"]
    short: Int[Tensor, " short"]  # the bonds that meet at angles
    apex: Int[Tensor, " angles"]  # the atom of each angle, and its two bonds counted among the short ones
    left: Int[Tensor, " angles"]
    right: Int[Tensor, " angles"]
    length: Float[Tensor, " bonds"]
    cosine: Float[Tensor, " angles"]


class Network:
    """CHGNet 0.3.0: energies without the composition's part, and moments. Not a module: it is never trained here."""

    def __init__(self, weights: Mapping[str, Tensor], long: float, short: float, smoothness: int, device: str) -> None:
        self.weights = {name: weight.to(device).contiguous() for name, weight in weights.items()}
        self.long, self.short, self.smoothness = long, short, smoothness
        self.atom_layers = [self._gate(f"atom_conv_layers.{k}.twoBody_atom", "0") for k in range(LAYERS)]
        embedding = self.weights["bond_embedding.weight"].T
        self.far_parts = [embedding @ gate.parts[1] for gate in self.atom_layers]  # from the radial basis at once
        self.bond_layers = [self._gate(f"bond_conv_layers.{k}.twoBody_bond", "0") for k in range(LAYERS - 1)]
        # the last angle layer's answer is read by nothing
        self.angle_layers = [self._gate(f"angle_layers.{k}.twoBody_bond", "1") for k in range(LAYERS - 2)]

    def __call__(self, batch: Featurised) -> tuple[Float[Tensor, " batch"], Float[Tensor, " atoms"]]:
        """Energy of each crystal in eV, the composition's part apart, and the moment of each atom in µB."""
        w = self.weights
        atoms = w["atom_embedding.embedding.weight"][batch.species - 1]
        far = self._bessel(batch.length, "ag", self.long)
        near = self._bessel(batch.length[batch.short], "bg", self.short)
        reach = (far @ w["bond_weights_ag.weight"].T)[batch.bond]
        close = near @ w["bond_weights_bg.weight"].T
        close = close[batch.left] * close[batch.right]
        start = far[batch.short] @ w["bond_embedding.weight"].T
        gain = torch.zeros_like(start)  # what the short bonds have learned on top
        angles = self._fourier(batch.cosine) @ w["angle_embedding.weight"].T
        moments = atoms.new_zeros(len(atoms))
        for k in range(LAYERS):
            if k == LAYERS - 1:
                moments = linear(atoms, w["site_wise.weight"], w["site_wise.bias"])[:, 0].abs()
            atoms = self._update_atoms(k, atoms, far, gain, reach, batch)
            if k < LAYERS - 1:
                gain = gain + self._learned(k, atoms, start + gain, angles, close, batch)
            if k < LAYERS - 2:
                gate = self.angle_layers[k]
                angles = angles + gate(self._around(gate, atoms, start + gain, angles, batch))
        atoms = layer_norm(atoms, (WIDTH,), w["readout_norm.weight"], w["readout_norm.bias"])
        for k in (0, 2, 4):
            atoms = silu(linear(atoms, w[f"mlp.layers.{k}.weight"], w[f"mlp.layers.{k}.bias"]))
        each = linear(atoms, w["mlp.layers.7.weight"], w["mlp.layers.7.bias"])[:, 0]
        return each.new_zeros(batch.crystals).index_add(0, batch.owner, each), moments

    def _update_atoms(
        self, k: int, atoms: Tensor, far: Tensor, gain: Tensor, reach: Tensor, batch: Featurised
    ) -> Tensor:
        gate = self.atom_layers[k]
        center, bond, neighbor = gate.parts
        bonds = far @ self.far_parts[k]
        if k:
            bonds = bonds.index_add(0, batch.short, gain @ bond)
        total = _looked_up(
            (atoms @ center + gate.bias, batch.center), (bonds, batch.bond), (atoms @ neighbor, batch.neighbor)
        )
        summed = torch.zeros_like(atoms).index_add(0, batch.center, gate(total) * reach)
        return atoms + summed @ self.weights[f"atom_conv_layers.{k}.mlp_out.layers.1.weight"].T

    def _learned(
        self, k: int, atoms: Tensor, bonds: Tensor, angles: Tensor, close: Tensor, batch: Featurised
    ) -> Tensor:
        """What the short bonds learn from the angles they make."""
        gate = self.bond_layers[k]
        message = gate(self._around(gate, atoms, bonds, angles, batch)) * close
        summed = torch.zeros_like(bonds).index_add(0, batch.left, message)
        return summed @ self.weights[f"bond_conv_layers.{k}.mlp_out.layers.1.weight"].T

    @staticmethod
    def _around(gate: "Gate", atoms: Tensor, bonds: Tensor, angles: Tensor, batch: Featurised) -> Tensor:
        """What meets at each angle: both bonds, the angle itself and the atom."""
        left, right, angle, apex = gate.parts
        total = _looked_up(
            (bonds @ left, batch.left), (bonds @ right, batch.right), (atoms @ apex + gate.bias, batch.apex)
        )
        return total.addmm_(angles, angle)

    def _bessel(self, length: Float[Tensor, " bonds"], which: str, cutoff: float) -> Float[Tensor, "bonds radial"]:
        """Bessel functions of the distance that fade out smoothly at the cutoff."""
        frequencies = self.weights[f"bond_basis_expansion.rbf_expansion_{which}.frequencies"]
        near, p = length / cutoff, self.smoothness
        fade = 1 - (p + 1) * (p + 2) / 2 * near**p + p * (p + 2) * near ** (p + 1) - p * (p + 1) / 2 * near ** (p + 2)
        fade = torch.where(near < 1, fade, torch.zeros_like(near)) * math.sqrt(2 / cutoff) / length
        return torch.sin(near[:, None] * frequencies) * fade[:, None]

    def _fourier(self, cosine: Float[Tensor, " angles"]) -> Float[Tensor, "angles angular"]:
        """Sines and cosines of multiples of the angle."""
        frequencies = self.weights["angle_basis_expansion.fourier_expansion.frequencies"]
        angle = torch.acos(cosine * (1 - 1e-6))  # as CHGNet keeps the arc cosine differentiable
        times = angle[:, None] * frequencies
        constant = torch.full_like(angle, 1 / math.sqrt(2))[:, None]
        return torch.cat([constant, torch.sin(times), torch.cos(times)], dim=1) / math.sqrt(math.pi)

    def _gate(self, prefix: str, first: str) -> "Gate":
        return Gate(self.weights, prefix, first)


def _looked_up(*tables: tuple[Tensor, Tensor]) -> Tensor:
    """The sum of rows looked up in several tables, in one buffer."""
    (table, rows), *others = tables
    total = table.index_select(0, rows)
    for table, rows in others:
        total += table.index_select(0, rows)
    return total


class Gate:
    """CHGNet's gated layer: a core let through by a gate, both read from one matrix product.

    `parts` are that matrix cut by what it is multiplied with, for the caller to apply before looking up by edge.
    """

    def __init__(self, weights: Mapping[str, Tensor], prefix: str, first: str) -> None:
        def both(name: str) -> list[Tensor]:
            return [weights[f"{prefix}.{part}.{name}"] for part in ("mlp_core", "mlp_gate")]

        matrix = torch.cat(both(f"layers.{first}.weight"))
        self.parts = [part.T.contiguous() for part in matrix.split(WIDTH, dim=1)]
        self.bias = torch.cat(both(f"layers.{first}.bias"))
        deep = f"{prefix}.mlp_core.layers.3.weight" in weights
        self.second = list(zip(both("layers.3.weight"), both("layers.3.bias"), strict=True)) if deep else None
        self.norms = [(weights[f"{prefix}.bn{k}.weight"], weights[f"{prefix}.bn{k}.bias"]) for k in (1, 2)]

    def __call__(self, total: Float[Tensor, "rows both"]) -> Float[Tensor, "rows width"]:
        """What passes the gate, from the sum of all parts' products."""
        if self.second is None:
            core, gate = total.split(WIDTH, 1)
        else:
            halves = silu(total).split(WIDTH, 1)
            core, gate = (linear(half, *second) for half, second in zip(halves, self.second, strict=True))
        core, gate = (layer_norm(half, (WIDTH,), *norm) for half, norm in zip((core, gate), self.norms, strict=True))
        return silu(core) * torch.sigmoid(gate)
