"""A diffusion model of inorganic crystals: generate, relax, judge. Names are loaded when they are first asked for."""

from importlib import import_module
from typing import Any

_HOMES = {
    "Crystals": "model.crystals",
    "Constraints": "model.constraints",
    "Target": "model.constraints",
    "Candidates": "model.candidates",
    "load": "model.checkpoints",
    "save": "model.checkpoints",
    "generate": "model.sampling.generate",
    "Start": "model.sampling.requests",
    "wear": "model.sampling.wear",
    "relax": "model.relax.relaxer",
    "evaluate": "model.evaluation.evaluate",
    "prepare": "model.data.cache",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"model has no {name!r}; it offers {', '.join(_HOMES)}.")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
