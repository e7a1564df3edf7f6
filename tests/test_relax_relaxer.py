"""Relaxation in company: the same steps as ASE's, verdicts instead of exceptions, nobody waits for the slowest."""

import io
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout

import pytest
import torch
from ase.calculators.lj import LennardJones
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE

from model.crystals import Crystals
from model.execution import Cancelled
from model.io import to_atoms
from model.relax.ase import AsePotential
from model.relax.potential import Reading
from model.relax.relaxer import relax
from model.testing import famous, sound

NAMES = ("fcc-Cu", "rocksalt-NaCl", "hcp-Mg", "diamond-Si", "rutile-TiO2")


def shaken(names=NAMES, seed=0, by=0.02):
    crystals = Crystals.join([famous(name) for name in names])
    generator = torch.Generator().manual_seed(seed)
    frac = crystals.frac + by * torch.randn(crystals.frac.shape, generator=generator)
    return crystals.replace(frac=torch.remainder(frac, 1.0))


class Springs:
    """Every atom on a spring to a fraction of its cell, and a cell that wants 20 Å³ an atom: the answer is known."""

    name = "springs"
    home = 0.5

    def __call__(self, crystals: Crystals) -> Reading:
        frac = crystals.frac.double().clone().requires_grad_()
        strain = torch.zeros(len(crystals), 3, 3, dtype=torch.float64, requires_grad=True)
        cell = crystals.cell.double() @ (torch.eye(3, dtype=torch.float64) + strain)
        off = torch.einsum("ni,nij->nj", frac - self.home, crystals.cell.double()[crystals.owner])
        energy = torch.zeros(len(crystals), dtype=torch.float64).index_add(0, crystals.owner, (off**2).sum(1))
        size = torch.linalg.det(cell).abs() / crystals.n_atoms
        energy = energy + crystals.n_atoms * (size / 20 - 1) ** 2
        by_frac, by_strain = torch.autograd.grad(energy.sum(), [frac, strain])
        back = torch.linalg.inv(crystals.cell.double())[crystals.owner]
        volume = torch.linalg.det(crystals.cell.double()).abs()
        return Reading(
            energy=energy.detach(),
            forces=-torch.einsum("nj,nij->ni", by_frac, back),
            stress=(by_strain + by_strain.mT) / 2 / volume[:, None, None],
            moments=torch.full((len(frac),), torch.nan, dtype=torch.float64),
        )


def ase_fire(crystal: Crystals, calculator, steps=200):
    atoms = to_atoms(crystal)[0]
    atoms.calc = calculator
    with redirect_stdout(io.StringIO()):
        optimizer = FIRE(FrechetCellFilter(atoms), logfile=None)
        optimizer.run(fmax=0.01, steps=steps)
    return atoms, optimizer.nsteps


def test_the_same_steps_as_ase():
    calculator = LennardJones(sigma=2.2, epsilon=0.3, rc=7.0, smooth=True)
    crystals = shaken(("fcc-Cu", "hcp-Mg", "bcc-Fe"))
    ours = relax(crystals, AsePotential(calculator, "LJ"), fmax=0.01, steps=200)
    for row, crystal in enumerate(crystals):
        atoms, steps = ase_fire(crystal, calculator)
        assert int(ours.steps[row]) == steps
        assert float(ours.energy[row]) == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
        assert ours.crystals.cell[row].numpy() == pytest.approx(atoms.cell.array, abs=1e-4)


def test_every_crystal_reaches_the_known_answer_whatever_the_company():
    crystals = shaken()
    alone = relax(crystals, Springs(), fmax=1e-4, atoms_at_once=1)
    together = relax(crystals, Springs(), fmax=1e-4, atoms_at_once=10_000)
    assert together.converged.all()
    sound(together.crystals)
    assert torch.linalg.det(together.crystals.cell).abs().numpy() == pytest.approx(
        (20 * crystals.n_atoms).numpy(), rel=1e-3
    )
    assert (together.steps == alone.steps).all()
    assert together.energy.numpy() == pytest.approx(alone.energy.numpy(), abs=1e-9)
    assert (together.crystals.numbers == crystals.numbers).all()


def test_an_executor_changes_nothing():
    crystals = shaken()
    inline = relax(crystals, Springs(), fmax=1e-3)
    with ThreadPoolExecutor(2) as executor:
        spread = relax(crystals, Springs(), fmax=1e-3, atoms_at_once=8, executor=executor)
    assert (spread.steps == inline.steps).all()
    assert spread.energy.numpy() == pytest.approx(inline.energy.numpy(), abs=1e-9)


class Trouble(Springs):
    """Springs that do something else on titanium."""

    def __init__(self, what):
        self.what, self.calls = what, 0

    def __call__(self, crystals):
        self.calls += 1
        ill = torch.zeros(len(crystals)).index_add_(0, crystals.owner, (crystals.numbers == 22).float()) > 0
        if self.what == "raise" and ill.any():
            raise RuntimeError("titanium!")
        reading = super().__call__(crystals)
        if self.what == "nan":
            reading.energy[ill] = torch.nan
        if self.what == "late nan" and self.calls > 4:
            reading.forces[(crystals.numbers == 22)] = torch.nan
        return reading


@pytest.mark.parametrize(("what", "says"), [("raise", "titanium!"), ("nan", "number"), ("late nan", "number")])
def test_a_failing_crystal_is_named_and_the_others_go_on(what, says):
    crystals = shaken()
    relaxation = relax(crystals, Trouble(what), fmax=1e-3)
    assert relaxation.failed.tolist() == [name == "rutile-TiO2" for name in NAMES]
    assert says in relaxation.reasons[4]
    assert relaxation.converged[:4].all()
    assert len(relaxation) == len(crystals)


def test_what_does_not_converge_gets_a_verdict():
    relaxation = relax(shaken(), Springs(), fmax=1e-9, steps=3)
    assert not relaxation.converged.any()
    assert (relaxation.steps == 3).all()
    assert all("Not relaxed after 3 steps" in reason for reason in relaxation.reasons)
    assert torch.isfinite(relaxation.energy).all()


def test_a_cell_that_explodes_gets_a_verdict():
    class Pressure(Springs):
        def __call__(self, crystals):
            reading = super().__call__(crystals)
            return Reading(
                energy=reading.energy, forces=torch.zeros_like(reading.forces), moments=reading.moments,
                stress=-torch.eye(3, dtype=torch.float64).expand(len(crystals), 3, 3).contiguous(),
            )  # fmt: skip

    relaxation = relax(shaken(("fcc-Cu",)), Pressure(), steps=500)
    assert "exploded" in relaxation.reasons[0]
    assert int(relaxation.steps[0]) < 500


def test_trajectories_start_at_the_start_and_end_at_the_end():
    crystals = shaken()
    relaxation = relax(crystals, Springs(), fmax=1e-3, trajectories=True)
    for row, path in enumerate(relaxation.paths):
        assert len(path.crystals) == len(path.energy) == int(relaxation.steps[row]) + 1
        assert path.crystals.cell[0].numpy() == pytest.approx(crystals.cell[row].numpy(), abs=1e-6)
        assert path.crystals.cell[-1].numpy() == pytest.approx(relaxation.crystals.cell[row].numpy())
        assert float(path.energy[-1]) == float(relaxation.energy[row])


def test_a_watch_hears_of_each_and_may_stop_it():
    heard = []

    def watch(progress):
        heard.append(progress)
        if progress.done == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        relax(shaken(), Springs(), watch=watch)
    assert [p.done for p in heard] == [1, 2]
    assert heard[0].payload.converged


@pytest.mark.parametrize("stop", [Cancelled, KeyboardInterrupt])
def test_an_interrupted_potential_keeps_what_came_to_rest(stop):
    class Interrupted(Springs):
        calls, last = 0, 0

        def __call__(self, crystals):
            self.calls += 1
            if self.calls > self.last:
                raise stop
            return super().__call__(crystals)

    crystals, heard = shaken(), []
    whole = relax(crystals, Springs(), fmax=1e-3, atoms_at_once=1)
    potential = Interrupted()
    potential.last = int(whole.steps[:2].sum()) + 3  # two come to rest, one reading each more than steps
    with pytest.raises(stop):
        relax(crystals, potential, fmax=1e-3, atoms_at_once=1, watch=lambda progress: heard.append(progress.payload))
    assert [one.row for one in heard] == [0, 1]
    assert all(one.converged for one in heard)
    assert heard[1].energy == pytest.approx(float(whole.energy[1]), abs=1e-9)


def test_nothing_to_relax():
    relaxation = relax(Crystals.empty(), Springs())
    assert len(relaxation) == 0
    assert relaxation.reasons == ()


@pytest.mark.slow
def test_chgnet_relaxes_as_its_own_optimizer():
    from chgnet.model import StructOptimizer

    from model.io import to_structures
    from model.relax.chgnet import CHGNetPotential

    crystals = shaken(("rocksalt-NaCl", "rutile-TiO2", "perovskite-SrTiO3", "layered-LiCoO2"))
    ours = relax(crystals, CHGNetPotential())
    with redirect_stdout(io.StringIO()):
        optimizer = StructOptimizer(use_device="cpu")
    for row, structure in enumerate(to_structures(crystals)):
        path = optimizer.relax(structure, fmax=0.05, verbose=False)["trajectory"]
        assert int(ours.steps[row]) == len(path) - 2
        assert float(ours.energy[row]) == pytest.approx(float(path.energies[-1]), abs=1e-3)
