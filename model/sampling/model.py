"""CrystalModel: a denoiser, the diffusion it was taught, and what it remembers of its data."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from model.conditions import Conditions
from model.crystals import Crystals, Prediction
from model.diffusion.crystal import CrystalDiffusion
from model.statistics import Statistics


@dataclass(frozen=True, kw_only=True)
class CrystalModel:
    """All that is needed to generate crystals.

    `base` is the hash of the model whose weights the adapters sit on, where that model's weights were left alone;
    `facts` is what its folder says of it (source, training, licence), for people.
    """

    name: str
    denoiser: nn.Module
    diffusion: CrystalDiffusion
    statistics: Statistics
    properties: tuple[str, ...] = ()
    base: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def predict(self, noisy: Crystals, t: Tensor, conditions: Conditions | None = None) -> Prediction:
        """Scores times the noise's standard deviation, and logits of the elements."""
        return self.diffusion.read(self.denoiser(noisy, t, conditions), noisy, t)

    @property
    def hash(self) -> str:
        """sha256 of names and values of all weights, shortened to 16 digits."""
        return weights_hash(self.denoiser)

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(p.numel() for p in self.denoiser.parameters())

    @property
    def predicts_structures_only(self) -> bool:
        """Whether it was taught crystal structure prediction: it can place atoms but not choose elements."""
        return self.diffusion.species is None


def weights_hash(denoiser: nn.Module, *, of: str = "") -> str:
    """Hash of the weights whose names start with `of`; the same on every device."""
    digest = hashlib.sha256()
    for name, value in sorted(denoiser.state_dict().items()):
        if name.startswith(of):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().to(torch.float32).numpy().tobytes())
    return digest.hexdigest()[:16]
