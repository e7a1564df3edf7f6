"""Walking back: an oracle finds its crystals, orders of convergence, hard constraints, replays, starting points."""

import copy

import pytest
import torch

from model.cell import symmetric
from model.conditions import Conditions
from model.constraints import ConstraintError, Constraints
from model.crystals import MASK, Crystals, Prediction
from model.diffusion.crystal import CrystalDiffusion
from model.diffusion.lattice import LatticeNoise
from model.diffusion.schedule import grid
from model.elements import NUMBERS, SYMBOLS
from model.execution import Cancelled
from model.network.denoiser import GemNetDenoiser
from model.randomness import Streams
from model.sampling.generate import PUBLISHED, Method, generate, generate_with_report
from model.sampling.model import CrystalModel
from model.sampling.palette import Palette
from model.sampling.requests import Start
from model.sampling.schemes import ANCESTRAL, EULER, HEUN, MULTISTEP, SCHEMES
from model.sampling.walk import Walk, walk
from model.statistics import Statistics
from model.testing import Oracle, famous, sound

TINY = {"hidden": 16, "num_blocks": 1, "num_radial": 16, "emb_size_trip": 8, "emb_size_bil_trip": 8, "num_atom": 1,
        "max_neighbors": 12}
SIZES = {2: 4, 3: 3, 4: 6, 5: 2, 8: 5, 10: 1}


@pytest.fixture(scope="module")
def random_model():
    torch.manual_seed(0)
    statistics = Statistics(
        count=21, n_atoms=SIZES, n_atoms_by_space_group={225: {2: 1, 8: 3}}, density=0.0577, elements={},
        chemical_systems=0, labels={},
    )
    return CrystalModel(
        name="random", denoiser=GemNetDenoiser(**TINY).eval(), diffusion=CrystalDiffusion(), statistics=statistics
    )


@pytest.fixture(scope="module")
def known():
    crystals = Crystals.join([famous(n) for n in ("rocksalt-NaCl", "perovskite-SrTiO3", "rutile-TiO2")])
    return crystals.replace(cell=symmetric(crystals.cell))


def plan(denoiser, crystals, seed=0, **changes):
    streams = Streams(seed, torch.arange(len(crystals)))
    return Walk(
        denoiser=denoiser, diffusion=CrystalDiffusion(), conditions=Conditions(), streams=streams,
        palette=Palette.of(Constraints(), crystals.n_atoms), **changes,
    )


# a corrector leaves the path that extrapolation lies on, so multistep goes without
WAYS = [(name, c, n) for name in SCHEMES for c in (0, 1) for n in (200, 50, 20) if (name, c) != ("multistep", 1)]


@pytest.mark.parametrize(("name", "corrections", "steps"), [("ancestral", 1, 1000), *WAYS])
def test_an_oracle_recovers_known_crystals(known, name, corrections, steps):
    """The exact score of known crystals leads to them; 2 σ_min is far inside any bond length."""
    way = plan(Oracle(known), known, scheme=SCHEMES[name], corrections=corrections, published=steps == 1000)
    found, fine = walk(way, way.diffusion.prior(known.n_atoms, way.streams), grid(steps))
    apart = (found.frac - known.frac + 0.5) % 1 - 0.5
    assert fine.all()
    assert float(apart.abs().max()) < 0.02
    assert float((found.cell - known.cell).abs().max()) < 0.01
    assert (found.numbers == known.numbers).all()


def test_whoever_watches_is_asked_after_every_correction_too(known):
    way, seen = plan(Oracle(known), known, scheme=SCHEMES["ancestral"], corrections=2), []
    walk(way, way.diffusion.prior(known.n_atoms, way.streams), grid(4), lambda done, _: seen.append(done))
    assert seen == [0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4]


class Normal:
    """The exact answer for cells that are normal around a cube: a case whose path is known in closed form."""

    mean, spread = 5.0, 0.8

    def __init__(self):
        self.lattice = CrystalDiffusion().lattice

    def moments(self, t, n):
        alpha, std = self.lattice.at(t, n)
        centre = alpha[:, None, None] * self.mean * torch.eye(3) + (1 - alpha)[:, None, None] * self.lattice.mean(n)
        return centre, ((alpha * self.spread) ** 2 + std**2).sqrt()[:, None, None]

    def __call__(self, noisy, t, conditions=None):
        n = noisy.n_atoms
        centre, total = self.moments(t, n)
        std = self.lattice.std(t, n)[:, None, None]
        return Prediction(
            frac=torch.zeros_like(noisy.frac), cell=-std * (noisy.cell - centre) / total**2,
            logits=torch.zeros(len(noisy.numbers), 101),
        )


@pytest.mark.parametrize(("scheme", "order"), [(EULER, 1), (HEUN, 2), (MULTISTEP, 2)])
def test_orders_of_convergence(scheme, order):
    """Halving the step divides the error by 2 to the order: walked from t = 0.8 to 0.2 in double precision."""
    known, exact = famous("rocksalt-NaCl"), Normal()
    errors = []
    for steps in (16, 32, 64):
        way = plan(exact, known, scheme=scheme, corrections=0)
        times = torch.linspace(0.8, 0.2, steps + 1, dtype=torch.double)
        start = known.replace(
            frac=known.frac.double(), cell=torch.full((1, 3, 3), 0.7, dtype=torch.double) + 5 * torch.eye(3),
        )
        found, _ = walk(way, start, times)
        ends = [torch.tensor([v], dtype=torch.double) for v in (0.8, 0.2)]
        (from_, wide), (to, narrow) = (exact.moments(v, known.n_atoms) for v in ends)
        truth = to + (start.cell - from_) * narrow / wide
        errors.append(float((found.cell - truth).abs().max()))
    slopes = torch.tensor(errors).log2().diff().neg()
    assert float(slopes[-1]) == pytest.approx(order, abs=0.25)


def test_schemes_count_their_evaluations(known):
    oracle = Oracle(known)
    for scheme in SCHEMES.values():
        for corrections in (0, 1):
            calls = []
            way = plan(lambda *a, calls=calls: calls.append(1) or oracle(*a), known, scheme=scheme, corrections=corrections)
            walk(way, way.diffusion.prior(known.n_atoms, way.streams), grid(16))
            assert len(calls) == scheme.evaluations(16, corrections)


def asked(**wishes):
    return Constraints(count=256, seed=3, **wishes)


HARD = {
    "system": {"chemical_system": "Sr-Ti-O", "n_atoms": (3, 8)},
    "quinary": {"chemical_system": "Li-Fe-P-O-H", "n_atoms": (5, 6)},
    "allowed": {"allowed": {"Na", "Cl"}},
    "excluded": {"excluded": {"O", "Fe", "Co"}, "n_atoms": 3},
    "formula": {"formula": "Ca1Ti1O3", "n_atoms": (5, 10)},
    "sizes": {"n_atoms": (4, 7)},
}


@pytest.mark.parametrize("name", list(HARD))
def test_hard_constraints_are_never_broken(random_model, name):
    """256 crystals of random weights in 20 steps, bad states kept: not one violation."""
    constraints = asked(**HARD[name])
    made = generate(random_model, constraints, steps=20, redraws=0, batch_size=256)
    assert len(made) == 256
    for crystal in made:
        symbols = {SYMBOLS[z] for z in crystal.numbers.tolist()}
        assert symbols <= constraints.palette
        assert constraints.required <= symbols
        if constraints.chemical_system:
            assert symbols == constraints.chemical_system
        if constraints.formula:
            counts = torch.bincount(crystal.numbers, minlength=101)
            assert counts[NUMBERS["O"]] == 3 * counts[NUMBERS["Ca"]] == 3 * counts[NUMBERS["Ti"]]
        if constraints.n_atoms is not None:
            low, high = constraints.atom_range
            assert low <= int(crystal.n_atoms) <= high


@pytest.mark.parametrize("wishes", [
    {"excluded": {"Cl"}}, {"chemical_system": "Li-F"}, {"formula": "Ca1O1"}, {"chemical_system": "Na-Cl-O"},
    {"allowed": {"K", "Br"}},
])
@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_hard_constraints_hold_from_a_start_too(random_model, wishes, strength):
    whole = famous("spinel-MgAl2O4")[0]
    start = Start(crystal=whole.replace(cell=symmetric(whole.cell)), strength=strength)
    constraints = Constraints(count=8, **wishes)
    for crystal in generate(random_model, constraints, steps=16, redraws=0, start=start):
        symbols = {SYMBOLS[z] for z in crystal.numbers.tolist()}
        assert symbols <= constraints.palette
        assert constraints.required <= symbols


@pytest.mark.parametrize(("wishes", "word"), [
    ({"formula": "Na1Cl3"}, "kept atoms leave no way"), ({"chemical_system": "Na-Cl-O"}, "kept atoms leave no way"),
    ({"n_atoms": 4}, "has 2 atoms"), ({"formula": "NaCl2"}, "atoms are added with"), ({"excluded": {"Cl"}}, "rule out"),
])
def test_starts_that_cannot_meet_the_constraints_are_refused(random_model, known, wishes, word):
    start = Start(crystal=known[0], keep_elements=torch.tensor([True, True]), strength=0.5)
    if "Na1Cl3" in wishes.values():
        start = Start(crystal=Crystals.join([known[0]]).replace(
            frac=known[0].frac.repeat(2, 1), numbers=known[0].numbers.repeat(2), n_atoms=torch.tensor([4])),
            keep_elements=torch.ones(4, dtype=torch.bool), strength=0.5)
    with pytest.raises(ConstraintError, match=word):
        generate(random_model, Constraints(count=2, **wishes), steps=16, start=start)


def test_formula_gives_that_compound(random_model):
    made = generate(random_model, Constraints(formula="Ca1Ti1O3", count=4), steps=16, redraws=0)
    for crystal in made:
        counts = torch.bincount(crystal.numbers, minlength=30)
        assert counts[20] == counts[22] >= 1
        assert counts[8] == 3 * counts[20]


def test_sizes_follow_the_histogram_and_the_space_group(random_model):
    from model.sampling.requests import sizes

    streams = Streams(0, torch.arange(4000))
    drawn = torch.bincount(sizes(Constraints(), random_model, streams), minlength=11) / 4000
    for n, count in SIZES.items():
        assert float(drawn[n]) == pytest.approx(count / 21, abs=0.03)
    group = CrystalModel(**{**fields(random_model), "properties": ("space_group",)})
    drawn = sizes(Constraints(space_group=225), group, Streams(0, torch.arange(400)))
    assert set(drawn.tolist()) == {2, 8}


def fields(value):
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


@pytest.fixture(scope="module")
def calm_model(random_model):
    """Random weights with small scores: a walk on which rounding is not blown up, as taught networks walk."""
    calm = copy.deepcopy(random_model.denoiser)
    with torch.no_grad():
        for block in (*calm.gemnet.out_blocks, *calm.gemnet.lattice_out_blocks):
            block.out_forces.weight.mul_(0.01)
    knowing = CrystalDiffusion(lattice=LatticeNoise(beforehand=(2.8, 0.3)))  # so that cells stay cells
    return CrystalModel(**{**fields(random_model), "denoiser": calm, "diffusion": knowing})


def test_the_same_seed_gives_the_same_crystals_and_batches_hardly_matter(calm_model):
    constraints = Constraints(count=6, seed=5)
    one, two = (generate(calm_model, constraints, steps=50, redraws=0, batch_size=6) for _ in range(2))
    assert (one.frac == two.frac).all()
    assert (one.cell == two.cell).all()
    apart = generate(calm_model, constraints, steps=50, redraws=0, batch_size=2)
    assert (apart.numbers == one.numbers).all()
    turn = (apart.frac - one.frac + 0.5) % 1 - 0.5
    assert float(turn.abs().max()) < 1e-4
    assert float((apart.cell - one.cell).abs().max()) < 1e-4 * float(one.cell.abs().max())
    other = generate(calm_model, Constraints(count=6, seed=6), steps=16, redraws=0)
    assert other.frac.shape != one.frac.shape or not torch.isclose(other.frac, one.frac).all()


@pytest.mark.parametrize("precision", ["medium", "bf16"])
def test_faster_products_end_at_nearly_the_same_crystals_and_leave_no_trace(calm_model, precision):
    constraints = Constraints(count=3, seed=5)
    exact = generate(calm_model, constraints, steps=16, redraws=0)
    fast = generate(calm_model, constraints, steps=16, redraws=0, precision=precision)
    assert torch.get_float32_matmul_precision() == "highest"
    turn = (fast.frac - exact.frac + 0.5) % 1 - 0.5
    assert float(turn.abs().max()) < 0.05  # bf16 products, where the processor has them
    with pytest.raises(ValueError, match="one of highest, high, medium, bf16"):
        generate(calm_model, constraints, steps=16, precision="sloppy")


def test_a_run_goes_on_where_it_was_broken_off(random_model):
    constraints = Constraints(count=4, seed=7)
    whole = generate(random_model, constraints, steps=16, redraws=0, batch_size=2)
    kept = []

    def stop(progress):
        if progress.stage == "generate":
            kept.append(progress.payload)
            raise Cancelled

    with pytest.raises(Cancelled):
        generate(random_model, constraints, steps=16, redraws=0, batch_size=2, watch=stop)
    rest = generate(random_model, constraints, steps=16, redraws=0, batch_size=2, done=kept[0].indices)
    assert (Crystals.join([kept[0].crystals, rest]).frac == whole.frac).all()


class Wild(torch.nn.Module):
    """A denoiser that ruins some crystals of a batch and leaves the others."""

    def __init__(self, good, value=float("nan")):
        super().__init__()
        self.good, self.value, self.w = good, value, torch.nn.Parameter(torch.zeros(1))

    def forward(self, noisy, t, conditions=None):
        answer = self.good(noisy, t)
        ruined = noisy.n_atoms == 2
        cells = torch.where(ruined[:, None, None], torch.full_like(answer.cell, self.value), answer.cell)
        return Prediction(frac=answer.frac, cell=cells, logits=answer.logits)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
@pytest.mark.parametrize("way", [{}, {"corrections": 1}, {"corrections": 1, "published": True}, {"scheme": HEUN}], ids=str)
def test_bad_states_are_caught_reported_and_redrawn(random_model, way, value):
    wild = CrystalModel(**{**fields(random_model), "denoiser": Wild(random_model.denoiser, value)})
    seen = []
    made = generate(wild, Constraints(count=12, seed=1), steps=16, redraws=2, **way,
                    watch=lambda p: seen.append(p.payload) if p.stage == "generate" else None)
    small = {i for i, n in enumerate(made.n_atoms.tolist()) if n == 2}
    assert small
    problems = seen[0].problems
    assert small <= set(problems)
    assert all("finite" in problems[i] for i in small)
    assert all(seen[0].attempts[i] == 2 for i in small)
    assert torch.isfinite(made.frac).all()
    assert torch.isfinite(made.cell).all()


def test_a_report_tells_what_became_of_each_crystal(random_model):
    wild = CrystalModel(**{**fields(random_model), "denoiser": Wild(random_model.denoiser)})
    seen = []
    made, report = generate_with_report(
        wild, Constraints(count=12, seed=1), Method(16), batch_size=5, redraws=2, done=[3],
        watch=lambda p: seen.append(p.payload) if p.stage == "generate" else None,
    )
    assert report.batch_sizes == (5, 5, 1)
    assert report.indices == (0, 1, 2, *range(4, 12))
    small = {i for i, n in zip(report.indices, made.n_atoms.tolist(), strict=True) if n == 2}
    assert small
    assert small <= set(report.problems)
    assert all(report.redrawn[i] == 2 for i in small)
    assert report.problems == {i: said for batch in seen for i, said in batch.problems.items()}
    assert report.batches[0].machine["device"] == "cpu"
    assert report.batches[0].machine["threads"] == torch.get_num_threads()
    same = generate(wild, Constraints(count=12, seed=1), steps=16, batch_size=5, redraws=2, done=[3])
    assert (same.numbers == made.numbers).all()


@pytest.mark.parametrize("run_out", ["of a GPU's", "of a processor's"])
def test_out_of_memory_halves_the_batch(random_model, run_out):
    class Greedy(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner, self.largest, self.w = inner, 0, torch.nn.Parameter(torch.zeros(1))

        def forward(self, noisy, t, conditions=None):
            if len(noisy) > 3:
                if run_out == "of a GPU's":
                    raise torch.OutOfMemoryError("too large")
                torch.empty(10**16)
            self.largest = max(self.largest, len(noisy))
            return self.inner(noisy, t)

    greedy = Greedy(random_model.denoiser)
    made = generate(CrystalModel(**{**fields(random_model), "denoiser": greedy}), Constraints(count=8), steps=16,
                    redraws=0, batch_size=8)
    assert len(made) == 8
    assert 0 < greedy.largest <= 3


def test_kept_parts_are_kept_and_the_rest_is_made(random_model, known):
    perovskite = known[1]
    keep = torch.tensor([True, True, False, False, False])
    start = Start(crystal=perovskite, keep_sites=keep, keep_elements=keep, keep_cell=True)
    made = generate(random_model, Constraints(count=3), steps=16, redraws=0, start=start)
    for crystal in made:
        assert (crystal.numbers[keep] == perovskite.numbers[keep]).all()
        assert (crystal.frac[keep] == perovskite.frac[keep]).all()
        assert torch.allclose(crystal.cell, perovskite.cell, atol=1e-6)
        assert not torch.isclose(crystal.frac[~keep], perovskite.frac[~keep]).all()


def test_other_errors_of_a_network_are_not_taken_for_a_lack_of_memory(random_model):
    class Faulty(torch.nn.Module):
        w = torch.nn.Parameter(torch.zeros(1))

        def forward(self, noisy, t, conditions=None):
            raise RuntimeError("shapes do not fit")

    faulty = Faulty()
    faulty.register_parameter("v", torch.nn.Parameter(torch.zeros(1)))
    with pytest.raises(RuntimeError, match="do not fit"):
        generate(CrystalModel(**{**fields(random_model), "denoiser": faulty}), Constraints(count=4), steps=16)


def test_guests_are_made_in_a_kept_host(random_model):
    host = famous("rutile-TiO2")[0]
    host = host.replace(cell=symmetric(host.cell))
    everything = torch.ones(6, dtype=torch.bool)
    start = Start(crystal=host, keep_sites=everything, keep_elements=everything, keep_cell=True)
    for wishes, sizes in (({"chemical_system": "Li-Ti-O", "n_atoms": 8}, {8}), ({"formula": "LiTiO2"}, {8}), ({"n_atoms": range(6, 10)}, {6, 7, 8, 9})):
        made = generate(random_model, Constraints(count=6, **wishes), steps=16, redraws=0, start=start)
        assert set(made.n_atoms.tolist()) <= sizes
        for crystal in made:
            assert (crystal.numbers[:6] == host.numbers).all()
            assert torch.allclose(crystal.frac[:6], host.frac)
            assert torch.allclose(crystal.cell, host.cell, atol=1e-6)
            assert not (crystal.numbers == MASK).any()
            if "formula" in wishes or "chemical_system" in wishes:
                assert 3 in crystal.numbers.tolist()
    with pytest.raises(ConstraintError, match="strength of 1 only"):
        generate(random_model, Constraints(n_atoms=8), steps=16, start=Start(crystal=host, strength=0.3))
    with pytest.raises(ConstraintError, match="ask for more atoms"):
        generate(random_model, Constraints(chemical_system="Li-Ti-O"), steps=16, start=start)


def test_where_elements_are_always_known_a_start_keeps_its_own(random_model):
    told = CrystalModel(**{**fields(random_model), "diffusion": CrystalDiffusion(species=None)})
    perovskite = famous("perovskite-SrTiO3")[0]
    perovskite = perovskite.replace(cell=symmetric(perovskite.cell))
    wish = Constraints(formula="SrTiO3", count=3)
    for kept in ({"strength": 0.1}, {"keep_elements": torch.tensor([False, True, False, False, False])}):
        for crystal in generate(told, wish, steps=16, redraws=0, start=Start(crystal=perovskite, **kept)):
            assert (crystal.numbers == perovskite.numbers).all()
    kept = torch.tensor([False, True, False, False, True])
    wish = Constraints(formula="BaTiO3", count=3)
    for crystal in generate(told, wish, steps=16, redraws=0, start=Start(crystal=perovskite, keep_elements=kept)):
        assert sorted(crystal.numbers.tolist()) == [8, 8, 8, 22, 56]
        assert crystal.numbers[1] == 22
        assert crystal.numbers[4] == 8
    assert generate(told, wish, steps=16, redraws=0).numbers.tolist() == [8, 8, 8, 22, 56] * 3


def test_variations_stay_near_for_small_strengths(known):
    """With the oracle of another crystal the walk ends there from any start; with no pull it stays where it was."""
    still = CrystalModel(
        name="still", denoiser=Silent(), diffusion=CrystalDiffusion(),
        statistics=Statistics(count=1, n_atoms={2: 1}, n_atoms_by_space_group={}, density=0.05, elements={},
                              chemical_systems=0, labels={}),
    )
    moved = []
    for strength in (0.05, 0.4):
        start = Start(crystal=known[0], keep_elements=torch.tensor([True, True]), keep_cell=True, strength=strength)
        made = generate(still, Constraints(count=8), steps=50, scheme=EULER, redraws=0, start=start)
        moved.append(float(((made.frac - known[0].frac.repeat(8, 1) + 0.5) % 1 - 0.5).abs().mean()))
    assert moved[0] < 0.02 < moved[1]


class Silent(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.zeros(1))

    def forward(self, noisy, t, conditions=None):
        return Prediction(frac=torch.zeros_like(noisy.frac), cell=torch.zeros_like(noisy.cell),
                          logits=torch.zeros(len(noisy.numbers), 101))


def test_what_a_model_cannot_follow_is_said_in_one_sentence(random_model):
    for wishes, word in (
        ({"targets": {"dft_band_gap": 2.0}}, "listens to no property"),
        ({"space_group": 225}, "space_group"),
        ({"chemical_system": "Li-Fe-P-O", "n_atoms": 4, "formula": "LiFePO4"}, "no multiple"),
    ):
        with pytest.raises(ConstraintError, match=word):
            generate(random_model, Constraints(count=1, **wishes), steps=16)


def test_published_mode_walks_a_thousand_steps_with_one_correction():
    assert PUBLISHED.steps == 1000
    assert PUBLISHED.corrections == 1
    assert PUBLISHED.scheme is ANCESTRAL
    assert PUBLISHED.scheme.evaluations(1000, 1) == 2000


def test_generated_crystals_are_sound(random_model):
    made = generate(random_model, Constraints(count=8, n_atoms=3), steps=16, redraws=0)
    sound(made)
    assert not (made.numbers == MASK).any()
