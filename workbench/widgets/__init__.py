"""Panels: each reads State and writes State, and knows no other panel."""

from importlib import import_module
from typing import Any

_HOMES = {
    "ConstraintsPanel": "workbench.widgets.constraints",
    "GeneratePanel": "workbench.widgets.generate",
    "CandidatesPanel": "workbench.widgets.candidates",
    "SessionsPanel": "workbench.widgets.sessions",
    "StructurePanel": "workbench.widgets.structures",
    "HullPanel": "workbench.widgets.hull",
    "DistributionsPanel": "workbench.widgets.distributions",
    "ComparePanel": "workbench.widgets.compare",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"workbench.widgets has no {name!r}; it offers {', '.join(_HOMES)}.")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
