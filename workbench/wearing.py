"""Models by the names the bench gives them: one of them, or a base and the adapters it wears, joined by plus signs."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.sampling.model import CrystalModel


@dataclass(frozen=True)
class Listed:
    """A model that can be loaded by name: what it listens to, and the hash of the base it sits on, if on any."""

    name: str
    properties: tuple[str, ...] = ()
    base: str | None = None


def listed() -> list[Listed]:
    """The models that are here, bases first; one whose description cannot be read is listed by its name alone."""
    from model import checkpoints

    places = [checkpoints.SHIPPED, checkpoints.own_folder()]
    found = []
    for name in checkpoints.available():
        file = next((file for place in places if (file := place / name / "model.json").exists()), None)
        try:
            told = json.loads(file.read_text(encoding="utf-8")) if file else {}
            found.append(Listed(name, tuple(told.get("properties", ())), told.get("base")))
        except (OSError, ValueError, TypeError, AttributeError):
            found.append(Listed(name))
    return sorted(found, key=lambda one: (one.base is not None, bool(one.properties), one.name))


def parts(name: str) -> list[str]:
    """The models of a name: itself alone, or a base and what it wears."""
    if "+" not in name or Path(name).exists():
        return [name.strip()]
    return [part.strip() for part in name.split("+") if part.strip()]


def together(base: str, adapters: Iterable[str]) -> str:
    """The name of a base with adapters; a single adapter brings its base along."""
    adapters = list(adapters)
    return "+".join([base, *adapters]) if len(adapters) > 1 else adapters[0] if adapters else base


def load(name: str) -> "CrystalModel":
    """A model by its name. Raises CheckpointError where one is not there, MisfitError where they do not fit."""
    from model import checkpoints
    from model.sampling.wear import worn

    return worn([checkpoints.load(part) for part in parts(name)])


@cache
def _hash(name: str) -> str:
    from model import checkpoints

    return checkpoints.load(name).hash


def base_named(wanted: str) -> str:
    """Name of the model here whose weights have this hash; empty where there is none."""
    bases = [one.name for one in listed() if one.base is None and not one.properties]
    return next((name for name in bases if _hash(name) == wanted), "")
