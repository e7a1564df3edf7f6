"""The prepared crystals on disk: memory-mapped arrays, guarded by a fingerprint of their source.

Loading needs only torch and NumPy. A folder holds `pos.npy`, `cell.npy`, `atomic_numbers.npy`, `num_atoms.npy`,
`structure_id.npy` and one `<property>.json` for each label, as MatterGen lays its caches out, and beside them
`manifest.json` and `statistics.json`. A folder without these two is taken for a cache MatterGen itself made.
"""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from model.cell import symmetric, wrapped
from model.crystals import MASK, Crystals
from model.data.symmetry import SPACE_GROUPS, group_number
from model.execution import INLINE, Watch, silent
from model.statistics import Statistics

if TYPE_CHECKING:
    from model.data.sources import Selection

FORMAT = 1  # raised whenever what is written here changes, so that older caches are made anew
ARRAYS = ("pos", "cell", "atomic_numbers", "num_atoms", "structure_id")
MANIFEST, STATISTICS = "manifest.json", "statistics.json"
AGAIN = "; prepare it anew with overwrite"
NOT_LABELS = {MANIFEST, STATISTICS}


class DatasetError(ValueError):
    """A folder that holds no prepared crystals, or damaged ones, or those of another source."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Dataset:
    """Crystals to learn from, with their labels; the arrays may lie on disk and be read where they are needed.

    `labels` has one float32 value a crystal for each property, NaN where it is not known; space groups are numbers.
    """

    pos: np.ndarray
    cell: np.ndarray
    numbers: np.ndarray
    n_atoms: np.ndarray
    ids: np.ndarray
    labels: Mapping[str, np.ndarray]
    folder: Path | None = None
    manifest: Mapping[str, Any] = field(default_factory=dict)
    known_statistics: Statistics | None = None

    def __post_init__(self) -> None:
        counts = {len(self.cell), len(self.n_atoms), len(self.ids), *(len(values) for values in self.labels.values())}
        atoms = {len(self.pos), len(self.numbers), int(self.n_atoms.sum())}
        if len(counts) > 1 or len(atoms) > 1:
            raise DatasetError(f"{self._where} does not add up: {sorted(counts)} crystals, {sorted(atoms)} atoms.")

    @property
    def _where(self) -> str:
        return f"The dataset {self.folder}" if self.folder else "The dataset"

    def __len__(self) -> int:
        """Number of crystals."""
        return len(self.n_atoms)

    def __repr__(self) -> str:
        return f"Dataset({len(self)} crystals, labels {', '.join(self.labels) or 'none'}, {self.folder or 'in memory'})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process as the folder's name, not as its contents."""
        if self.folder is not None:
            return _reopen, (str(self.folder),)
        names = ("pos", "cell", "numbers", "n_atoms", "ids", "labels", "manifest", "known_statistics")
        return _remake, ({name: getattr(self, name) for name in names},)

    @cached_property
    def _starts(self) -> np.ndarray:
        return np.cumsum(self.n_atoms) - self.n_atoms

    def crystals(self, indices: "Sequence[int] | np.ndarray | Tensor | slice | None" = None) -> Crystals:
        """The crystals at these positions, in this order, with symmetric cells; all of them without positions."""
        rows = np.arange(len(self))
        if isinstance(indices, slice):
            rows = rows[indices]
        elif indices is not None:
            picked = np.asarray(indices)
            rows = rows[picked if picked.size else slice(0)]  # NumPy takes an empty list for floats
        counts = self.n_atoms[rows]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        atoms = np.repeat(self._starts[rows], counts) + within
        cell = torch.from_numpy(np.asarray(self.cell[rows], dtype=np.float64))
        if not self.manifest.get("symmetric"):  # a cache that MatterGen made keeps cells as they were
            cell = symmetric(cell)
        return Crystals(
            frac=wrapped(torch.from_numpy(np.asarray(self.pos[atoms], dtype=np.float64) % 1.0).float()),
            cell=cell.float(),
            numbers=torch.from_numpy(np.asarray(self.numbers[atoms], dtype=np.int64)),
            n_atoms=torch.from_numpy(np.asarray(counts, dtype=np.int64)),
        )

    @cached_property
    def statistics(self) -> Statistics:
        """Sizes, density, elements and label spread."""
        return self.known_statistics or Statistics.of(
            np.asarray(self.cell), np.asarray(self.numbers), self.n_atoms, self.labels
        )

    def save(
        self, folder: str | os.PathLike, extra: Mapping[str, str] | None = None, overwrite: bool = False
    ) -> "Dataset":
        """Write a folder, whole or not at all, and give the dataset that lies there; `extra` are texts by name.

        Raises DatasetError where something is already there, unless it is a dataset and may be overwritten.
        """
        folder = Path(folder)
        there = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
        if there and not (overwrite and (folder / "pos.npy").is_file()):
            raise DatasetError(f"{folder} already holds something; name a new folder.")
        draft, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{what}") for what in ("part", "old"))
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        try:
            self._write(draft, extra or {})
            if folder.exists():
                folder.replace(old)
            draft.replace(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)
        return Dataset.load(folder)

    def _write(self, folder: Path, extra: Mapping[str, str]) -> None:
        arrays = (self.pos, self.cell, self.numbers, self.n_atoms, self.ids)
        for name, array in zip(ARRAYS, arrays, strict=True):
            np.save(folder / f"{name}.npy", array, allow_pickle=False)
        for name, values in self.labels.items():
            record = {"values": _plain(name, values), "property_source_doc_id": name, "origins": None}
            (folder / f"{name}.json").write_text(json.dumps(record), encoding="utf-8")
        (folder / STATISTICS).write_text(json.dumps(self.statistics.to_json()), encoding="utf-8")
        for name, text in extra.items():
            (folder / name).write_text(text, encoding="utf-8")
        digests = {file.name: _digest(file) for file in sorted(folder.iterdir())}
        manifest = {**self.manifest, "format": FORMAT, "count": len(self), "files": digests}
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")

    @staticmethod
    def load(folder: str | os.PathLike, check: bool = True) -> "Dataset":
        """The dataset in a folder, its arrays memory-mapped.

        With `check`, every file is compared with the digest taken when it was written. Raises DatasetError, in one
        sentence, for a folder that is no dataset, is incomplete, damaged, or of another format.
        """
        folder = Path(folder)
        manifest = _manifest(folder)
        missing = [f"{name}.npy" for name in ARRAYS if not (folder / f"{name}.npy").is_file()]
        missing += [name for name in manifest.get("files", {}) if not (folder / name).is_file()]
        if missing:
            raise DatasetError(
                f"The dataset {folder} is incomplete: {', '.join(sorted(set(missing)))} missing{AGAIN}."
            )
        if check:
            for name, digest in manifest.get("files", {}).items():
                if _digest(folder / name) != digest:
                    raise DatasetError(f"{name} of the dataset {folder} was changed or damaged{AGAIN}.")
        try:
            return _open(folder, manifest)
        except DatasetError:
            raise
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DatasetError(f"The dataset {folder} is damaged ({error}){AGAIN}.") from error


def _open(folder: Path, manifest: Mapping[str, Any]) -> Dataset:
    pos, cell, numbers = (np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ARRAYS[:3])
    statistics = None
    if (folder / STATISTICS).is_file():
        statistics = Statistics.from_json(json.loads((folder / STATISTICS).read_text(encoding="utf-8")))
    found = {file.stem: _values(file) for file in sorted(folder.glob("*.json")) if file.name not in NOT_LABELS}
    if len(numbers) and not 1 <= int(numbers.min()) <= int(numbers.max()) <= MASK:
        raise DatasetError(f"The dataset {folder} is damaged: atomic numbers lie outside 1 to {MASK}.")
    return Dataset(
        pos=pos,
        cell=cell,
        numbers=numbers,
        n_atoms=np.load(folder / "num_atoms.npy", allow_pickle=False),
        ids=np.load(folder / "structure_id.npy", allow_pickle=False),
        labels={name: values for name, values in found.items() if values is not None},
        folder=folder.resolve(),
        manifest=manifest,
        known_statistics=statistics,
    )


def _manifest(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise DatasetError(f"There is no dataset {folder}; make one with `workbench data prepare FILE --out DIR`.")
    if not (folder / MANIFEST).is_file():
        if (folder / STATISTICS).is_file() or not (folder / "pos.npy").is_file():
            raise DatasetError(f"{folder} is no dataset: it has no {MANIFEST}. Name the folder of one split.")
        return {}  # MatterGen's own caches have none
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if "splits" in manifest:
            raise DatasetError(f"{folder} holds the splits {', '.join(manifest['splits'])}; name the folder of one.")
        if manifest["format"] != FORMAT:
            raise DatasetError(
                f"The dataset {folder} is of format {manifest['format']}, wanted {FORMAT}{AGAIN}."
            )
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise DatasetError(f"The dataset {folder} is damaged: {MANIFEST} is not readable{AGAIN}.") from error
    return manifest


def _values(file: Path) -> np.ndarray | None:
    """Label values as float32, space group symbols as numbers; None for texts such as chemical systems."""
    values = json.loads(file.read_text(encoding="utf-8"))["values"]
    if file.stem == "space_group":
        values = [group_number(str(v)) if v not in (None, "") and v == v else None for v in values]  # noqa: PLR0124 - NaN alone differs from itself
    if any(isinstance(v, str) for v in values):
        return None
    return np.array([math.nan if v is None else v for v in values], dtype=np.float32)


def _plain(name: str, values: np.ndarray) -> list[Any]:
    """Values for JSON; space groups as symbols, as MatterGen keeps them."""
    if name == "space_group":
        return [None if math.isnan(v) else SPACE_GROUPS[int(v) - 1] for v in values.tolist()]
    return values.tolist()


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _reopen(folder: str) -> Dataset:
    return Dataset.load(folder, check=False)  # this process's parent has checked it


def _remake(fields: dict[str, Any]) -> Dataset:
    return Dataset(**fields)


def prepare(
    files: "str | os.PathLike | Sequence[str | os.PathLike]",
    out: str | os.PathLike,
    *,
    selection: "Selection | None" = None,
    executor: Executor = INLINE,
    watch: Watch = silent,
    overwrite: bool = False,
) -> Dataset:
    """Crystals of one or several tables (CSV, CSV.gz, parquet), joined, as a dataset in the folder `out`.

    Where `out` already holds the dataset of these very files and options, it is loaded. Where it holds that of others,
    DatasetError is raised, or with `overwrite` it is made anew. Rows that cannot be used are listed in its
    `rejected.csv`. Raises SourceError where a file or a needed column is missing, or no row can be used.
    """
    from model.data import sources

    paths = [Path(files)] if isinstance(files, str | os.PathLike) else [Path(file) for file in files]
    selection = selection or sources.Selection()
    out = Path(out)
    print_now = sources.fingerprint(paths, selection)
    if (out / MANIFEST).is_file() and not overwrite:
        found = Dataset.load(out)
        if found.manifest.get("fingerprint") == print_now:
            return found
        raise DatasetError(
            f"{out} was made from other files or with other options; name another folder, or ask to overwrite it."
        )
    dataset, rejected = sources.collect(paths, selection, executor=executor, watch=watch)
    dataset.manifest["fingerprint"] = print_now
    return dataset.save(out, {"rejected.csv": rejected}, overwrite=overwrite)


def prepare_splits(
    files: "Sequence[str | os.PathLike]", out: str | os.PathLike, **options: Any
) -> dict[str, Dataset]:
    """One dataset a file in `out`, named by the file: `train.csv.gz` becomes `out/train`. Options as for `prepare`.

    Raises DatasetError where two files bear one name.
    """
    out = Path(out)
    names = [Path(file).name.split(".")[0] for file in files]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DatasetError(f"Two files would both become {out / twice[0]}; give them different names.")
    splits = {name: prepare(file, out / name, **options) for name, file in zip(names, files, strict=True)}
    kept = {p.parent.name: Dataset.load(p.parent, check=False) for p in sorted(out.glob(f"*/{MANIFEST}"))}
    summary = {
        name: {"count": len(split), "fingerprint": split.manifest.get("fingerprint")} for name, split in kept.items()
    }
    draft = out / f".{MANIFEST}.{os.getpid()}.part"
    draft.write_text(json.dumps({"format": FORMAT, "splits": summary}, indent=1), encoding="utf-8")
    draft.replace(out / MANIFEST)
    return splits
