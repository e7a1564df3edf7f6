"""What a run begins from: a crystal in a file, and which of its parts stay."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from model.crystals import Crystals
    from model.sampling.requests import Start

_SPAN = re.compile(r"(\d+)(?:-(\d+))?")
GRAMMAR = "cell, sites, elements, an element's symbol, or numbers of atoms as 1-4"


def start_of(file: Path | None, keep: list[str], strength: float | None) -> "Start | None":
    """The start that was asked for, if one was.

    `keep` holds words with commas between: cell (the lattice stays), sites (all atoms stay where they are), elements
    (all atoms stay what they are), Ti or 1-4 (these atoms stay where and what they are).

    Raises ValueError where nothing is left to make, nothing is kept of the crystal, or a word means nothing.
    """
    if file is None:
        if keep or strength is not None:
            raise ValueError("--keep and --strength say what becomes of a start; name its file with --start.")
        return None
    import torch

    from model.cell import symmetric
    from model.sampling.requests import Start

    crystal = _one(file)
    words = [word.strip() for entry in keep for word in entry.split(",") if word.strip()]
    sites, elements = (torch.zeros(len(crystal.numbers), dtype=torch.bool) for _ in range(2))
    for word in words:
        atoms = _atoms(word, crystal, file)
        if word != "elements":
            sites |= atoms
        if word != "sites":
            elements |= atoms
    strength = 1.0 if strength is None else strength
    if not words and strength >= 1:
        raise ValueError("At strength 1 nothing of the start is left; --keep a part of it, or lower --strength.")
    if "cell" in words and bool((sites & elements).all()):
        raise ValueError("The cell, all sites and all elements are kept, so nothing is left to make; keep less.")
    return Start(
        crystal=crystal.replace(cell=symmetric(crystal.cell)), keep_sites=sites, keep_elements=elements,
        keep_cell="cell" in words, strength=strength,
    )  # fmt: skip


def _one(file: Path) -> "Crystals":
    from model import io

    reading = io.read_crystals(file)
    if len(reading) != 1:
        why = f" ({reading.skipped[0][1]})" if reading.skipped else ""
        raise ValueError(f"A start is one crystal; {file} holds {len(reading)}{why}.")
    return reading.crystals


def _atoms(word: str, crystal: "Crystals", file: Path) -> "Tensor":
    """Which atoms a word means; none for the cell."""
    import torch

    from model.elements import NUMBERS

    count = len(crystal.numbers)
    if word in ("sites", "elements"):
        return torch.ones(count, dtype=torch.bool)
    if word == "cell":
        return torch.zeros(count, dtype=torch.bool)
    if word in NUMBERS:
        found = crystal.numbers == NUMBERS[word]
        if not bool(found.any()):
            raise ValueError(f"There is no {word} in {file} to keep.")
        return found
    if span := _SPAN.fullmatch(word):
        first, last = int(span[1]), int(span[2] or span[1])
        if not 1 <= first <= last <= count:
            raise ValueError(f"The atoms of {file} are numbered 1 to {count}; found {word}.")
        places = torch.arange(1, count + 1)
        return (places >= first) & (places <= last)
    raise ValueError(f"What is kept is {GRAMMAR}; found {word!r}.")
