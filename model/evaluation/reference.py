"""Reference: what is known of the world's crystals: the hull, elemental energies, known crystals. Edge: pandas."""

import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from model.crystals import Crystals
from model.evaluation import known as known_crystals
from model.evaluation.hull import Footing, HullTable
from model.evaluation.known import KnownCrystals
from model.execution import INLINE, Watch, silent

SHIPPED = Path(__file__).resolve().parents[1] / "reference"
MANIFEST, HULL, ELEMENTS = "reference.json", "hull.parquet", "elements.json"
FORMAT = 1


class BadReferenceError(ValueError):
    """A reference that is not there, not readable, or lacks what is asked of it."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Known crystals and the hull they make, under one name that every scorecard prints.

    `energies` holds, for each energy model, the energy of each element in eV/atom that turns the model's totals into
    formation energies.
    """

    name: str
    hull: HullTable
    known: KnownCrystals
    energies: Mapping[str, Mapping[str, float]]
    about: Mapping[str, Any] = field(default_factory=dict)
    folder: str = ""  # where it was loaded from; empty for the shipped one

    @staticmethod
    def shipped() -> "Reference":
        """The reference that the package brings: hull, elemental energies and fingerprints, no structures."""
        return _shipped()

    @staticmethod
    def load(folder: str | os.PathLike) -> "Reference":
        """A reference from its folder. Raises BadReferenceError where there is none."""
        import pandas as pd

        folder = Path(folder)
        if not (folder / MANIFEST).exists():
            raise BadReferenceError(
                f"There is no reference in {folder}: it has no {MANIFEST}. "
                "Make one with: workbench reference build FILES --out REF."
            )
        try:
            about = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            energies = json.loads((folder / ELEMENTS).read_text(encoding="utf-8"))
            table = pd.read_parquet(folder / HULL)
            crystals = known_crystals.load(folder)
        except (OSError, ValueError, KeyError) as error:
            raise BadReferenceError(f"The reference in {folder} is damaged ({error}); build it again.") from error
        if about.get("format") != FORMAT:
            raise BadReferenceError(
                f"The reference in {folder} has format {about.get('format')}, this version reads {FORMAT}; "
                "build it again."
            )
        return Reference(
            name=about["name"], hull=HullTable.of(table), known=crystals, energies=energies, about=about,
            folder="" if folder == SHIPPED else str(folder.absolute()),
        )  # fmt: skip

    @staticmethod
    def build(
        files: Sequence[str | os.PathLike],
        out: str | os.PathLike,
        *,
        name: str | None = None,
        executor: Executor = INLINE,
        watch: Watch = silent,
    ) -> "Reference":
        """A reference with structures from tables or folders of crystals; `out` must not exist yet. See `build.py`."""
        from model.evaluation.build import build

        return build(files, out, name=name, executor=executor, watch=watch)

    @property
    def has_structures(self) -> bool:
        """Whether known crystals can be drawn and matched, and not their fingerprints alone compared."""
        return self.known.has_structures

    def structure(self, name: str) -> Crystals:
        """The known crystal called `name`. Raises LookupError where it, or any structure, is missing."""
        return self.known.structure(self.known.row_of(name))

    def knows_formula(self, formula: str) -> bool:
        """Whether a crystal of this reduced formula is known to exist, with its structure or without."""
        element = re.fullmatch(r"([A-Z][a-z]?)\d*", formula)  # one alone lies on the hull and is known
        if element and self.hull.knows_system([element[1]]):
            return True
        return formula in self.hull.formulas or len(self.known.rows(formula)) > 0

    def elemental(self, energy_model: str) -> Mapping[str, float]:
        """Energies of the elements for an energy model. Raises BadReferenceError where it was not fitted."""
        if energy_model not in self.energies:
            known = ", ".join(self.energies) or "none"
            raise BadReferenceError(
                f"No elemental energies were fitted for {energy_model} (there are: {known}), so its energies do not "
                "compare with the hull. Fit them on known crystals: workbench reference fit TABLE --energy-model NAME."
            )
        return self.energies[energy_model]

    def footing(self, composition: Mapping[str, float]) -> Footing:
        """The hull below a composition."""
        return self.hull.below(composition)

    def formation_energy(self, composition: Mapping[str, float], energy: float, energy_model: str) -> float:
        """Formation energy in eV/atom from a total energy in eV; NaN where an element has no reference energy."""
        elements = self.elemental(energy_model)
        if any(symbol not in elements for symbol in composition):
            return float("nan")
        total = sum(composition.values())
        return (energy - sum(n * elements[symbol] for symbol, n in composition.items())) / total

    def save(self, out: str | os.PathLike, *, packed: bool = False) -> None:
        """Keep it in a folder that does not exist yet, whole or not at all."""
        import pandas as pd

        out = Path(out)
        if out.exists():
            raise FileExistsError(f"{out} exists already; name a folder that does not.")
        draft = out.with_name(f".{out.name}.part")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        table = {"formula": self.hull.formula, "formation_energy": self.hull.energy, "kind": self.hull.kind}
        pd.DataFrame(table).to_parquet(draft / HULL, compression="zstd", index=False)
        known_crystals.save(self.known, draft, packed=packed)
        (draft / ELEMENTS).write_text(json.dumps(self.energies, indent=1), encoding="utf-8")
        manifest = {**self.about, "format": FORMAT, "name": self.name}
        (draft / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        draft.rename(out)

    def covering(self, elements: Iterable[str]) -> int:
        """How many phases are known in a chemical system and its subsystems, the elements apart."""
        return self.footing(dict.fromkeys(elements, 1.0)).known


@cache
def _shipped() -> Reference:
    return Reference.load(SHIPPED)
