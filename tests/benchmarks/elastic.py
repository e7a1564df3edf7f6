"""How far elastic moduli by CHGNet lie from DFT's: the elastic tensor and, beside it, the equation of state.

    python tests/benchmarks/elastic.py ../shared/data/mp/test.csv.gz ../shared/data/mp/dft_elastic_moduli.csv.gz

The crystals of the first table whose formula has one crystal there and one entry in the second, of few atoms, drawn at
random; relaxed, strained, and their Hill averages compared.
"""

import argparse

import numpy as np
import pandas as pd

from model.crystals import Crystals
from model.io import from_structures, parse_cif
from model.properties.bulk_modulus import bulk_moduli
from model.properties.elastic import elasticity
from model.relax.chgnet import CHGNetPotential
from model.relax.relaxer import relax


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table")
    parser.add_argument("moduli")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--atoms", type=int, default=8, help="in the primitive cell, at most")
    asked = parser.parse_args()
    table = pd.read_csv(asked.table, keep_default_na=False, na_values=[""]).drop_duplicates("pretty_formula", keep=False)
    found = table.merge(pd.read_csv(asked.moduli, keep_default_na=False, na_values=[""]), left_on="pretty_formula", right_on="formula")
    crystals, dft = [], []
    for _, row in found.sample(frac=1, random_state=0).iterrows():
        structure = parse_cif(row["cif"])[0].get_primitive_structure()
        if len(structure) <= asked.atoms and len(crystals) < asked.count:
            crystals.append(from_structures([structure]))
            dft.append((row["bulk_modulus"], row["shear_modulus"]))
    potential = CHGNetPotential()
    rest = relax(Crystals.join(crystals), potential, fmax=0.01).crystals
    dft = np.array(dft, dtype=float)
    curve = np.array([state.modulus for state in bulk_moduli(rest, potential)])
    tensor = elasticity(rest, potential)
    tell("bulk modulus, equation of state", curve, dft[:, 0])
    tell("bulk modulus, elastic tensor", np.array([one.bulk for one in tensor]), dft[:, 0])
    tell("shear modulus, elastic tensor", np.array([one.shear for one in tensor]), dft[:, 1])
    for reason in sorted({one.reason for one in tensor if one.reason}):
        print(f"  none where: {reason}")


def tell(name, ours, dft):
    known = np.isfinite(ours)
    off = ours[known] - dft[known]
    print(f"{name}: {known.sum()} of {len(dft)} crystals; mean absolute error {np.abs(off).mean():.1f} GPa, median "
          f"{np.median(np.abs(off)):.1f}, {off.mean():+.1f} on average, correlation {np.corrcoef(ours[known], dft[known])[0, 1]:.2f}; "
          f"DFT's mean {dft[known].mean():.0f}")


if __name__ == "__main__":
    main()
