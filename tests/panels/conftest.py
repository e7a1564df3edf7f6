"""A bench without a browser: a model and a state as panels meet them."""

import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from model.candidates import Candidates
from model.crystals import Crystals
from model.evaluation.hull import HullTable
from model.statistics import LabelStatistics, Statistics
from model.testing import famous, famous_names
from workbench.state import State


@pytest.fixture
def taught():
    """What the model was taught: two labels of 5,000 crystals."""
    random = np.random.default_rng(0)
    labels = {"dft_mag_density": LabelStatistics.of(random.gamma(2, 0.02, 5000)), "ml_bulk_modulus": LabelStatistics.of(random.gamma(4, 25, 5000))}
    return Statistics(count=5000, n_atoms={5: 10}, n_atoms_by_space_group={62: {4: 3, 20: 9}}, density=0.05, elements={}, chemical_systems=1, labels=labels)


@pytest.fixture
def model(taught):
    return SimpleNamespace(name="known", properties=("space_group", "dft_mag_density"), statistics=taught, hash="0")


@pytest.fixture
def state(model):
    reference = SimpleNamespace(hull=HullTable.of(pd.DataFrame({
        "formula": ["SrO", "TiO2", "SrTiO3"], "formation_energy": [-3.06, -3.26, -3.55], "kind": ["hull"] * 3})))
    return State(model=model, model_name="known", reference=reference)


@pytest.fixture(scope="module")
def crystals():
    return Crystals.join([famous(name) for name in famous_names()[:4]])


@pytest.fixture(scope="session")
def many():
    """Makes so many candidates, half of them judged."""
    return _many


def _many(n):
    one = famous(famous_names()[0])
    table = pd.DataFrame({
        "id": [f"c{i:05d}" for i in range(n)], "formula": "NaCl", "chemical_system": "Cl-Na", "n_atoms": 2, "volume": 45.0, "space_group": "Fm-3m", "index": range(n),
        "energy_above_hull": np.where(np.arange(n) % 2, np.linspace(0, 0.5, n), np.nan), "status": "judged"})
    return Candidates(crystals=Crystals.join([one] * n), table=table)


@pytest.fixture(scope="session")
def until():
    """Waits until something holds."""
    return _until


def _until(holds, seconds=20):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
