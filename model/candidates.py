"""Crystals and what we learned of each: one table, every column registered with its name and unit. Edge: pandas."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from model.crystals import Crystals
from model.shapes import Bool

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Column:
    """What a quantity is called for people, and its unit ("" for none)."""

    label: str
    unit: str = ""
    about: str = ""

    @property
    def title(self) -> str:
        """Label with unit, as on an axis."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


COLUMNS: Mapping[str, Column] = MappingProxyType({
    "id": Column("Id", about="name of the crystal; CIF files carry it"),
    "formula": Column("Formula", about="reduced formula"),
    "chemical_system": Column("Chemical system"),
    "n_atoms": Column("Atoms", about="atoms in the generated cell"),
    "space_group": Column("Space group", about="international symbol as generated, symprec 0.1 Å"),
    "space_group_number": Column("Space group number", about="as generated, symprec 0.1 Å"),
    "volume": Column("Volume", "Å³"),
    "density": Column("Density", "g/cm³"),
    "seed": Column("Seed"),
    "index": Column("Index", about="position in its run: with the seed it replays this crystal"),
    "status": Column("Status", about="generated, judged, or why not"),
    "reason": Column("Reason", about="why unstable, not new, or not judged"),
    "relaxed_converged": Column("Relaxed", about="the relaxation met its force criterion"),
    "relaxation_steps": Column("Relaxation steps"),
    "energy": Column("Energy", "eV/atom", "total energy of the energy model, after relaxation"),
    "formation_energy": Column("Formation energy", "eV/atom"),
    "energy_above_hull": Column("Energy above hull", "eV/atom"),
    "own_hull": Column("Energy above own hull", "eV/atom", "known phases of its very system replaced by the set"),
    "hull_coverage": Column("Known phases", about="reference phases in this chemical system and its subsystems"),
    "stable": Column("Stable", about="energy above hull at most 0.1 eV/atom"),
    "unique": Column("Unique", about="no earlier crystal of the same set matches it"),
    "novel": Column("Novel", about="no structure of the reference matches it; empty: undecided"),
    "novelty": Column("Novelty", about="novel, known or undecided"),
    "sun": Column("S.U.N.", about="stable, unique and novel"),
    "novel_system": Column("Novel system", about="the reference knows nothing of its chemical system"),
    "nearest_known": Column("Nearest known", about="id of the matching or most similar known crystal"),
    "nearest_distance": Column("Distance to nearest", about="fingerprint distance"),
    "rmsd": Column("RMSD to relaxed", "Å", "by the matcher's mapping; 0.5 atomic spacings where nothing matches"),
    "rmsd_paired": Column("RMSD to relaxed, atoms paired", "Å", "best pairing of like atoms, drift and strain apart"),
    "relaxed_space_group": Column("Relaxed space group", about="after relaxation, symprec 0.1 Å"),
    "relaxed_space_group_number": Column("Relaxed space group number", about="after relaxation, symprec 0.1 Å"),
    "space_group_tight": Column("Space group number, tight", about="as generated, symprec 0.01 Å"),
    "relaxed_space_group_tight": Column("Relaxed space group number, tight", about="after relaxation, symprec 0.01 Å"),
    "relaxed_volume": Column("Relaxed volume", "Å³"),
    "dft_mag_density": Column("Magnetic density", "Å⁻³"),
    "ml_mag_density": Column("Magnetic density (energy model)", "Å⁻³", "moments over volume, after relaxation"),
    "dft_band_gap": Column("Band gap", "eV"),
    "dft_bulk_modulus": Column("Bulk modulus (DFT)", "GPa"),
    "dft_shear_modulus": Column("Shear modulus (DFT)", "GPa"),
    "ml_bulk_modulus": Column("Bulk modulus", "GPa"),
    "bulk_modulus": Column("Bulk modulus (DFT or curve)", "GPa"),
    "bulk_modulus_misfit": Column("Misfit of the curve", about="energies off the equation of state, of their range"),
    "ml_shear_modulus": Column("Shear modulus", "GPa"),
    "elastic_anisotropy": Column("Elastic anisotropy", about="universal index; 0 where alike in all directions"),
    "predicted_bulk_modulus": Column("Bulk modulus (readout)", "GPa", "predicted; its error is on the scorecard"),
    "ml_band_gap": Column("Band gap (readout)", "eV", "predicted; its error is on the scorecard"),
    "prototype": Column("Prototype", about="AFLOW label: formula, Pearson symbol, space group, Wyckoff letters"),
    "prototype_name": Column("Prototype's name", about="mineral and Strukturbericht symbol, where it has them"),
    "dimensionality": Column("Dimensionality", about="bulk, layered, chains or molecular, by CrystalNN's bonds"),
    "oxidation_states": Column("Oxidation states", about="the likeliest that balance; empty where none do"),
    "charge_balanced": Column("Charges balance", about="empty for metals and elements, which hold none"),
    "hhi_score": Column("HHI (reserves)"),
    "hhi_production": Column("HHI (production)"),
    "structure_valid": Column("Geometry valid", about="no atoms closer than 0.5 Å, volume at least 0.1 Å³"),
    "known_environments": Column("Atoms in known surroundings", about="share of atoms that stand as in known crystals"),
    "odd_environments": Column("Odd surroundings", about="coordination or bonds that known crystals do not show"),
    "disordered_parent": Column("Disordered parent", about="the first of the set that may share a disordered parent"),
    "composition_obeyed": Column("Composition as asked", about="elements, formula and number of atoms as asked"),
    "space_group_obeyed": Column("Space group as asked", about="after relaxation where relaxed, symprec 0.1 Å"),
    "composition_valid": Column("Composition valid", about="SMACT: charge neutral and Pauling-ordered"),
})


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Crystals with a table that holds a row for each; every column is in COLUMNS."""

    crystals: Crystals
    table: "pd.DataFrame"

    def __post_init__(self) -> None:
        if len(self.table) != len(self.crystals):
            raise ValueError(f"{len(self.crystals)} crystals need as many rows; the table has {len(self.table)}.")
        if strange := [name for name in self.table.columns if name not in COLUMNS]:
            raise ValueError(f"Columns {', '.join(map(str, strange))} are not registered in COLUMNS.")

    def __len__(self) -> int:
        """Number of candidates."""
        return len(self.crystals)

    def learn(self, **columns: Any) -> "Candidates":
        """The same candidates knowing more: the only way a table grows."""
        return Candidates(crystals=self.crystals, table=self.table.assign(**columns))

    def where(self, keep: Bool[np.ndarray, " batch"]) -> "Candidates":
        """Those for which `keep` holds, in the same order."""
        keep = np.array(keep, dtype=bool)  # a copy: pandas hands out arrays that may not be written
        return Candidates(crystals=self.crystals[torch.from_numpy(keep)], table=self.table[keep].reset_index(drop=True))

    @staticmethod
    def join(parts: "list[Candidates]") -> "Candidates":
        """One set out of several, in order."""
        import pandas as pd

        tables = [part.table for part in parts]
        return Candidates(
            crystals=Crystals.join([part.crystals for part in parts]),
            table=pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(),
        )
