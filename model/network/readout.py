"""A scalar read off a crystal: GemNet as an encoder, its atom states averaged (Appendix D.6.1)."""

from typing import Any

import torch
from torch import Tensor, nn

from model.crystals import Crystals
from model.network.embeddings import Scaler
from model.network.gemnet import GemNet
from model.network.products import at_least_single
from model.shapes import Float

ENCODER = {
    "num_blocks": 3, "cutoff": 10.0, "emb_size_atom": 128, "emb_size_edge": 128, "num_radial": 128, "latent_dim": 0,
}


class Readout(nn.Module):
    """Predicts one property of clean crystals, in the property's own unit.

    `encoder` are sizes as `GemNet` takes them; the paper's are the defaults.
    """

    def __init__(self, label: str, *, log10: bool = False, **encoder: Any) -> None:
        super().__init__()
        sizes = ENCODER | encoder
        self.arguments = {"label": label, "log10": log10, **encoder}
        self.label = label
        width = sizes["emb_size_atom"]
        self.encoder = GemNet(**sizes, heads=False)
        self.head = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1))
        self.scaler = Scaler(log10=log10)

    def standardised(self, crystals: Crystals) -> Float[Tensor, " batch"]:
        """The prediction in units of the labels' spread, as the loss sees it."""
        nothing = crystals.frac.new_zeros(len(crystals), 0)
        atoms = at_least_single(self.encoder(crystals, nothing).atoms)
        total = atoms.new_zeros(len(crystals), atoms.shape[-1]).index_add(0, crystals.owner, atoms)
        return self.head(total / crystals.n_atoms[:, None]).squeeze(-1)

    def forward(self, crystals: Crystals) -> Float[Tensor, " batch"]:
        """The prediction in the property's unit."""
        value = self.standardised(crystals) * self.scaler.stds + self.scaler.means
        return torch.pow(10.0, value) if self.scaler.log10 else value
