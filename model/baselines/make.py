"""Makes habits.json anew: python -m model.baselines.make DATA, DATA a folder of prepared crystals to learn from.

Derived from the Materials Project (CC BY 4.0): A. Jain et al., APL Materials 1, 011002 (2013).
"""

import argparse
import sys
from pathlib import Path

from model.baselines.habits import SHIPPED, learn
from model.data.cache import Dataset


def main() -> None:
    """Learn from all crystals of the data set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    dataset = Dataset.load(parser.parse_args().data)
    source = f"{len(dataset):,} crystals of the Materials Project (CC BY 4.0)"
    learn(dataset.crystals(), source).save(SHIPPED)


if __name__ == "__main__":
    sys.exit(main())
