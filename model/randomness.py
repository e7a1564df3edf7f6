"""Random numbers that belong to a crystal: the same whatever the batch, the device and the order of work.

Philox-4x32-10 (Salmon et al., SC 2011) is a pure function from (key, counter) to four random words. The seed is the
key; the counter names the crystal, the attempt, the draw and the place inside it. Nothing is stored but the draw's
number, so any draw of any crystal can be made again on its own.
"""

import math

import torch
from torch import Tensor

from model.shapes import Float, Int

_LOW = 0xFFFFFFFF
_MULTIPLY = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10


def philox(counter: Int[Tensor, "n 4"], seed: int) -> Int[Tensor, "n 4"]:
    """Four random 32-bit words (held in int64) for each counter of four 32-bit words.

    Products wrap modulo 2⁶⁴, which leaves both halves of the 32 x 32-bit product right.
    """
    a, b, c, d = counter.unbind(-1)
    k0, k1 = seed & _LOW, (seed >> 32) & _LOW
    for _ in range(_ROUNDS):
        first, second = a * _MULTIPLY[0], c * _MULTIPLY[1]
        a, b, c, d = (
            ((second >> 32) & _LOW) ^ b ^ k0,
            second & _LOW,
            ((first >> 32) & _LOW) ^ d ^ k1,
            first & _LOW,
        )
        k0, k1 = (k0 + _WEYL[0]) & _LOW, (k1 + _WEYL[1]) & _LOW
    return torch.stack([a, b, c, d], dim=-1)


class Streams:
    """One stream of random numbers for each crystal of a batch.

    Parameters
    ----------
    seed
        Of the run.
    index
        Number of each crystal in its run (or in its data set).
    attempt
        How often each crystal has been begun anew (or the epoch): a fresh attempt is a fresh stream.

    """

    def __init__(self, seed: int, index: Int[Tensor, " batch"], attempt: Int[Tensor, " batch"] | None = None) -> None:
        self.seed = int(seed)
        self.index = index.long()
        self.attempt = torch.zeros_like(self.index) if attempt is None else attempt.long()
        self.draw = 0

    def __len__(self) -> int:
        """Number of streams."""
        return self.index.shape[0]

    def __getitem__(self, rows: Int[Tensor, " picked"] | slice) -> "Streams":
        """The streams of some crystals, standing where these stand."""
        picked = Streams(self.seed, self.index[rows], self.attempt[rows])
        picked.draw = self.draw
        return picked

    def normal_atoms(self, n_atoms: Int[Tensor, " batch"], width: int = 3) -> Float[Tensor, "atoms width"]:
        """Standard normal numbers for every atom."""
        owner, place = _places(n_atoms)
        return _normal(self._words(owner, place, -(-width // 4)))[:, :width]

    def uniform_atoms(self, n_atoms: Int[Tensor, " batch"], width: int = 1) -> Float[Tensor, "atoms width"]:
        """Uniform numbers in (0, 1) for every atom."""
        owner, place = _places(n_atoms)
        return _uniform(self._words(owner, place, -(-width // 4)))[:, :width].float()

    def normal(self, width: int) -> Float[Tensor, "batch width"]:
        """Standard normal numbers for every crystal."""
        return _normal(self._words(*self._whole(), -(-width // 4)))[:, :width]

    def uniform(self, width: int = 1) -> Float[Tensor, "batch width"]:
        """Uniform numbers in (0, 1) for every crystal."""
        return _uniform(self._words(*self._whole(), -(-width // 4)))[:, :width].float()

    def _whole(self) -> tuple[Tensor, Tensor]:
        rows = torch.arange(len(self), device=self.index.device)
        return rows, torch.zeros_like(rows)

    def _words(self, owner: Tensor, place: Tensor, blocks: int) -> Int[Tensor, "rows words"]:
        """`blocks` times four words for each (crystal, place); counts as one draw."""
        block = torch.arange(blocks, device=place.device)
        slot = (place[:, None] * blocks + block).reshape(-1)
        index, attempt = (v[owner].repeat_interleave(blocks) for v in (self.index, self.attempt))
        counter = torch.stack([slot, torch.full_like(slot, self.draw), index, attempt], dim=-1)
        self.draw += 1
        return philox(counter, self.seed).reshape(place.shape[0], -1)


def _places(n_atoms: Int[Tensor, " batch"]) -> tuple[Tensor, Tensor]:
    owner = torch.repeat_interleave(torch.arange(len(n_atoms), device=n_atoms.device), n_atoms)
    first = (torch.cumsum(n_atoms, 0) - n_atoms)[owner]
    return owner, torch.arange(owner.shape[0], device=n_atoms.device) - first


def _uniform(words: Tensor) -> Tensor:
    return (words.double() + 0.5) / 2**32


def _normal(words: Tensor) -> Tensor:
    """Box and Muller, in double precision so that devices agree to float32."""
    radius, angle = _uniform(words).chunk(2, dim=-1)
    radius, angle = torch.sqrt(-2 * torch.log(radius)), 2 * math.pi * angle
    return torch.cat([radius * torch.cos(angle), radius * torch.sin(angle)], dim=-1).float()
