"""DFT results through the same judgement as everything else: hull, novelty, RMSD to the crystal handed over."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from model.cell import volume
from model.crystals import Crystals
from model.dft.inputs import HandOverError
from model.dft.results import NAME, Results
from model.evaluation.evaluate import Evaluation, evaluate
from model.evaluation.reference import Reference
from model.execution import Watch, silent
from model.relax.potential import Reading, silence
from model.relax.relaxer import Relaxed


class Away:
    """The potential of crystals that were relaxed elsewhere: it has a name, and no reading to give."""

    name = NAME

    def __call__(self, crystals: Crystals) -> Reading:
        """Decline every crystal: nothing is calculated here."""
        return silence(crystals, "it was to be calculated by DFT elsewhere")


class CameToRest:
    """What came to rest elsewhere, in the place of what an interrupted evaluation remembers."""

    def __init__(self, relaxed: Mapping[int, Relaxed]) -> None:
        self.relaxed = dict(relaxed)

    def begin(self) -> dict[int, Relaxed]:
        """All of it."""
        return self.relaxed

    def add(self, row: int, one: Relaxed) -> None:
        """Nothing comes to rest here."""


def judge(
    results: Results, reference: Reference, elements: Mapping[str, float] | None = None, watch: Watch = silent
) -> Evaluation:
    """Judge what DFT found; crystals without a result count as made and not judged, each with its reason.

    `elements` are energies of the elements in eV/atom with the same settings, which turn totals into formation
    energies. Without them those of CHGNet stand in, which was taught total energies of these settings: they are off by
    about its own error, 0.02 eV/atom. Raises HandOverError where nothing has come back.
    """
    names = [name for name in results.names if name in results.found]
    if not names:
        first = next(iter(results.missing.values()), "nothing was handed over")
        raise HandOverError(f"None of the {len(results.names)} calculations has come back: {first}")
    rows = torch.tensor([results.names.index(name) for name in names])
    at_rest = {row: replace(results.found[name].relaxed, row=row) for row, name in enumerate(names)}
    judged = evaluate(
        results.crystals[rows], potential=Away(), reference=with_elements(reference, elements), ids=names,
        missing=results.missing, memory=CameToRest(at_rest), watch=watch,
    )  # fmt: skip
    return replace(judged, candidates=judged.candidates.learn(**_measured(results, names)))


def with_elements(reference: Reference, elements: Mapping[str, float] | None) -> Reference:
    """The reference with elemental energies of DFT under its name: given, else fitted on it, else CHGNet's."""
    from model.relax.chgnet import CHGNetPotential

    fitted = reference.energies.get(NAME) or reference.elemental(CHGNetPotential.name)
    chosen = dict(fitted) | dict(elements or {})
    return replace(reference, energies={**reference.energies, NAME: chosen})


def read_elements(path: Path) -> dict[str, float]:
    """Elemental energies from a JSON file, as {"Li": -1.9}. Raises HandOverError where it holds anything else."""
    from model.elements import NUMBERS

    try:
        told = {str(symbol): float(energy) for symbol, energy in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise HandOverError(f'{path} is no table of elemental energies like {{"Li": -1.9}} ({error}).') from error
    if strange := sorted(set(told) - set(NUMBERS)):
        raise HandOverError(f"{path} names {', '.join(strange)}, which is no element.")
    return told


def _measured(results: Results, names: list[str]) -> dict[str, list[float]]:
    """What only DFT tells: band gap, and magnetic density from the moment of the whole cell."""
    found = [results.found[name] for name in names]
    room = [float(volume(one.relaxed.crystal.cell.double())[0]) for one in found]
    return {
        "dft_band_gap": [one.band_gap for one in found],
        "dft_mag_density": [one.magnetisation / space for one, space in zip(found, room, strict=True)],
    }
