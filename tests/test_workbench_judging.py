"""The bench judges in batches what the command line judges at once, measures what was asked, and goes on after a break."""

import numpy as np
import pytest

from model.candidates import Candidates
from model.constraints import Constraints
from model.crystals import Crystals
from model.evaluation.evaluate import evaluate
from model.execution import Cancelled, Progress
from model.properties import readouts
from model.record import candidates_of
from model.sampling.generate import Batch
from model.testing import famous
from workbench.judging import Judging
from workbench.runs import Run, Verdict, unjudged, unsettled
from workbench.state import State, no_candidates

WISH = Constraints(count=4, targets={"ml_bulk_modulus": 30.0})


@pytest.fixture(scope="module")
def made():
    salt, other = famous("rocksalt-NaCl"), famous("cesium-chloride-CsCl")
    return candidates_of(Crystals.join([salt, other, salt, famous("rutile-TiO2")]), WISH)


@pytest.fixture(scope="module")
def on_the_bench(made):
    judging, heard = Judging(State(), WISH), []
    first = judging(made.where(np.arange(4) < 2), Verdict(candidates=no_candidates()), heard.append)
    return judging(made.where(np.arange(4) >= 2), first, heard.append), first, heard


def test_two_batches_are_judged_as_one_set(made, on_the_bench):
    verdict, first, _ = on_the_bench
    at_once = evaluate(made, constraints=WISH)
    assert verdict.candidates.table["id"].tolist() == made.table["id"].tolist()
    for name in ("unique", "novelty", "stable", "nearest_known", "composition_obeyed", "disordered_parent"):
        assert verdict.candidates.table[name].tolist() == at_once.candidates.table[name].tolist(), name
    for name in ("energy_above_hull", "own_hull"):
        np.testing.assert_allclose(
            verdict.candidates.table[name].astype(float), at_once.candidates.table[name].astype(float), atol=2e-4
        )
    assert verdict.candidates.table["unique"].tolist() == [True, True, False, True]
    assert len(first.candidates) == 2
    assert {name for name in at_once.scorecard.metrics if name != "property error"} <= set(verdict.scorecard.metrics)
    assert verdict.scorecard.made == 4


def test_what_was_asked_is_measured_and_what_readouts_say_is_told(on_the_bench):
    verdict, _, heard = on_the_bench
    table = verdict.candidates.table
    moduli = dict(zip(table["formula"], table["ml_bulk_modulus"], strict=True))
    assert 15 < moduli["NaCl"] < 40  # 24 GPa measured
    assert 150 < moduli["TiO2"] < 300  # 211 GPa measured
    assert any("equation" in note or "curve" in note for note in verdict.scorecard.notes)
    assert any("bulk moduli" in progress.stage for progress in heard)
    for label, (_, report) in readouts.shipped().items():
        assert table[readouts.PREDICTED[label]].notna().all()
        assert report.note in verdict.scorecard.notes


def test_only_what_was_asked_takes_an_equation_of_state(made):
    found = Judging(State(), Constraints(count=1))(made.where(np.arange(4) < 1), Verdict(candidates=no_candidates()), lambda _: None)
    assert "ml_bulk_modulus" not in found.candidates.table


def test_judging_that_was_broken_off_begins_again_with_those_not_compared(made, on_the_bench):
    told = []

    def breaks(progress):
        told.append(progress)
        if progress.payload is not None:
            raise Cancelled

    judging = Judging(State(), WISH)
    with pytest.raises(Cancelled):
        judging(made.where(np.arange(4) < 2), Verdict(candidates=no_candidates()), breaks)
    half = Candidates.join([told[-1].payload.candidates, made.where(np.arange(4) == 1)])
    assert half.table["status"].tolist() == ["judged", "generated"]
    assert len(unjudged(half)) == 1
    again = unsettled(half)
    assert len(again) == 2
    earlier = Verdict(candidates=half.where(np.array([True, False])), relaxed=told[-1].payload.relaxed)
    whole = judging(again, earlier, lambda _: None)
    assert whole.candidates.table["unique"].tolist() == [True, True], "none is its own twin"
    settled = on_the_bench[0].candidates
    assert not len(unsettled(settled))
    assert settled.table["disordered_parent"].tolist()[0] == settled.table["disordered_parent"].tolist()[2] == "s0-0000"


def test_a_run_cancelled_amid_judging_is_resumed_and_judged_as_if_it_never_was(made, on_the_bench):
    def broken_off(new, earlier, watch):
        def hear(progress):
            watch(progress)
            if progress.payload is not None:  # the first crystal is at rest, and never compared with the others
                state.worker.cancel()

        return Judging(state, WISH)(new, earlier, hear)

    def propose(constraints, indices, watch):
        watch(Progress(stage="made", done=4, total=4, payload=Batch(crystals=made.crystals, indices=(0, 1, 2, 3))))
        return made.crystals

    state = State(constraints=WISH)
    assert Run(state, propose, broken_off, candidates_of, WISH).start().wait(60)
    assert state.run.phase == "cancelled"
    assert 0 < len(unsettled(state.candidates)) == 4 - state.run.judged
    assert len(state.relaxed) == 1
    assert Run(state, propose, Judging(state, WISH), candidates_of, WISH).start().wait(120)
    assert (state.run.phase, state.run.judged) == ("done", 4)
    wanted = on_the_bench[0].candidates.table
    for name in ("id", "unique", "novelty", "stable"):
        assert state.candidates.table[name].tolist() == wanted[name].tolist(), name
    assert state.scorecard.judged == state.scorecard.made == 4
