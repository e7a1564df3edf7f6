"""How a column of the candidates is read and shown: as a text, as yes or no, or as a number."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

FLAGS = frozenset({
    "stable", "unique", "novel", "sun", "relaxed_converged", "structure_valid", "composition_valid",
    "charge_balanced",
})  # fmt: skip
TEXTS = frozenset({
    "id", "formula", "chemical_system", "space_group", "relaxed_space_group", "status", "reason", "novelty",
    "nearest_known", "prototype", "prototype_name", "dimensionality", "oxidation_states",
})  # fmt: skip


def kind(name: str, values: "pd.Series | None" = None) -> str:
    """text, flag or number: by name, and for a column that only others know, by its values."""
    if name in FLAGS:
        return "flag"
    if name in TEXTS:
        return "text"
    known = None if values is None else values.dropna()
    return "text" if known is not None and len(known) and isinstance(known.iloc[0], str) else "number"
