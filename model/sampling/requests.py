"""From what a person asks to what a walk needs: sizes, targets, conditions, starting points."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from model.conditions import Conditions
from model.constraints import ConstraintError, Constraints, Target
from model.crystals import MASK, Crystals
from model.network.embeddings import multi_hot
from model.randomness import Streams
from model.sampling.model import CrystalModel
from model.sampling.palette import Palette, formula_unit
from model.sampling.walk import Given
from model.shapes import Bool, Float, Int


@dataclass(frozen=True, kw_only=True)
class Start:
    """A crystal to begin from: parts of it are kept, the rest is made anew or varied.

    Where more atoms are asked for than it has, the others are made from nothing, as guests in a kept host.

    Parameters
    ----------
    crystal
        A batch of one, its cell symmetric (as `model.cell.symmetric` gives it).
    keep_sites, keep_elements
        Which atoms stay where they are, and which stay what they are; None is none.
    keep_cell
        Whether the lattice stays.
    strength
        Where the walk begins, in (0, 1]: 1 forgets all that is not kept, small values vary it slightly.

    """

    crystal: Crystals
    keep_sites: Bool[Tensor, " atoms"] | None = None
    keep_elements: Bool[Tensor, " atoms"] | None = None
    keep_cell: bool = False
    strength: float = 1.0

    def __post_init__(self) -> None:
        if len(self.crystal) != 1:
            raise ConstraintError(f"A start is one crystal; found {len(self.crystal)}.")
        if not 0 < self.strength <= 1:
            raise ConstraintError(f"The strength of a variation lies in (0, 1]; found {self.strength}.")
        for name in ("keep_sites", "keep_elements"):
            mask = getattr(self, name)
            if mask is not None and len(mask) != len(self.crystal.frac):
                raise ConstraintError(f"{name} needs one entry an atom ({len(self.crystal.frac)}); found {len(mask)}.")

    @property
    def fixed_elements(self) -> Bool[Tensor, " atoms"]:
        """Which atoms stay what they are."""
        if self.keep_elements is None:
            return torch.zeros(len(self.crystal.frac), dtype=torch.bool)
        return self.keep_elements.bool()

    def to_json(self) -> dict[str, Any]:
        """In plain numbers and lists, all that is needed to begin there again."""
        def told(mask: Tensor | None) -> list[bool] | None:
            return None if mask is None else mask.bool().tolist()

        return {
            "crystal": {
                "frac": self.crystal.frac.tolist(), "cell": self.crystal.cell[0].tolist(),
                "numbers": self.crystal.numbers.tolist(),
            },
            "keep_sites": told(self.keep_sites), "keep_elements": told(self.keep_elements),
            "keep_cell": self.keep_cell, "strength": self.strength,
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "Start":
        """A start from what `to_json` gave."""
        def mask(kept: Sequence[bool] | None) -> Tensor | None:
            return None if kept is None else torch.tensor(kept)

        crystal = data["crystal"]
        return Start(
            crystal=Crystals(
                frac=torch.tensor(crystal["frac"]), cell=torch.tensor([crystal["cell"]]),
                numbers=torch.tensor(crystal["numbers"]), n_atoms=torch.tensor([len(crystal["numbers"])]),
            ),
            keep_sites=mask(data["keep_sites"]), keep_elements=mask(data["keep_elements"]),
            keep_cell=data["keep_cell"], strength=data["strength"],
        )

    def copies(self, n_atoms: Int[Tensor, " batch"]) -> Crystals:
        """The crystal once for each number of atoms; those it does not have lie undecided at the origin."""
        return Crystals.join([self._of(int(n)) for n in n_atoms])

    def _of(self, atoms: int) -> Crystals:
        more = atoms - len(self.crystal.frac)
        return self.crystal.replace(
            frac=torch.cat([self.crystal.frac, self.crystal.frac.new_zeros(more, 3)]),
            numbers=torch.cat([self.crystal.numbers, torch.full((more,), MASK)]),
            n_atoms=torch.tensor([atoms]),
        )

    def given(self, n_atoms: Int[Tensor, " batch"], device: torch.device | str = "cpu") -> Given:
        """The kept parts of so many copies, each with its number of atoms."""
        nothing = torch.zeros(len(self.crystal.frac), dtype=torch.bool)
        sites, species = nothing if self.keep_sites is None else self.keep_sites.bool(), self.fixed_elements
        return Given(
            crystals=self.copies(n_atoms).to(device),
            frac=_masks(sites, n_atoms).to(device),
            numbers=_masks(species, n_atoms).to(device),
            cell=torch.full((len(n_atoms),), self.keep_cell, device=device),
        )


def _masks(mask: Bool[Tensor, " atoms"], n_atoms: Int[Tensor, " batch"]) -> Bool[Tensor, " all"]:
    """A mask of a start's atoms for every copy; atoms that a copy has besides are not in it."""
    return torch.cat([torch.cat([mask, torch.zeros(int(n) - len(mask), dtype=torch.bool)]) for n in n_atoms])


def check(constraints: Constraints, model: CrystalModel, start: Start | None = None) -> None:
    """Raise ConstraintError where this model cannot follow these constraints."""
    asked = [*constraints.targets, *(["space_group"] if constraints.space_group else [])]
    if deaf := [name for name in asked if name not in model.properties]:
        listens = ", ".join(model.properties) or "no property"
        raise ConstraintError(
            f"The model {model.name} listens to {listens}, and was asked for {', '.join(deaf)}. "
            "Load a model fine-tuned on it, or drop that target."
        )
    _check_guidance(constraints, model)
    if model.predicts_structures_only and constraints.formula is None:
        raise ConstraintError(f"The model {model.name} predicts structures only: give it a formula.")
    if start is not None:
        _check_start(constraints, start)
    sizes(constraints, model, Streams(0, torch.zeros(1, dtype=torch.long)), start)


def heard(constraints: Constraints, model: CrystalModel) -> tuple[str, ...]:
    """Names of the conditions that this model is told of these constraints."""
    names = sorted(constraints.targets)
    if constraints.space_group is not None:
        names.append("space_group")
    if "chemical_system" in model.properties and constraints.required:
        names.append("chemical_system")
    return tuple(names)


def _check_guidance(constraints: Constraints, model: CrystalModel) -> None:
    if not isinstance(constraints.guidance, Mapping):
        return
    asked, given = set(heard(constraints, model)), set(constraints.guidance)
    if idle := sorted(given - asked):
        raise ConstraintError(f"Guidance names {', '.join(idle)}, for which nothing was asked; ask for it, or drop it.")
    if missing := sorted(asked - given):
        raise ConstraintError(
            f"Guidance names {', '.join(sorted(given)) or 'nothing'} and leaves out {', '.join(missing)}, which would "
            "not be followed; give each a strength."
        )


def _check_start(constraints: Constraints, start: Start) -> None:
    from model.elements import SYMBOLS

    atoms, kept = len(start.crystal.numbers), start.fixed_elements
    outside = {SYMBOLS[z] for z in start.crystal.numbers[kept].tolist()} - constraints.palette
    if outside:
        raise ConstraintError(f"The kept atoms hold {', '.join(sorted(outside))}, which the constraints rule out.")
    if constraints.n_atoms is not None and atoms > constraints.atom_range[1]:
        raise ConstraintError(
            f"The crystal to begin from has {atoms} atoms, and at most {constraints.atom_range[1]} were asked for."
        )
    fewest = _fewest(constraints, atoms)
    if fewest > atoms and start.strength < 1:
        raise ConstraintError(
            f"The crystal to begin from has {atoms} atoms, and at least {fewest} were asked for: atoms are added with "
            "a strength of 1 only, where all that is not kept is made anew."
        )
    palette = Palette.of(constraints, torch.tensor([fewest]))
    kept_alone = torch.where(kept, start.crystal.numbers, MASK)
    whole = Start(crystal=start.crystal.replace(numbers=kept_alone)).copies(torch.tensor([fewest]))
    if not bool((palette.assignable(whole)).all()):
        raise ConstraintError(
            "The kept atoms leave no way to the asked formula or chemical system; keep fewer, or ask for more atoms."
        )


def _fewest(constraints: Constraints, atoms: int) -> int:
    """The least number of atoms a crystal may have that begins from one of so many."""
    fewest = max(atoms, constraints.atom_range[0]) if constraints.n_atoms is not None else atoms
    if constraints.formula is not None:
        unit = sum(formula_unit(constraints).values())
        fewest = -(-fewest // unit) * unit
    return fewest


def sizes(
    constraints: Constraints, model: CrystalModel, streams: Streams, start: Start | None = None
) -> Int[Tensor, " batch"]:
    """Number of atoms of each crystal: as asked, out of the training histogram (of the space group, if one is asked).

    Raises ConstraintError where no number fits.
    """
    uniform = streams.uniform()[:, 0]
    fewest = 1 if start is None else _fewest(constraints, len(start.crystal.frac))
    if start is not None and (constraints.n_atoms is None or fewest == len(start.crystal.frac)):
        return torch.full_like(uniform, fewest, dtype=torch.long)
    seen = dict(model.statistics.sizes(constraints.space_group))
    if constraints.n_atoms is not None:
        low, high = constraints.atom_range
        fitting = {n: seen.get(n, 0) for n in range(low, high + 1)}
    else:
        fitting = seen
    if constraints.formula is not None:
        unit = sum(formula_unit(constraints).values())
        known = {n: k for n, k in fitting.items() if n % unit == 0}
        fitting = known or ({unit: 1} if constraints.n_atoms is None else {})
    fitting = {n: k for n, k in fitting.items() if n >= max(fewest, len(constraints.required))}
    if not fitting:
        raise ConstraintError("No number of atoms fits the formula, the elements and the numbers asked for together.")
    if not any(fitting.values()):  # asked for sizes the data do not hold: all are as good
        fitting = dict.fromkeys(fitting, 1)
    numbers = torch.tensor(sorted(fitting), device=uniform.device)
    share = torch.tensor([fitting[n] for n in sorted(fitting)], dtype=torch.float64, device=uniform.device)
    place = torch.searchsorted(torch.cumsum(share, 0) / share.sum(), uniform.double())
    return numbers[place.clamp(max=len(numbers) - 1)]


def conditions(constraints: Constraints, model: CrystalModel, streams: Streams) -> Conditions:
    """The asked values, one row a crystal; from a range, values are drawn evenly where the model was taught."""
    batch = len(streams)
    values: dict[str, Tensor] = {}
    for name, target in sorted(constraints.targets.items()):
        low, high = _taught(name, target, model)
        values[name] = low + (high - low) * streams.uniform()[:, 0]
    if constraints.space_group is not None:
        values["space_group"] = torch.full((batch,), float(constraints.space_group))
    if "chemical_system" in heard(constraints, model):
        values["chemical_system"] = multi_hot([constraints.required] * batch)
    return Conditions.of(**values)


def _taught(name: str, target: Target, model: CrystalModel) -> tuple[float, float]:
    """A range cut to what the model was taught; a point is left as it is."""
    label = model.statistics.labels.get(name)
    if target.low == target.high or label is None or not label.n:
        return target.low, target.high
    low, high = max(target.low, label.low), min(target.high, label.high)
    if low > high:
        raise ConstraintError(
            f"{name} was taught from {label.low:g} to {label.high:g}, and the range {target.low:g} to {target.high:g} "
            "lies outside; ask for a point, or for a range that touches it."
        )
    return low, high


def begin(
    model: CrystalModel,
    n_atoms: Int[Tensor, " batch"],
    streams: Streams,
    first: Float[Tensor, ""],
    palette: Palette,
    start: Start | None,
) -> Crystals:
    """Where the walk begins: pure noise, or a start's crystal at the noise of the first time, within the palette."""
    if start is None or start.strength >= 1:
        return model.diffusion.prior(n_atoms, streams)
    copies = start.copies(n_atoms).to(n_atoms.device)
    noisy = model.diffusion.corrupt(copies, first.expand(len(n_atoms)), streams).noisy
    fixed = start.fixed_elements.repeat(len(n_atoms)).to(n_atoms.device)
    return palette.admit(noisy.replace(numbers=torch.where(fixed, copies.numbers, noisy.numbers)), fixed)


def known_species(palette: Palette, noisy: Crystals, start: Start | None) -> Int[Tensor, " atoms"]:
    """Every atom's element where elements are known all the time (crystal structure prediction).

    Those of the start where they are the asked composition; else its kept ones, and the others by rising number.
    """
    numbers = torch.full_like(noisy.numbers, MASK)
    if start is not None:
        copies = start.copies(noisy.n_atoms).to(noisy.device)
        if bool(palette.kept(copies).all()):
            return copies.numbers
        numbers = torch.where(_masks(start.fixed_elements, noisy.n_atoms).to(noisy.device), copies.numbers, numbers)
    alike = noisy.frac.new_zeros(len(numbers), palette.needed.shape[1])
    return palette.assign(alike, noisy.replace(numbers=numbers), numbers == MASK, None)
