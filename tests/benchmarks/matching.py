"""Ten thousand novelty questions to a million known crystals, memory-mapped.

    python tests/benchmarks/matching.py REF --copies 40 --queries 10000

REF is a reference with structures (workbench reference build). Its crystals are copied with their elements exchanged
until they are a million; half of the queries are known crystals in another cell, shaken, half the same with one element
exchanged. Prints the size of the index, how long it takes to open, and how long the questions take, by the clock and
by the time the core worked for them: on a machine with other work, the second is what compares.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from pymatgen.core import Composition

from model.elements import ALLOWED, NUMBERS, SYMBOLS
from model.evaluation import known
from model.evaluation.known import KnownCrystal
from model.evaluation.matching import Matcher, nearest, probe
from model.evaluation.reference import Reference
from model.io import from_structures, to_structures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference", type=Path)
    parser.add_argument("--copies", type=int, default=40)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--disordered", action="store_true", help="with the disordered matcher")
    asked = parser.parse_args()
    source = Reference.load(asked.reference).known
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        known.save(known.tabulate(list(copied(source, asked.copies)), structures=True), Path(folder))
        size = (Path(folder) / known.MAPPED).stat().st_size / 1e6
        print(f"made {size:.0f} MB in {time.perf_counter() - start:.0f} s")
        start = time.perf_counter()
        index = known.load(Path(folder))
        len(index.keys)
        print(f"{len(index):,} known crystals opened in {time.perf_counter() - start:.2f} s")
        ask(index, asked.queries, Matcher(disordered=asked.disordered))


def copied(source, copies):
    """Every crystal of the source, then again with all elements exchanged for others."""
    table = source.table
    ids, formulas = (table.column(name).to_pylist() for name in ("id", "formula"))
    groups = table.column("space_group").to_pylist()
    shared = [source.structure(row) for row in range(len(source))]
    generator = np.random.default_rng(0)
    for copy in range(copies):
        order = np.arange(len(SYMBOLS))
        if copy:
            taught = np.array([NUMBERS[symbol] for symbol in ALLOWED])
            order[taught] = generator.permutation(taught)
        for row, crystal in enumerate(shared):
            exchanged = {SYMBOLS[order[NUMBERS[s]]]: n for s, n in Composition(formulas[row]).get_el_amt_dict().items()}
            yield KnownCrystal(
                id=f"{ids[row]}-{copy}", formula=Composition(exchanged).reduced_formula, space_group=groups[row],
                n_primitive=len(crystal.numbers), fingerprint=rearranged(source, row, crystal, order),
                frac=crystal.frac.numpy(), cell=crystal.cell[0].numpy(), numbers=order[crystal.numbers.numpy()],
            )  # fmt: skip


def rearranged(source, row, crystal, order):
    """The fingerprint after the exchange: pairs of elements follow one another by their new numbers."""
    kinds = np.unique(crystal.numbers.numpy())
    place = np.argsort(order[kinds], kind="stable")
    pairs = source.fingerprint(row).reshape(len(kinds), len(kinds), -1)
    return pairs[place][:, place].reshape(-1)


def ask(index, count, matcher):
    """Questions, half of them about crystals that are there."""
    generator = np.random.default_rng(1)
    structures = [to_structures(index.structure(int(row)))[0] for row in generator.integers(len(index), size=count)]
    for place, structure in enumerate(structures):
        structure.perturb(0.03, seed=place)
        if place % 2:
            first = structure[0].specie.symbol
            structure.replace_species({first: ALLOWED[(ALLOWED.index(first) + 7) % len(ALLOWED)] if first in ALLOWED
                                       else "Li"})  # fmt: skip
    crystals = from_structures(structures)
    start, busy, matches = time.perf_counter(), time.process_time(), 0
    for crystal in crystals:
        found = nearest(probe(crystal), index, matcher)
        matches += bool(found is not None and found.matches)
    took, busy = time.perf_counter() - start, time.process_time() - busy
    print(f"{count:,} questions in {took:.1f} s on one core: {60 * count / took:,.0f} a minute; {matches:,} are known")
    print(f"{busy:.1f} s of these the core worked for them: {60 * count / busy:,.0f} in a minute of its own")


if __name__ == "__main__":
    sys.exit(main())
