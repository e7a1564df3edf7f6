"""What has come to rest so far, kept line by line, so that a judge who was killed goes on where they were."""

import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any

import torch

from model.crystals import Crystals
from model.relax.relaxer import Relaxed


class Journal:
    """Relaxed crystals of one task in one file. Another task (other crystals or settings) finds it empty.

    A line is written whole before the next crystal is waited for; a last line cut short is passed over.
    """

    def __init__(self, path: Path, crystals: Crystals, **settings: Any) -> None:
        self.path, self.task = path, _digest(crystals, settings)

    def read(self) -> dict[int, Relaxed]:
        """Crystals that came to rest before, by their row."""
        if not self.path.exists():
            return {}
        lines = self.path.read_text(encoding="utf-8").split("\n")
        if _parse(lines[0]) != {"task": self.task}:
            return {}
        found = [_relaxed(line) for line in map(_parse, lines[1:]) if line is not None]
        return {one.row: one for one in found}

    def begin(self) -> dict[int, Relaxed]:
        """The same as `read`, ready for more: what was cut short is cleared away, whole or not at all."""
        before = self.read()
        lines = [json.dumps({"task": self.task}), *(json.dumps(_line(one)) for one in before.values())]
        draft = self.path.with_name(self.path.name + ".part")
        draft.write_text("\n".join(lines) + "\n", encoding="utf-8")
        draft.replace(self.path)
        return before

    def add(self, one: Relaxed) -> None:
        """Keep one more."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(_line(one)) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def end(self) -> None:
        """The task is done; nothing is left to remember."""
        self.path.unlink(missing_ok=True)


def _digest(crystals: Crystals, settings: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for name in ("frac", "cell", "numbers", "n_atoms"):
        digest.update(getattr(crystals, name).cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _parse(line: str) -> dict[str, Any] | None:
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None


def _line(one: Relaxed) -> dict[str, Any]:
    crystal = one.crystal
    return {
        "row": one.row, "energy": _plain(one.energy), "force": _plain(one.force), "converged": one.converged,
        "steps": one.steps, "reason": one.reason, "moments": [_plain(m) for m in one.moments.tolist()],
        "frac": crystal.frac.double().tolist(), "cell": crystal.cell[0].double().tolist(),
        "numbers": crystal.numbers.tolist(),
    }  # fmt: skip


def _relaxed(line: dict[str, Any]) -> Relaxed:
    numbers = torch.tensor(line["numbers"], dtype=torch.long)
    return Relaxed(
        row=line["row"], energy=_number(line["energy"]), force=_number(line["force"]), converged=line["converged"],
        steps=line["steps"], reason=line["reason"],
        moments=torch.tensor([_number(m) for m in line["moments"]], dtype=torch.float64),
        crystal=Crystals(
            frac=torch.tensor(line["frac"], dtype=torch.float64).reshape(-1, 3),
            cell=torch.tensor([line["cell"]], dtype=torch.float64), numbers=numbers,
            n_atoms=torch.tensor([len(numbers)]),
        ),
    )  # fmt: skip


def _plain(value: float) -> float | None:
    """JSON knows no NaN."""
    return value if math.isfinite(value) else None


def _number(value: float | None) -> float:
    return math.nan if value is None else value
