"""Property adapters: small networks before every interaction block, which begin as silence."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from model.shapes import Bool, Float


class Adapters(nn.Module):
    """For each property and block: h ← h + known · Mixin(Adapt([h; g])), all reading the same h (section 5.1, B44)."""

    def __init__(self, properties: Sequence[str], blocks: int, width: int) -> None:
        super().__init__()
        self.cond_adapt_layers = nn.ModuleDict({p: nn.ModuleList() for p in properties})
        self.cond_mixin_layers = nn.ModuleDict({p: nn.ModuleList() for p in properties})
        for p in properties:
            for _ in range(blocks):
                self.cond_adapt_layers[p].append(
                    nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, width))
                )
                mixin = nn.Linear(width, width, bias=False)
                nn.init.zeros_(mixin.weight)
                self.cond_mixin_layers[p].append(mixin)

    def forward(
        self,
        block: int,
        h: Float[Tensor, "atoms width"],
        embedded: Mapping[str, Float[Tensor, "batch width"]],
        known: Mapping[str, Bool[Tensor, " batch"]],
        owner: Tensor,
    ) -> Float[Tensor, "atoms width"]:
        """The atom states with what the known conditions have to say."""
        said = torch.zeros_like(h)
        for name, vector in embedded.items():
            adapt, mixin = self.cond_adapt_layers[name][block], self.cond_mixin_layers[name][block]
            of_h, of_g = adapt[0].weight.split([h.shape[-1], vector.shape[-1]], dim=1)
            hidden = h @ of_h.T + (vector @ of_g.T + adapt[0].bias)[owner]
            word = mixin(adapt[2](torch.relu(hidden)))
            said = said + known[name][owner].to(h)[:, None] * word
        return h + said
