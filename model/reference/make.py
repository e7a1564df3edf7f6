"""Makes the tables of this folder: python -m model.reference.make DATA, DATA holding the CSV files named below.

The hull, as given, checked and packed; elemental energies of CHGNet, fitted on the training file's crystals alone so
that the others can test them; fingerprints of all crystals; their coordination and bond lengths, the test file's left
out so that they can test these. No structure is kept. `--only environments` makes that one table alone.
"""

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from model.evaluation import known
from model.evaluation.build import build, gather
from model.evaluation.check import fit_elements
from model.evaluation.elemental import Fit
from model.evaluation.environments import SHIPPED, KnownEnvironments
from model.evaluation.hull import HullTable
from model.evaluation.reference import ELEMENTS, FORMAT, HULL, MANIFEST
from model.execution import Progress, processes
from model.io import from_structures, parse_cif
from model.relax.chgnet import CHGNetPotential

CRYSTALS = ("train.csv.gz", "val.csv.gz", "test.csv.gz", "rest.csv.gz")
FORMATION = "formation_energies.csv.gz"
HERE = Path(__file__).parent
SOURCE = (
    "Derived from the Materials Project (CC BY 4.0): A. Jain et al., APL Materials 1, 011002 (2013); compositions from "
    "Matbench mp_e_form: A. Dunn et al., npj Comput. Mater. 6, 138 (2020)."
)


def main() -> None:
    """Make every table anew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--crystals", type=int, default=None, help="fit on so many crystals (default: all of train)")
    parser.add_argument("--only", choices=["environments"], default=None)
    asked = parser.parse_args()
    _write_environments([asked.data / name for name in CRYSTALS if name != "test.csv.gz"])
    if asked.only:
        return
    hull = HullTable.of(_hull_table(asked.data / FORMATION))
    found = fit_elements([asked.data / CRYSTALS[0]], CHGNetPotential(), count=asked.crystals)
    with processes(os.cpu_count() or 1) as executor, tqdm(unit=" crystals") as bar:

        def watch(progress: Progress) -> None:
            bar.total = progress.total
            bar.update(progress.done - bar.n)

        made = build(
            [asked.data / name for name in CRYSTALS], None, name="Materials Project, 25,385 crystals",
            structures=False, hull=hull, energies={}, executor=executor, watch=watch,
        )  # fmt: skip
    _write(made.known, hull, found, made.about["skipped"])


def _write_environments(files: list[Path]) -> None:
    """Coordination and bond lengths in known crystals."""
    entries = tqdm(gather(files).entries, desc="surroundings")
    found = KnownEnvironments.of(from_structures([parse_cif(entry.source)[0]]) for entry in entries)
    draft = HERE / f".{SHIPPED.name}.part"
    found.table.to_parquet(draft, compression="zstd", compression_level=15, index=False)
    draft.replace(HERE / SHIPPED.name)


def _hull_table(file: Path) -> pd.DataFrame:
    table = pd.read_csv(file, keep_default_na=False, na_values=[""])
    return table.rename(columns={"formation_energy_per_atom": "formation_energy"})


def _write(crystals: known.KnownCrystals, hull: HullTable, found: Fit, skipped: list) -> None:
    table = {"formula": hull.formula, "formation_energy": hull.energy.astype(np.float32), "kind": hull.kind}
    draft = HERE / f".{HULL}.part"
    pd.DataFrame(table).to_parquet(draft, compression="zstd", compression_level=15, index=False)
    draft.replace(HERE / HULL)
    known.save(crystals, HERE, packed=True)
    fitted = asdict(found)
    (HERE / ELEMENTS).write_text(json.dumps({CHGNetPotential.name: fitted.pop("energies")}, indent=1) + "\n")
    about = {
        "format": FORMAT,
        "name": f"Materials Project, {len(crystals):,} crystals, {len(hull):,} compositions",
        "crystals": len(crystals),
        "compositions": len(hull),
        "structures": False,
        "source": SOURCE,
        "licence": "CC-BY-4.0",
        "elements_fitted": {CHGNetPotential.name: fitted},
        "skipped": skipped,
    }
    (HERE / MANIFEST).write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
