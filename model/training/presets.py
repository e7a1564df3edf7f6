"""Named sizes and schedules of a training run, from a laptop's minutes to the paper's own."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

TIMES = ("even", "plain")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything a training run is told, in plain numbers.

    `network` are the arguments of `GemNetDenoiser`. The learning rate rises over `warmup` steps, stays, and falls to
    nothing over the last `decay` share of them. `average` is the decay of the weights' moving average (0: none).
    """

    network: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 20_000
    batch_size: int = 32
    learning_rate: float = 1e-3
    warmup: int = 500
    decay: float = 0.3
    average: float = 0.999
    clip: float = 1.0
    clip_by: str = "norm"
    know_cells: bool = True  # tell the diffusion the mean and spread of the training cells (LatticeNoise.beforehand)
    hybrid: float = 0.05  # λ_CE, weight of the plain cross entropy of the elements
    seed: int = 0
    validate_every: int = 1000
    validation_crystals: int = 1024
    checkpoint_every: int = 500
    precision: str = "32-true"
    fused: bool = False  # compile the network's blocks (model.network.fusing)
    times: str = "even"  # over a batch: even, each crystal its own share of [0, 1); plain: each anywhere, as published
    forget: float = 0.2  # chance that a known condition is hidden from the model, p_unconditional
    patience: int = 0  # validations without a lower loss after which a run ends; 0: it never ends early

    def __post_init__(self) -> None:
        if self.times not in TIMES:
            raise ValueError(f"The times of a recipe are {' or '.join(TIMES)}; found {self.times!r}.")

    def but(self, **changes: Any) -> "Recipe":
        """The same recipe with some entries changed; None changes nothing."""
        return replace(self, **{name: value for name, value in changes.items() if value is not None})


_SMALL = {
    "hidden": 128, "num_blocks": 3, "max_neighbors": 20, "num_radial": 64, "emb_size_trip": 32,
    "emb_size_bil_trip": 32, "num_atom": 1, "num_after_skip": 1,
}

PRESETS: Mapping[str, Recipe] = MappingProxyType({
    "tiny": Recipe(
        network={**_SMALL, "hidden": 32, "num_blocks": 1, "num_radial": 16, "emb_size_trip": 8, "emb_size_bil_trip": 8},
        steps=200, warmup=20, batch_size=16, validate_every=100, validation_crystals=32, checkpoint_every=50,
        average=0.95,
    ),
    "small": Recipe(network=_SMALL),
    "medium": Recipe(
        network={"hidden": 256, "num_blocks": 4, "max_neighbors": 30, "num_atom": 2, "num_radial": 96},
        steps=100_000, batch_size=128, learning_rate=5e-4, warmup=1000, average=0.9995,
    ),
    # the published sizes; batch over all devices, learning rate and clipping as in section 4.3
    "paper": Recipe(
        network={"energy": True}, steps=1_740_000, batch_size=512, learning_rate=1e-4, warmup=0, decay=0.0,
        average=0.0, validate_every=5000, clip=0.5, clip_by="value", know_cells=False, hybrid=0.01, times="plain",
    ),
})

# Adapters alone: the base answers as before where a condition is hidden, so hiding the only one would teach nothing.
ADAPTER = Recipe(
    steps=2000, learning_rate=1e-3, warmup=50, decay=0.5, average=0.99, forget=0.1, validate_every=100,
    validation_crystals=512, checkpoint_every=100, patience=6,
)
