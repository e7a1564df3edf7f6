"""What kind of crystal it is: prototype, dimensionality, balance of charges, as reviewers ask (D.2). Edge: pymatgen."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import torch

from model.candidates import Candidates
from model.crystals import Crystals
from model.evaluation.means import Means
from model.execution import spread
from model.properties.oxidation import oxidation
from model.sampling.generate import diagnose

if TYPE_CHECKING:
    from pymatgen.analysis.prototypes.matcher import PrototypeDatabaseMatcher
    from pymatgen.core import Structure

DIMENSIONS: Mapping[int, str] = {0: "molecular", 1: "chains", 2: "layered", 3: "bulk"}
COLUMNS_TOLD = ("prototype", "prototype_name", "dimensionality", "oxidation_states", "charge_balanced")
_MATCHED = 60  # atoms in the primitive cell beyond which no prototype of the library lies that could match in time


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What kind of crystal one is; texts are empty where nothing could be told.

    `prototype` is AFLOW's label (anonymous formula, Pearson symbol, space group, Wyckoff letters), `name` what that
    prototype is called, if it has a name; `dimensionality` is bulk, layered, chains or molecular.
    """

    prototype: str
    name: str
    dimensionality: str
    oxidation_states: str
    charge_balanced: bool | None

    @property
    def columns(self) -> dict[str, Any]:
        """As columns of the candidates' table."""
        told = (self.prototype, self.name, self.dimensionality, self.oxidation_states, self.charge_balanced)
        return dict(zip(COLUMNS_TOLD, told, strict=True))

    @property
    def text(self) -> str:
        """One line for a person."""
        kind = ", ".join(part for part in (self.name or self.prototype, self.dimensionality) if part)
        charges = {
            None: "no charges to balance", True: f"charges balance: {self.oxidation_states}",
            False: "no known oxidation states balance",
        }[self.charge_balanced]  # fmt: skip
        return f"{kind}; {charges}" if kind else charges


def story(crystal: Crystals) -> Story:
    """The story of one crystal (a batch of one); where it has collapsed, or atoms touch, its charges alone."""
    from model.io import to_structures

    structure = to_structures(crystal)[0]
    charges = oxidation(structure.composition.get_el_amt_dict())
    told = {"oxidation_states": charges.text, "charge_balanced": charges.balanced}
    if diagnose(crystal, torch.ones(1, dtype=torch.bool)):  # atoms without number lie within reach of one another
        return Story(prototype="", name="", dimensionality="", **told)
    return Story(
        prototype=prototype(structure), name=prototype_name(structure), dimensionality=dimensionality(structure), **told
    )


def tell(candidates: Candidates, relaxed: Crystals | None = None, means: Means | None = None) -> Candidates:
    """The candidates with their stories: of the relaxed crystals where these are given, in the same order."""
    import pandas as pd

    crystals = candidates.crystals if relaxed is None else relaxed
    if len(crystals) != len(candidates):
        raise ValueError(f"{len(candidates)} candidates need as many relaxed crystals; found {len(crystals)}.")
    told = _told(crystals, means or Means())
    table = pd.DataFrame([told[row] for row in range(len(crystals))], columns=COLUMNS_TOLD)
    table["charge_balanced"] = table["charge_balanced"].astype("boolean")
    return candidates.learn(**{name: table[name].array for name in table})


def _told(crystals: Crystals, means: Means) -> dict[int, dict[str, Any]]:
    """Stories as columns by row; those that an interrupted evaluation told before are not told again."""
    journal = means.findings("stories", crystals)
    told = {} if journal is None else journal.begin()
    rows = [row for row in range(len(crystals)) if row not in told]
    stories = spread(
        story, [crystals[row] for row in rows], stage="story", executor=means.executor, watch=means.watch
    )  # fmt: skip
    for row, one in zip(rows, stories, strict=True):
        told[row] = one.columns
        if journal is not None:
            journal.add(row, one.columns)
    return told


def prototype(structure: "Structure", symprec: float = 0.1) -> str:
    """AFLOW's label of a crystal's prototype, as `AB_cF8_225_a_b`; empty where symmetry cannot be told.

    Source: D. Hicks et al., npj Comput. Mater. 7, 30 (2021); the label by pymatgen, symmetry by spglib.
    """
    from pymatgen.analysis.prototypes import get_protostructure_label_from_spglib

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            label = get_protostructure_label_from_spglib(structure, init_symprec=symprec)
        except Exception:  # noqa: BLE001 - spglib refuses collapsed crystals in many ways; they have no prototype
            return ""
    return str(label).split(":")[0] if label else ""


def prototype_name(structure: "Structure") -> str:
    """What the prototype is called, by the AFLOW library that pymatgen brings; empty where it has no name there.

    Source: M. J. Mehl et al., Comput. Mater. Sci. 136, S1 (2017).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            matcher = _library(structure.composition.anonymized_formula)
            if matcher is None or len(structure.get_primitive_structure()) > _MATCHED:
                return ""
            found = matcher.get_prototypes(structure)
        except Exception:  # noqa: BLE001 - reduction fails on collapsed crystals in many ways; they match nothing
            return ""
    if not found:
        return ""
    tags = found[0]["tags"]
    letters = tags.get("strukturbericht")
    name = tags.get("mineral") or ""
    known = letters if letters and letters != "None" else ""
    return f"{name} ({known})" if name and known else name or known


@cache
def _library(formula: str) -> "PrototypeDatabaseMatcher | None":
    """Prototypes of one anonymous formula: no others can match."""
    import pandas as pd
    from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY
    from pymatgen.analysis.prototypes.matcher import PrototypeDatabaseMatcher

    rows = [
        entry for entry in AFLOW_PROTOTYPE_LIBRARY if entry["snl"].structure.composition.anonymized_formula == formula
    ]
    return PrototypeDatabaseMatcher(pd.DataFrame(rows)) if rows else None


def dimensionality(structure: "Structure") -> str:
    """Bulk, layered, chains or molecular, by which atoms are bonded; empty where bonds cannot be told.

    Source: P. M. Larsen et al., Phys. Rev. Mater. 3, 034003 (2019); bonds by CrystalNN.
    """
    from pymatgen.analysis.dimensionality import get_dimensionality_larsen
    from pymatgen.analysis.graphs import StructureGraph
    from pymatgen.core.local_env import CrystalNN

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            bonds = StructureGraph.from_local_env_strategy(structure, CrystalNN())
            return DIMENSIONS[int(get_dimensionality_larsen(bonds))]
        except Exception:  # noqa: BLE001 - Voronoi cells of collapsed crystals fail in many ways
            return ""
