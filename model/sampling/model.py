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

    `groups` says which properties were taught together; by default all were. `base` is the hash of the model whose
    weights the adapters sit on, where that model's weights were left alone;
    `facts` is what its folder says of it (source, training, licence), for people.
    """

    name: str
    denoiser: nn.Module
    diffusion: CrystalDiffusion
    statistics: Statistics
    properties: tuple[str, ...] = ()
    groups: tuple[tuple[str, ...], ...] | None = None
    base: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def predict(self, noisy: Crystals, t: Tensor, conditions: Conditions | None = None) -> Prediction:
        """Scores times the noise's standard deviation, and logits of the elements."""
        return self.diffusion.read(self.denoiser(noisy, t, conditions), noisy, t)

    @property
    def hash(self) -> str:
        """sha256 of names and values of all weights, shortened to 16 digits."""
        return _digest(self.denoiser.state_dict())

    @property
    def taught_together(self) -> tuple[tuple[str, ...], ...]:
        """Properties in the groups that were taught together; guidance has one term for each group."""
        return self.groups if self.groups is not None else ((self.properties,) if self.properties else ())

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(p.numel() for p in self.denoiser.parameters())

    @property
    def predicts_structures_only(self) -> bool:
        """Whether it was taught crystal structure prediction: it can place atoms but not choose elements."""
        return self.diffusion.species is None


ADAPTERS = ("adapters.", "property_embeddings_adapt.")  # names of weights that a base model does not have


def weights_hash(denoiser: nn.Module) -> str:
    """Hash of a network's weights without its adapters: of a base model and of what sits on it, the same."""
    return _digest({k: v for k, v in denoiser.state_dict().items() if not k.startswith(ADAPTERS)})


def _digest(weights: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().to(torch.float32).numpy().tobytes())
    return digest.hexdigest()[:16]
