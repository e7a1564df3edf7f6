"""The design bench in JupyterLab; sits on `model`. Names are loaded when they are first asked for."""

from importlib import import_module
from typing import Any

_HOMES = {"Workbench": "workbench.app", "State": "workbench.state", "Session": "workbench.sessions.session"}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"workbench has no {name!r}; it offers {', '.join(_HOMES)}.")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
