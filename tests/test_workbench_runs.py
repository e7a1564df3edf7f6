"""A run keeps what was finished, whatever happens to it: it is cancelled, resumed, broken, judged or not."""

import threading
import time

import pytest

from model.constraints import Constraints
from model.crystals import Crystals
from model.testing import famous, famous_names, sound
from workbench.runs import unjudged, with_rows
from workbench.state import State, no_candidates
from workbench.testing import ByVolume, Freezing, begin


@pytest.fixture(scope="module")
def crystals():
    return Crystals.join([famous(name) for name in famous_names()[:4]])


def run_to_end(state, constraints, propose, judge=None, timeout=30):
    run = begin(state, constraints, propose, judge).start()
    assert run.wait(timeout), f"the run did not end in {timeout} s: {state.run}"
    return run


def test_all_crystals_arrive_judged_and_in_order(crystals):
    state = State()
    run_to_end(state, Constraints(count=10), Freezing(crystals, batch_size=3))
    table = state.candidates.table
    assert table["index"].tolist() == list(range(10))
    assert table["id"].is_unique
    assert (table["status"] == "judged").all()
    assert state.run.phase == "done"
    assert (state.run.made, state.run.judged) == (10, 10)
    assert set(state.relaxed) == set(table["id"])
    sound(state.candidates.crystals)
    volumes = table["volume"].to_numpy() / 1000
    assert table["energy_above_hull"].to_numpy(dtype=float) == pytest.approx(volumes)


def test_the_table_grows_while_the_run_goes_on(crystals):
    state = State()
    sizes, previews = [], []
    state.observe(lambda change: sizes.append(len(change["new"])), "candidates")
    state.observe(lambda change: previews.append(change["new"]), "preview")
    run_to_end(state, Constraints(count=9), Freezing(crystals, batch_size=3, steps=10, pause=0.05))
    assert sizes == sorted(sizes), "the table never shrinks"
    assert {3, 6, 9} <= set(sizes), "each batch is seen as soon as it is finished"
    assert any(preview is not None for preview in previews), "the running batch is seen"
    assert state.preview is None


def test_only_one_thread_writes_the_state_of_a_run(crystals):
    state, writers = State(), set()
    for name in ("candidates", "run", "preview", "relaxed"):
        state.observe(lambda _: writers.add(threading.current_thread().name), name)
    run_to_end(state, Constraints(count=4), Freezing(crystals))
    assert writers <= {"MainThread", "bench-publish"}


def test_updates_come_a_few_times_a_second_however_many_steps(crystals):
    state, updates = State(), []
    state.observe(lambda change: updates.append(change["new"]), "run")
    run_to_end(state, Constraints(count=2), Freezing(crystals, batch_size=1, steps=2000))
    assert len(updates) < 200, "4,000 steps must not be 4,000 messages"


def test_cancel_answers_within_two_seconds_and_resume_finishes(crystals):
    state, constraints = State(), Constraints(count=12)
    run = begin(state, constraints, Freezing(crystals, batch_size=2, steps=20, pause=0.02), ByVolume(pause=0.05)).start()
    while state.run.made < 4:
        time.sleep(0.02)
    run.cancel()
    assert run.wait(2), "cancelling takes at most two seconds"
    assert state.run.phase == "cancelled"
    kept = state.candidates
    assert 4 <= len(kept) < 12
    run_to_end(state, constraints, Freezing(crystals, batch_size=2))
    assert state.candidates.table["index"].tolist() == list(range(12))
    assert state.candidates.table["id"].tolist()[: len(kept)] == kept.table["id"].tolist()
    assert not len(unjudged(state.candidates)), "those cancelled before their verdict are judged on resuming"
    assert state.run.phase == "done"


def test_a_run_that_breaks_at_its_third_batch_keeps_two_and_says_why(crystals):
    state, constraints = State(), Constraints(count=8)
    run_to_end(state, constraints, Freezing(crystals, batch_size=2, breaks_at=2))
    assert state.run.phase == "failed"
    assert "Batch 2 broke" in state.run.failure
    assert "RuntimeError" in state.run.traceback
    assert len(state.candidates) == 4
    run_to_end(state, constraints, Freezing(crystals, batch_size=2))
    assert (len(state.candidates), state.run.phase, state.run.failure) == (8, "done", "")


def test_a_judge_that_breaks_leaves_the_crystals(crystals):
    state = State()
    run_to_end(state, Constraints(count=4), Freezing(crystals, batch_size=2), ByVolume(breaks_at=2))
    assert state.run.phase == "failed"
    assert state.run.failure.startswith("Judging stopped")
    assert len(state.candidates) >= 2


def test_bad_crystals_are_kept_by_name_and_not_judged(crystals):
    from workbench.testing import FinishedBatch

    class Broken(Freezing):
        def __call__(self, constraints, indices, watch):
            def marked(progress):
                if isinstance(progress.payload, FinishedBatch):
                    progress.payload.problems[progress.payload.indices[0]] = "the cell collapsed"
                watch(progress)

            return super().__call__(constraints, indices, marked)

    state = State()
    run_to_end(state, Constraints(count=4), Broken(crystals, batch_size=2))
    assert state.candidates.table["status"].tolist() == ["bad", "judged", "bad", "judged"]
    assert (state.run.phase, state.run.judged) == ("done", 4)


def test_the_path_of_each_crystal_is_kept(crystals):
    state = State()
    run_to_end(state, Constraints(count=3), Freezing(crystals, batch_size=3, steps=8))
    assert set(state.paths) == set(state.candidates.table["id"])
    for row, name in enumerate(state.candidates.table["id"]):
        path = state.paths[name]
        assert list(path.steps) == sorted(path.steps)
        assert path.steps[-1] == 8
        last = path.frames[-1]
        assert last.n_atoms.tolist() == state.candidates.crystals[row].n_atoms.tolist()


def test_rows_find_their_places_by_id():
    import pandas as pd

    from model.candidates import Candidates
    three = Crystals.join([famous(name) for name in famous_names()[:3]])
    before = Candidates(crystals=three, table=pd.DataFrame({"id": ["a", "b", "c"], "status": ["generated"] * 3}))
    news = pd.DataFrame({"id": ["c", "a"], "status": ["judged", "judged"], "stable": [True, False]})
    after = with_rows(before, Candidates(crystals=three[[2, 0]], table=news))
    assert after.table["status"].tolist() == ["judged", "generated", "judged"]
    assert [None if pd.isna(x) else bool(x) for x in after.table["stable"]] == [False, None, True]
    assert after.crystals is three


def test_no_candidates_is_an_empty_set():
    assert len(no_candidates()) == 0
    assert len(unjudged(no_candidates())) == 0
