"""Named tolerances, the given data, and famous crystals."""

import os
from pathlib import Path

import pytest
import torch

# one thread: on small tensors as fast, and where other work goes on many times faster, for threads wait for each other
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

# relative or absolute, as the test says; a looser one is a decision to explain
EXACT = 1e-12  # double precision, a few operations
TIGHT = 1e-6  # single precision, or what a text file keeps
LOOSE = 1e-3  # single precision through a network, or two programs that round differently

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def exact():
    return EXACT


@pytest.fixture(scope="session")
def tight():
    return TIGHT


@pytest.fixture(scope="session")
def loose():
    return LOOSE


@pytest.fixture(scope="session")
def shared():
    """The folder of given data; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"the given data is not at {folder}; set SHARED to where it is")
    return folder


@pytest.fixture(scope="session")
def awkward():
    """The folder of awkward crystals, by name."""
    return ROOT / "tests" / "crystals"


@pytest.fixture(scope="session")
def famous():
    """Well-known crystals by name: `famous("rocksalt-NaCl")`."""
    from model.testing import famous

    return famous


@pytest.fixture(scope="session")
def chgnet():
    """CHGNet, loaded once."""
    from model.relax.chgnet import CHGNetPotential

    return CHGNetPotential()


@pytest.fixture(scope="session")
def shaken():
    """Famous crystals joined, each coordinate shaken by so much of the cell: `shaken(names, 0.01)`."""
    from model.crystals import Crystals
    from model.testing import famous

    def shaken(names, by):
        joined = Crystals.join([famous(name) for name in names])
        shift = by * torch.randn(joined.frac.shape, generator=torch.Generator().manual_seed(0))
        return joined.replace(frac=torch.remainder(joined.frac + shift, 1.0))

    return shaken
