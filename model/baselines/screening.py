"""Screening: known crystals that nobody labelled, ranked by what a taught readout says of them.

Source: Zeni et al. 2025, D.6: a predictor ranks unlabelled crystals, and the best are taken.
"""

import hashlib
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model.baselines.proposer import in_batches
from model.constraints import ConstraintError, Constraints
from model.crystals import Crystals
from model.data.cache import MANIFEST, Dataset
from model.execution import Progress, Watch, silent
from model.sampling.palette import Palette, formula_unit
from model.shapes import Bool, Float, Int

_AT_ONCE = 64


@dataclass(frozen=True, kw_only=True)
class Screening:
    """Known crystals ranked by nearness of a predicted property to its target.

    `readouts` are folders that `workbench model teach` made, one for each target. Crystals whose label is known
    already are passed over, unless `labelled` ones are wanted too.
    """

    crystals: tuple[Dataset, ...]
    readouts: tuple[Path, ...]
    labelled: bool = False
    name: str = "screening"
    _predicted: dict[str, Float[np.ndarray, " known"]] = field(default_factory=dict, init=False, repr=False)

    @staticmethod
    def of(data: str | os.PathLike, readouts: Sequence[str | os.PathLike], *, labelled: bool = False) -> "Screening":
        """Screening of prepared crystals: one data set, or all splits of a folder."""
        inside = sorted(file.parent for file in Path(data).glob(f"*/{MANIFEST}"))
        sets = tuple(Dataset.load(folder) for folder in inside or [Path(data)])
        return Screening(crystals=sets, readouts=tuple(Path(folder) for folder in readouts), labelled=labelled)

    @cached_property
    def taught(self) -> Mapping[str, tuple[Any, Any]]:
        """Readout and report of each label. Raises ConstraintError where a folder holds none."""
        from model.properties.readouts import load

        found = {}
        for folder in self.readouts:
            try:
                readout, report = load(folder)
            except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
                raise ConstraintError(
                    f"{folder} holds no readout ({error}); teach one with: workbench model teach."
                ) from error
            found[report.label] = (readout, report)
        return found

    @cached_property
    def hash(self) -> str:
        """Of the crystals' names and the readouts' weights."""
        digest = hashlib.sha256(str(self.labelled).encode())
        for dataset in self.crystals:
            digest.update(np.ascontiguousarray(dataset.ids).astype(str).tobytes())
        for label, (readout, _) in sorted(self.taught.items()):
            digest.update(label.encode())
            for name, weight in sorted(readout.state_dict().items()):
                digest.update(name.encode() + weight.detach().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    @property
    def settings(self) -> Mapping[str, Any]:
        """What is ranked by what, in plain words."""
        errors = {label: report.mean_absolute_error for label, (_, report) in self.taught.items()}
        return {
            "way": self.name, "crystals": sum(map(len, self.crystals)), "readouts": errors, "labelled": self.labelled,
        }  # fmt: skip

    def check(self, constraints: Constraints) -> None:
        """Raise ConstraintError where a target has no readout, there is none, or too few crystals keep the rest."""
        if not constraints.targets:
            raise ConstraintError(
                f"Screening ranks by a property: give a target for {' or '.join(self.taught) or 'a taught readout'}."
            )
        if deaf := sorted(set(constraints.targets) - set(self.taught)):
            raise ConstraintError(
                f"Screening has readouts for {', '.join(self.taught) or 'no property'}, and was asked for "
                f"{', '.join(deaf)}. Teach one with workbench model teach, or drop that target."
            )
        found = len(self._rows(constraints))
        if found < constraints.count:
            kept = "" if self.labelled else " and have no label yet"
            raise ConstraintError(
                f"Only {found} known crystals keep the constraints{kept}, and {constraints.count} were asked for; ask "
                f"for at most {found}, or give more crystals."
            )

    def __call__(
        self, constraints: Constraints, *, done: Collection[int] = (), batch_size: int = 16, watch: Watch = silent
    ) -> Crystals:
        """The known crystals of best rank that keep the hard constraints, the best first.

        `watch` hears of the readout's work (`stage="predict"`) before that of the batches.
        """
        self.check(constraints)
        rows = self.ranked(constraints, watch)
        return in_batches(
            lambda index: (self._crystal(int(rows[index])), ""), constraints, done=done, batch_size=batch_size,
            watch=watch,
        )  # fmt: skip

    def ranked(self, constraints: Constraints, watch: Watch = silent) -> Int[np.ndarray, " ranked"]:
        """Rows of the crystals that keep the hard constraints, the best first.

        Several targets are weighed by the error of each readout: how many of its errors a crystal lies outside its
        range. Within a range the middle comes first, where it is surest to be kept.
        """
        rows = self._rows(constraints)
        off = np.zeros(len(rows))
        middle = np.zeros(len(rows))
        for label, target in constraints.targets.items():
            value = self.predicted(label, rows, watch)
            error = max(self.taught[label][1].mean_absolute_error, 1e-9)
            off += np.maximum(np.maximum(target.low - value, value - target.high), 0) / error
            middle += np.abs(value - (target.low + target.high) / 2) / error
        return rows[np.lexsort([middle, off])]

    def predicted(
        self, label: str, rows: Int[np.ndarray, " some"], watch: Watch = silent
    ) -> Float[np.ndarray, " some"]:
        """What the readout says of some crystals, in the property's unit; what it said before is remembered."""
        from model.properties.readouts import predict

        if label not in self._predicted:
            self._predicted[label] = np.full(sum(map(len, self.crystals)), np.nan)
        said = self._predicted[label]
        missing = rows[np.isnan(said[rows])]
        for start in range(0, len(missing), _AT_ONCE):
            some = missing[start : start + _AT_ONCE]
            crystals = Crystals.join([self._crystal(int(row)) for row in some])
            said[some] = predict(self.taught[label][0], crystals, _AT_ONCE).double().numpy()
            watch(Progress(stage="predict", done=start + len(some), total=len(missing)))
        return said[rows]

    def origins(self, constraints: Constraints) -> list[str]:
        """For each crystal of a run its name among the known ones, and what was predicted of it."""
        rows = self.ranked(constraints)[: constraints.count]
        names = np.concatenate([dataset.ids for dataset in self.crystals])[rows]
        said = {label: self.predicted(label, rows) for label in constraints.targets}
        return [
            f"{name} with " + ", ".join(f"{label} {values[place]:.4g} predicted" for label, values in said.items())
            for place, name in enumerate(names)
        ]

    @cached_property
    def _starts(self) -> Int[np.ndarray, " sets"]:
        return np.cumsum([0, *map(len, self.crystals)])

    def _crystal(self, row: int) -> Crystals:
        of = int(np.searchsorted(self._starts, row, side="right")) - 1
        return self.crystals[of].crystals([row - int(self._starts[of])])

    def _rows(self, constraints: Constraints) -> Int[np.ndarray, " kept"]:
        """Crystals that keep the hard constraints and, unless all are wanted, lack a label that is asked for."""
        keep = [_kept(dataset, constraints, labelled=self.labelled) for dataset in self.crystals]
        return np.flatnonzero(np.concatenate(keep))


def _kept(dataset: Dataset, constraints: Constraints, *, labelled: bool) -> Bool[np.ndarray, " known"]:
    crystals = dataset.crystals()
    n_atoms = crystals.n_atoms
    keep = torch.ones(len(n_atoms), dtype=torch.bool)
    if constraints.n_atoms is not None:
        low, high = constraints.atom_range
        keep &= (n_atoms >= low) & (n_atoms <= high)
    if constraints.formula is not None:
        keep &= n_atoms % sum(formula_unit(constraints).values()) == 0
    keep &= Palette.of(constraints, n_atoms).kept(crystals)
    found = keep.numpy()
    if constraints.space_group is not None:
        found = found & (dataset.labels.get("space_group", np.full(len(found), np.nan)) == constraints.space_group)
    if not labelled:
        for label in constraints.targets:
            if label in dataset.labels:
                found = found & np.isnan(dataset.labels[label])
    return found
