"""The experiments behind the paper's figures: what each asks, its tables, and the paper's own numbers."""

from importlib import import_module
from typing import Any

_HOMES = {
    "plan": "workbench.paper.plans",
    "PLANS": "workbench.paper.plans",
    "make": "workbench.paper.making",
    "table": "workbench.paper.tables",
    "labels": "workbench.paper.tables",
    "tables": "workbench.paper.tables",
    "numbers": "workbench.paper.numbers",
    "rates": "workbench.paper.rates",
    "show": "workbench.paper.showing",
    "say": "workbench.paper.showing",
    "in_words": "workbench.paper.showing",
    "training": "workbench.paper.training",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"workbench.paper has no {name!r}; it offers {', '.join(_HOMES)}.")
    module = import_module(_HOMES[name])
    return getattr(module, name, module)


def __dir__() -> list[str]:
    return sorted(_HOMES)
