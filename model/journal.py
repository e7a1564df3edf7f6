"""What has been learned of crystals so far, kept line by line, so that work which was killed goes on where it was."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Generic, TypeVar

from model.crystals import Crystals

T = TypeVar("T")


class Journal(Generic[T]):
    """Findings of one task in one file, by the row of their crystal. Another task finds it empty.

    The task is the crystals and the settings: other ones are another task. A finding is a mapping that JSON can hold,
    unless a subclass turns its own into one and back (`tell`, `understand`). A line is written whole before the next
    crystal is waited for; a last line cut short is passed over.
    """

    def __init__(self, path: Path, crystals: Crystals, **settings: Any) -> None:
        self.path, self.task = path, _digest(crystals, settings)

    def tell(self, one: T) -> dict[str, Any]:
        """A finding as JSON holds it."""
        return dict(one)  # type: ignore[call-overload]  # a mapping, as the class says

    def understand(self, row: int, found: dict[str, Any]) -> T:  # noqa: ARG002 - for those whose findings name it
        """The finding of a row that JSON held so."""
        return found  # type: ignore[return-value]  # a mapping, as the class says

    def read(self) -> dict[int, T]:
        """What was found before, by row."""
        if not self.path.exists():
            return {}
        first, *lines = self.path.read_text(encoding="utf-8").split("\n")
        if _parse(first) != {"task": self.task}:
            return {}
        parsed = [line for line in map(_parse, lines) if line is not None]
        return {line["row"]: self.understand(line["row"], line["found"]) for line in parsed}

    def begin(self) -> dict[int, T]:
        """The same as `read`, ready for more: what was cut short is cleared away, whole or not at all."""
        before = self.read()
        lines = [json.dumps({"task": self.task}), *(self._line(row, one) for row, one in before.items())]
        draft = self.path.with_name(self.path.name + ".part")
        draft.write_text("\n".join(lines) + "\n", encoding="utf-8")
        draft.replace(self.path)
        return before

    def add(self, row: int, one: T) -> None:
        """Keep one more."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(self._line(row, one) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _line(self, row: int, one: T) -> str:
        return json.dumps({"row": row, "found": self.tell(one)})


def _digest(crystals: Crystals, settings: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for values in (crystals.frac.double(), crystals.cell.double(), crystals.numbers, crystals.n_atoms):
        digest.update(values.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _parse(line: str) -> dict[str, Any] | None:
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None
