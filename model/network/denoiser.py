"""GemNetDenoiser: noisy crystals, time and conditions in; scores and elements out."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from model.conditions import PROPERTIES, Conditions, Property
from model.crystals import N_CLASSES, Crystals, Prediction
from model.network.adapters import Adapters
from model.network.embeddings import NoiseLevelEncoding, PropertyEmbedding
from model.network.gemnet import GemNet
from model.network.products import at_least_single, single_precision
from model.shapes import Float


class GemNetDenoiser(nn.Module):
    """The published score network, with adapters for the properties it listens to.

    Parameters
    ----------
    hidden
        Width of the time encoding and of the condition vectors.
    properties
        What adapters listen to; none for a base model.
    log10
        Which of them are heard on a logarithmic scale; by default as PROPERTIES says.
    gemnet
        Sizes of the network, as `GemNet` takes them.

    """

    def __init__(
        self,
        *,
        hidden: int = 512,
        properties: Sequence[str] = (),
        log10: Sequence[str] | None = None,
        **gemnet: Any,
    ) -> None:
        super().__init__()
        if log10 is None:
            log10 = [p for p in properties if PROPERTIES.get(p, Property()).log10]
        sizes = {"emb_size_atom": hidden, "emb_size_edge": hidden, "latent_dim": hidden, **gemnet}
        self.arguments = {"hidden": hidden, "properties": tuple(properties), "log10": tuple(log10), **gemnet}
        self.properties = tuple(properties)
        self.noise_level_encoding = NoiseLevelEncoding(hidden)
        self.gemnet = GemNet(**sizes)
        self.adapters = Adapters(properties, len(self.gemnet.int_blocks), sizes["emb_size_atom"])
        self.property_embeddings_adapt = nn.ModuleDict(
            {p: PropertyEmbedding(p, hidden, log10=p in log10) for p in properties}
        )
        self.fc_atom = nn.Linear(sizes["emb_size_atom"], N_CLASSES)

    def forward(self, noisy: Crystals, t: Float[Tensor, " batch"], conditions: Conditions | None = None) -> Prediction:
        """Scores times the noise's standard deviation, and logits of the elements (section 3.9)."""
        outputs = self.gemnet(noisy, self.noise_level_encoding(t), self._steer(noisy, conditions))
        return Prediction(
            frac=_fractional(outputs.forces, noisy),
            cell=outputs.stress,
            logits=at_least_single(self.fc_atom(outputs.atoms)),
        )

    def _steer(self, noisy: Crystals, conditions: Conditions | None) -> Any:
        """How the known conditions change atom states; None where nothing is known of this model's properties."""
        if conditions is None:
            return None
        heard = {p: conditions.known[p] for p in self.properties if p in conditions.known}
        if not any(bool(known.any()) for known in heard.values()):
            return None
        embedded = {p: self.property_embeddings_adapt[p](conditions.values[p], heard[p]) for p in heard}
        owner = noisy.owner
        return lambda block, h: self.adapters(block, h, embedded, heard, owner)


def _fractional(forces: Float[Tensor, "atoms 3"], noisy: Crystals) -> Float[Tensor, "atoms 3"]:
    """Cartesian displacements as fractional ones of the noisy cell: f L⁻¹ (trap 32)."""
    with single_precision(noisy.cell):
        inverse = torch.linalg.inv_ex(noisy.cell).inverse
        return torch.bmm(forces[:, None], inverse[noisy.owner]).squeeze(1)
