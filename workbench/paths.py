"""How a crystal lost its noise, step by step: in memory as a few arrays, on disk as a small archive of them."""

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path as File
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from model.crystals import Crystals

SUFFIX = ".npz"
_ARRAYS = ("frac", "cell", "numbers")


class PathError(ValueError):
    """A denoising path that cannot be read."""


@runtime_checkable
class AnyPath(Protocol):
    """The kept steps of one crystal's denoising, and the crystal at each."""

    @property
    def steps(self) -> tuple[int, ...]:
        """Numbers of the kept steps."""
        ...

    @property
    def frames(self) -> tuple[Crystals, ...]:
        """The crystal at each of them, a batch of one each."""
        ...


@dataclass(frozen=True, eq=False)
class Path:
    """A path in memory: frac (steps, atoms, 3), cell (steps, 3, 3), numbers (steps, atoms), in few bytes."""

    steps: tuple[int, ...]
    frac: np.ndarray
    cell: np.ndarray
    numbers: np.ndarray

    @staticmethod
    def of(steps: Sequence[int], frames: Sequence[Crystals]) -> "Path":
        """A path out of the crystal at each step."""
        return Path(
            tuple(steps),
            np.stack([frame.frac.float().numpy() for frame in frames]),
            np.stack([frame.cell[0].float().numpy() for frame in frames]),
            np.stack([frame.numbers.numpy() for frame in frames]).astype(np.uint8),
        )

    @property
    def frames(self) -> tuple[Crystals, ...]:
        """The crystal at each step."""
        n = torch.tensor([self.numbers.shape[1]])
        return tuple(
            Crystals(frac=frac, cell=cell[None], numbers=numbers, n_atoms=n)
            for frac, cell, numbers in zip(
                torch.from_numpy(self.frac), torch.from_numpy(self.cell), torch.from_numpy(self.numbers).long(),
                strict=True,
            )
        )  # fmt: skip


@dataclass(frozen=True)
class KeptPath:
    """A path that lies on disk: it is read when it is first looked at, and then raises PathError where it cannot be."""

    file: File

    @property
    def steps(self) -> tuple[int, ...]:
        """Numbers of the kept steps."""
        return self._read.steps

    @property
    def frames(self) -> tuple[Crystals, ...]:
        """The crystal at each step."""
        return self._read.frames

    @cached_property
    def _read(self) -> Path:
        try:
            with np.load(self.file, allow_pickle=False) as kept:
                path = Path(tuple(kept["steps"].tolist()), *(kept[name] for name in _ARRAYS))
            _check(path)
        except (OSError, ValueError, KeyError, EOFError, IndexError, TypeError, zipfile.BadZipFile) as error:
            raise PathError(f"The denoising path {self.file.name} cannot be read; it is damaged or gone.") from error
        return path


def _check(path: Path) -> None:
    n, atoms = path.numbers.shape
    if not n or (path.frac.shape, path.cell.shape, len(path.steps)) != ((n, atoms, 3), (n, 3, 3), n):
        raise ValueError("The arrays of a path belong to the same steps and atoms.")


def file_of(folder: File, name: str) -> File:
    """Where the path of a crystal lies; what a file system dislikes in its name is written in digits."""
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else f"%{ord(c):x}" for c in name)
    return folder / f"{safe}{SUFFIX}"


def save(path: AnyPath, file: File) -> None:
    """Write a path, whole or not at all. Raises PathError for one that cannot be read."""
    plain = path if isinstance(path, Path) else Path.of(path.steps, path.frames)
    packed = io.BytesIO()
    np.savez_compressed(
        packed, steps=np.array(plain.steps, dtype=np.int32), **{name: getattr(plain, name) for name in _ARRAYS}
    )
    draft = file.with_name(f".{file.name}.part")
    draft.write_bytes(packed.getvalue())
    draft.replace(file)


def listed(folder: File, names: Sequence[str]) -> tuple[dict[str, KeptPath], int]:
    """Paths kept of the named crystals, and how many of the files are damaged at first sight."""
    found = {name: file for name in names if (file := file_of(folder, name)).is_file()} if folder.is_dir() else {}
    good = {name: KeptPath(file) for name, file in found.items() if zipfile.is_zipfile(file)}
    return good, len(found) - len(good)
