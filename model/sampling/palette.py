"""Hard constraints on elements, kept while atoms are told theirs: what may appear, what must, and how often."""

from dataclasses import dataclass

import torch
from torch import Tensor

from model import elements
from model.constraints import Constraints, parse_formula, reduced
from model.crystals import MASK, Crystals
from model.diffusion.species import draw
from model.shapes import Bool, Float, Int

N_ELEMENTS = MASK - 1
UNLIMITED = 1_000_000


@dataclass(frozen=True)
class Palette:
    """For each crystal, how many more atoms of each element it needs and may have. Column = atomic number − 1."""

    needed: Int[Tensor, "batch 100"]
    most: Int[Tensor, "batch 100"]

    @staticmethod
    def of(constraints: Constraints, n_atoms: Int[Tensor, " batch"]) -> "Palette":
        """The palette of every crystal: exact counts for a formula, one of each for a chemical system."""
        needed = torch.zeros(len(n_atoms), N_ELEMENTS, dtype=torch.long)
        most = torch.zeros_like(needed)
        most[:, [elements.NUMBERS[s] - 1 for s in constraints.palette]] = UNLIMITED
        if constraints.formula is not None:
            unit = formula_unit(constraints)
            copies = n_atoms.cpu() // sum(unit.values())
            for symbol, count in unit.items():
                needed[:, elements.NUMBERS[symbol] - 1] = count * copies
            most = needed.clone()
        elif constraints.chemical_system is not None:
            needed[:, [elements.NUMBERS[s] - 1 for s in constraints.chemical_system]] = 1
        return Palette(needed.to(n_atoms.device), most.to(n_atoms.device))

    def __getitem__(self, rows: Tensor | slice) -> "Palette":
        """The palettes of some crystals."""
        return Palette(self.needed[rows], self.most[rows])

    def assign(
        self, p: Float[Tensor, "atoms 100"], noisy: Crystals, told: Bool[Tensor, " atoms"],
        uniform: Float[Tensor, " atoms"] | None,
    ) -> Int[Tensor, " atoms"]:
        """Elements for the atoms that are told theirs in this step, so that no crystal can end in breach.

        Atoms of a crystal are served one after another, all crystals at once. Where as many atoms are undecided as
        are still needed, only needed elements are drawn. Without uniform numbers the likeliest element is taken.
        """
        numbers, batch = noisy.numbers.clone(), len(noisy)
        counts = self._counts(noisy)
        undecided = _undecided(noisy)
        for atoms in _rounds(told, noisy.owner, batch):
            rows = noisy.owner[atoms]
            short = (self.needed[rows] - counts[rows]).clamp(min=0)
            forced = (short.sum(-1) >= undecided[rows])[:, None]
            allowed = torch.where(forced, short > 0, counts[rows] < self.most[rows])
            weights = _supported(p[atoms], allowed)
            chosen = weights.argmax(-1) if uniform is None else draw(weights, uniform[atoms])
            numbers[atoms] = chosen + 1
            counts[rows, chosen] += 1
            undecided[rows] -= 1
        return numbers

    def admit(self, noisy: Crystals, fixed: Bool[Tensor, " atoms"]) -> Crystals:
        """Crystals from which the palette can still be kept: atoms that break it forget their element again.

        Only atoms that are not fixed can forget. Where too many of an element are decided, or too few atoms are left
        for what is needed, all of that crystal's free atoms forget.
        """
        decided = noisy.numbers != MASK
        element = (noisy.numbers - 1).clamp(max=N_ELEMENTS - 1)
        barred = decided & ~fixed & (self.most[noisy.owner, element] == 0)
        numbers = torch.where(barred, MASK, noisy.numbers)
        afresh = ~self.assignable(noisy.replace(numbers=numbers))
        return noisy.replace(numbers=torch.where(afresh[noisy.owner] & ~fixed, MASK, numbers))

    def assignable(self, crystals: Crystals) -> Bool[Tensor, " batch"]:
        """Which crystals can still keep their palette: nothing in excess, and atoms left for all that is needed."""
        counts, undecided = self._counts(crystals), _undecided(crystals)
        return (counts <= self.most).all(-1) & ((self.needed - counts).clamp(min=0).sum(-1) <= undecided)

    def kept(self, crystals: Crystals) -> Bool[Tensor, " batch"]:
        """Which finished crystals keep their palette: every decided atom allowed, every need met, none undecided."""
        counts, undecided = self._counts(crystals), _undecided(crystals)
        return (undecided == 0) & (counts >= self.needed).all(-1) & (counts <= self.most).all(-1)

    def _counts(self, crystals: Crystals) -> Int[Tensor, "batch 100"]:
        decided = crystals.numbers != MASK
        flat = crystals.owner[decided] * N_ELEMENTS + crystals.numbers[decided] - 1
        return torch.bincount(flat, minlength=len(crystals) * N_ELEMENTS).reshape(len(crystals), N_ELEMENTS)


def _undecided(crystals: Crystals) -> Int[Tensor, " batch"]:
    """How many atoms of each crystal have not been told their element."""
    none = torch.zeros(len(crystals), dtype=torch.long, device=crystals.device)
    return none.index_add(0, crystals.owner, (crystals.numbers == MASK).long())


def formula_unit(constraints: Constraints) -> dict[str, int]:
    """The smallest whole-number formula of the constraints."""
    return reduced(parse_formula(constraints.formula or ""))


def _rounds(told: Tensor, owner: Tensor, batch: int) -> list[Tensor]:
    """The told atoms in rounds of at most one a crystal, in the order of their places."""
    atoms = told.nonzero().squeeze(-1)
    if not len(atoms):
        return []
    count = torch.bincount(owner[atoms], minlength=batch)
    rank = torch.arange(len(atoms), device=atoms.device) - (torch.cumsum(count, 0) - count)[owner[atoms]]
    return [atoms[rank == k] for k in range(int(rank.max()) + 1)]


def _supported(p: Tensor, allowed: Tensor) -> Tensor:
    """Probabilities on the allowed elements; equal ones where the network gives none of them any."""
    weights = torch.nan_to_num(p, nan=0.0).clamp(min=0) * allowed
    return torch.where(weights.sum(-1, keepdim=True) > 0, weights, allowed.to(p))
