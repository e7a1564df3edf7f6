"""Work is spread over this process, over processes, or over a Dask cluster, with the same results in the same order."""

import pytest
import torch

from model.crystals import Crystals
from model.execution import INLINE, Progress, executor_of, spread
from model.testing import famous


def square(x):
    return x * x


def answers(executor):
    seen: list[Progress] = []
    found = list(spread(square, range(5), stage="work", executor=executor, watch=seen.append))
    assert [p.done for p in seen] == [1, 2, 3, 4, 5]
    return found


def test_one_worker_is_this_process():
    with executor_of() as executor:
        assert executor is INLINE
        assert answers(executor) == [0, 1, 4, 9, 16]


def test_a_dask_cluster_relaxes_as_this_process_does(tight):
    distributed = pytest.importorskip("distributed")
    from ase.calculators.emt import EMT

    from model.relax.ase import AsePotential
    from model.relax.relaxer import relax

    copper = famous("fcc-Cu")
    crystals = Crystals.join([copper.replace(cell=copper.cell * size) for size in (0.97, 1.02, 1.04)])
    potential = AsePotential(EMT(), "EMT")
    here = relax(crystals, potential, fmax=0.01, steps=50)
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        executor_of(dask=cluster.scheduler_address) as executor,
    ):
        assert answers(executor) == [0, 1, 4, 9, 16]
        there = relax(crystals, potential, fmax=0.01, steps=50, executor=executor, atoms_at_once=1)
    torch.testing.assert_close(there.crystals.cell, here.crystals.cell, atol=10 * tight, rtol=10 * tight)


def test_a_cluster_that_is_not_there_is_said(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("model.execution.CONNECT_SECONDS", 1)
    with pytest.raises(OSError, match="No Dask scheduler answers at"), executor_of(dask="tcp://127.0.0.1:9"):
        pass
    with pytest.raises(ValueError, match="brings its own workers"), executor_of(3, "tcp://127.0.0.1:9"):
        pass
