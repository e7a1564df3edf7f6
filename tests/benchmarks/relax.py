"""How many crystals relax in a second: ours against CHGNet's own optimizer, one after another, on the same crystals.

    python tests/benchmarks/relax.py SHARED/data/mp/test.csv.gz --count 48

Prints both times, their ratio, and how far the energies differ. Cells are strained and atoms shaken first.
"""

import argparse
import io
import os
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import torch

from model.evaluation.build import gather
from model.execution import processes
from model.io import from_structures, parse_cif, to_structures
from model.relax.chgnet import CHGNetPotential
from model.relax.relaxer import relax


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--most-atoms", type=int, default=20)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--threads", type=int, default=None, help="torch's threads for the one-by-one loop (its own)")
    parser.add_argument("--fmax", type=float, default=0.05)
    asked = parser.parse_args()
    crystals = shaken(asked.table, asked.count, asked.most_atoms)
    print(f"{len(crystals)} crystals, {int(crystals.n_atoms.sum())} atoms, {asked.workers} workers")
    with processes(asked.workers) as executor:
        potential = CHGNetPotential()
        relax(crystals[: asked.workers], potential, steps=1, executor=executor)  # everybody awake
        start = time.perf_counter()
        ours = relax(crystals, potential, fmax=asked.fmax, executor=executor)
        mine = time.perf_counter() - start
    print(f"batched    {mine:8.1f} s  {len(crystals) / mine:6.2f} crystals/s, {int(ours.steps.sum())} steps")
    if asked.threads is not None:
        torch.set_num_threads(asked.threads)
    theirs, energies, steps = one_by_one(to_structures(crystals), asked.fmax)
    print(f"one by one {theirs:8.1f} s  {len(crystals) / theirs:6.2f} crystals/s, {steps} steps")
    off = np.abs((ours.energy / ours.crystals.n_atoms).numpy() - energies)
    print(f"ratio {theirs / mine:.2f}; energies differ by at most {1e3 * np.nanmax(off):.3f} meV/atom")


def shaken(table, count, most_atoms):
    """The table's first crystals, strained by up to 3 % and shaken by 0.1 Å."""
    generator = np.random.default_rng(0)
    structures = []
    for entry in gather([table]).entries:
        structure = parse_cif(entry.source)[0].get_primitive_structure()
        if len(structure) <= most_atoms:
            structure.apply_strain(generator.uniform(-0.03, 0.03, 3))
            structure.perturb(0.1, seed=int(generator.integers(1 << 30)))
            structures.append(structure)
        if len(structures) == count:
            break
    return from_structures(structures)


def one_by_one(structures, fmax):
    """CHGNet's StructOptimizer as it comes, with all the threads torch takes."""
    from chgnet.model import StructOptimizer

    with redirect_stdout(io.StringIO()):
        optimizer = StructOptimizer(use_device="cpu")
        optimizer.relax(structures[0], fmax=fmax, steps=1, verbose=False)
    start, energies, steps = time.perf_counter(), [], 0
    for structure in structures:
        path = optimizer.relax(structure, fmax=fmax, verbose=False)["trajectory"]
        energies.append(float(path.energies[-1]) / len(structure))
        steps += len(path) - 2
    return time.perf_counter() - start, np.array(energies), steps


if __name__ == "__main__":
    sys.exit(main())
