"""Sessions: what was kept comes back the same, what is damaged comes back as far as it can, nothing is half written."""

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from model.candidates import Candidates
from model.constraints import Constraints, Target
from model.crystals import PER_ATOM, PER_CRYSTAL, Crystals
from model.testing import famous, famous_names
from workbench import keeping
from workbench.paths import PathError
from workbench.runs import unsettled
from workbench.sessions import store
from workbench.sessions.session import Session, name_for
from workbench.state import State
from workbench.testing import ByVolume, Freezing, begin
from workbench.widgets.generate import GeneratePanel
from workbench.widgets.sessions import SessionsPanel


@pytest.fixture(scope="module")
def crystals():
    return Crystals.join([famous(name) for name in famous_names()[:5]])


@pytest.fixture(scope="module")
def session(crystals):
    state = State()
    constraints = Constraints(chemical_system="Na-Cl", count=5, seed=3, targets={"hhi_score": Target(1.0, 2.5)})
    assert begin(state, constraints, Freezing(crystals)).start().wait(30)
    return Session(
        name="a", created="2026-01-02T03:04:05+00:00", constraints=constraints, candidates=state.candidates, steps=20, corrections=1, model_name="base", model_hash="h",
        relaxed=state.relaxed, selection="s3-0001", chosen=("s3-0001", "s3-0002"), narrowed={"n_atoms": (1.0, 4.5)},
    )


def same(a: Crystals, b: Crystals):
    return all((getattr(a, name) == getattr(b, name)).all() for name in (*PER_ATOM, *PER_CRYSTAL))


def until(holds, seconds=20):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def test_what_was_kept_comes_back_the_same(session, tmp_path):
    store.save(session, tmp_path / "a")
    opened = store.load(tmp_path / "a")
    assert opened.missing == ()
    again = opened.session
    for name in ("name", "created", "constraints", "steps", "model_name", "model_hash", "selection", "chosen", "narrowed"):
        assert getattr(again, name) == getattr(session, name), name
    assert same(again.candidates.crystals, session.candidates.crystals)
    assert set(again.relaxed) == set(session.relaxed)
    assert all(same(again.relaxed[name], session.relaxed[name]) for name in session.relaxed)
    before, after = session.candidates.table, again.candidates.table
    assert after["id"].tolist() == before["id"].tolist()
    for name in before.columns:
        if pd.api.types.is_float_dtype(before[name]):
            assert np.allclose(after[name].to_numpy(dtype=float), before[name].to_numpy(dtype=float), equal_nan=True)
        else:
            assert after[name].fillna("").astype(str).tolist() == before[name].fillna("").astype(str).tolist(), name
    assert again.judged == session.judged == 5


def test_keeping_twice_keeps_the_last(session, tmp_path):
    store.save(session, tmp_path / "a")
    smaller = Session(name="a", constraints=session.constraints, candidates=session.candidates.where(np.arange(5) < 2))
    store.save(smaller, tmp_path / "a")
    assert len(store.load(tmp_path / "a").session.candidates) == 2
    assert not list((tmp_path / "a").glob(".*")), "no draft is left behind"


@pytest.mark.parametrize(
    ("file", "crystals_left", "said"),
    [(store.ABOUT, 5, "What was asked for"), (store.TABLE, 5, "table of verdicts"), (store.RELAXED, 5, "relaxed crystals"), (store.CRYSTALS, 0, "The crystals")],
)
@pytest.mark.parametrize("damage", ["cut", "gone", "rubbish"])
def test_a_damaged_session_opens_as_far_as_it_can(session, tmp_path, file, crystals_left, said, damage):
    folder = tmp_path / "a"
    store.save(session, folder)
    target = folder / file
    if damage == "gone":
        target.unlink()
    else:
        target.write_bytes(target.read_bytes()[: target.stat().st_size // 3] if damage == "cut" else b"\x00\xff\xfe{]" * 9)
    opened = store.load(folder)
    assert len(opened.session.candidates) in {crystals_left, len(opened.session.candidates.table)}
    assert any(said in sentence for sentence in opened.missing) or damage == "cut"
    assert opened.missing or len(opened.session.candidates) == 5
    assert all("\n" not in sentence for sentence in opened.missing)
    state = State()
    keeping.lay_out(opened.session, state)
    assert len(state.candidates) == len(opened.session.candidates)


def test_without_verdicts_the_crystals_wait_to_be_judged(session, tmp_path):
    store.save(session, tmp_path / "a")
    (tmp_path / "a" / store.TABLE).unlink()
    opened = store.load(tmp_path / "a").session
    assert opened.judged == 0
    assert (opened.candidates.table["status"] == "generated").all()
    assert opened.candidates.table["id"].tolist() == session.candidates.table["id"].tolist()


def test_nothing_at_all_is_one_sentence(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "none"):
        with pytest.raises(store.SessionError):
            store.load(folder)


def test_a_newer_format_is_said(session, tmp_path):
    store.save(session, tmp_path / "a")
    about = json.loads((tmp_path / "a" / store.ABOUT).read_text())
    (tmp_path / "a" / store.ABOUT).write_text(json.dumps(about | {"version": 99}))
    assert any("newer version" in sentence for sentence in store.load(tmp_path / "a").missing)


GOLDEN = Path(__file__).parent / "golden" / "session-format-1"


def test_a_session_of_the_first_format_still_opens(tmp_path):
    """The folder was written by the bench when it wrote format 1."""
    opened = store.load(GOLDEN)
    assert opened.missing == ()
    session = opened.session
    assert (session.name, session.method, session.figures, session.paths) == ("first-format", "diffusion", {}, {})
    assert session.constraints == Constraints(chemical_system="Na-Cl", count=4, seed=3, targets={"hhi_score": Target(1.0, 2.5)})
    assert (len(session.candidates), session.judged, len(session.relaxed)) == (3, 3, 3)
    assert (session.selection, session.chosen, session.narrowed) == ("s3-0001", ("s3-0001",), {"n_atoms": (1.0, 4.5)})
    store.save(session, tmp_path / "again")
    assert json.loads((tmp_path / "again" / store.ABOUT).read_text())["version"] == store.VERSION
    assert store.load(tmp_path / "again").session.constraints == session.constraints


def test_there_is_a_way_from_every_format_to_the_present_one():
    assert sorted(store.MIGRATIONS) == list(range(1, store.VERSION))
    assert store.migrated({"version": 1})["version"] == store.VERSION


def test_denoising_paths_come_back_and_are_written_once(crystals, tmp_path):
    state = State()
    assert begin(state, Constraints(count=3), Freezing(crystals, steps=8)).start().wait(30)
    kept = Session(name="a", constraints=Constraints(count=3), candidates=state.candidates, paths=state.paths, method="random-search",
                   figures={"hull.system": "Cl-Na"})  # fmt: skip
    store.save(kept, tmp_path / "a")
    files = {file: file.stat().st_mtime_ns for file in (tmp_path / "a" / store.PATHS).iterdir()}
    assert len(files) == 3
    again = store.load(tmp_path / "a").session
    assert (again.method, again.figures) == ("random-search", {"hull.system": "Cl-Na"})
    for name, path in state.paths.items():
        assert again.paths[name].steps == path.steps
        assert all(same(a, b) for a, b in zip(again.paths[name].frames, path.frames, strict=True))
    store.save(again, tmp_path / "a")
    assert {file: file.stat().st_mtime_ns for file in files} == files
    store.save(again, tmp_path / "copy")
    assert len(store.load(tmp_path / "copy").session.paths) == 3


def test_a_damaged_path_is_said_and_the_others_are_played(crystals, tmp_path):
    state = State()
    assert begin(state, Constraints(count=3), Freezing(crystals, steps=8)).start().wait(30)
    store.save(Session(name="a", constraints=Constraints(count=3), candidates=state.candidates, paths=state.paths), tmp_path / "a")
    cut, odd, good = sorted((tmp_path / "a" / store.PATHS).iterdir())
    cut.write_bytes(cut.read_bytes()[:40])
    np.savez(odd, steps=np.arange(3), frac=np.zeros((2, 1, 3)), cell=np.zeros((3, 3, 3)), numbers=np.zeros((3, 1)))
    opened = store.load(tmp_path / "a")
    assert opened.missing == ("1 of the denoising paths cannot be read.",)
    assert {f"{name}.npz" for name in opened.session.paths} == {odd.name, good.name}
    with pytest.raises(PathError, match="damaged or gone"):
        list(opened.session.paths[odd.stem].frames)
    assert opened.session.paths[good.stem].frames
    store.save(opened.session, tmp_path / "b")
    assert [file.name for file in (tmp_path / "b" / store.PATHS).iterdir()] == [good.name]


@pytest.mark.parametrize(("name", "value"), [("steps", "many"), ("told", 3), ("figures", ["x"]), ("narrowed", {"n_atoms": 1}), ("chosen", 7)])
def test_what_is_of_another_kind_is_left_out_and_said(session, tmp_path, name, value):
    store.save(session, tmp_path / "a")
    about = json.loads((tmp_path / "a" / store.ABOUT).read_text())
    (tmp_path / "a" / store.ABOUT).write_text(json.dumps(about | {name: value}))
    opened = store.load(tmp_path / "a")
    assert len(opened.missing) == 1
    assert len(opened.session.candidates) == 5
    keeping.lay_out(opened.session, State())


def test_sodium_nitride_is_not_unknown(crystals, tmp_path):
    """Its formula reads as the word most programs write for "not a number"."""
    table = pd.DataFrame({"id": ["s0-0000"], "formula": ["NaN"], "status": ["judged"]})
    one = Session(name="a", constraints=Constraints(), candidates=Candidates(crystals=crystals[0], table=table))
    store.save(one, tmp_path / "a")
    assert store.load(tmp_path / "a").session.candidates.table["formula"].tolist() == ["NaN"]


def test_the_list_is_newest_first_and_marks_the_damaged(session, tmp_path):
    for name, created in (("a", "2026-01-01"), ("b", "2026-03-01"), ("c", "2026-02-01")):
        store.save(Session(name=name, created=created, constraints=session.constraints, candidates=session.candidates), tmp_path / name)
    (tmp_path / "c" / store.ABOUT).write_text("{")
    (tmp_path / "notes").mkdir()
    assert [(entry.name, entry.damaged) for entry in store.listed(tmp_path)] == [("b", False), ("a", False), ("c", True)]
    assert store.listed(tmp_path / "nowhere") == []


def test_only_sessions_are_deleted(session, tmp_path):
    store.save(session, tmp_path / "a")
    (tmp_path / "papers").mkdir()
    with pytest.raises(store.SessionError, match="holds no session"):
        store.delete(tmp_path / "papers")
    store.delete(tmp_path / "a")
    assert [entry.name for entry in tmp_path.iterdir()] == ["papers"]


def test_names_say_what_was_asked_and_are_safe():
    assert name_for(Constraints(chemical_system="Li-O")).endswith("-Li-O")
    assert name_for(Constraints(formula="CaTiO3")).endswith("-CaTiO3")
    assert "/" not in name_for(Constraints())


# --- keeping as it happens -----------------------------------------------------------------------------------------------


def bench(tmp_path, crystals, **freezing):
    from types import SimpleNamespace

    state = State(model=SimpleNamespace(name="m", hash="1", properties=(), statistics=None), model_name="m")
    generate = GeneratePanel(state, lambda s, c: begin(s, c, Freezing(crystals, batch_size=2, **freezing), ByVolume()))
    return state, generate, SessionsPanel(state, tmp_path / "sessions")


def test_a_session_is_kept_while_it_happens_and_goes_on_after_reopening(tmp_path, crystals):
    state, generate, sessions = bench(tmp_path, crystals, pause=0.02)
    state.constraints = Constraints(count=8)
    assert sessions.which.value == ""
    generate.start.click()
    until(lambda: state.run.made >= 4)
    generate.cancel.click()
    assert state.worker.wait(2)
    sessions.keeper.close()
    kept = store.listed(tmp_path / "sessions")
    assert len(kept) == 1
    assert kept[0].made == len(state.candidates)

    # another day, another kernel
    later, generate, sessions = bench(tmp_path, crystals)
    assert sessions.which.value == str(kept[0].folder)
    sessions.open.click()
    assert "Opened" in sessions.notice.sentence
    assert later.candidates.table["id"].tolist() == state.candidates.table["id"].tolist()
    assert not generate.resume.disabled
    generate.resume.click()
    assert later.worker.wait(20)
    assert later.candidates.table["index"].tolist() == list(range(8))
    sessions.keeper.close()
    assert [entry.made for entry in store.listed(tmp_path / "sessions")] == [8], "it went on in the same folder"


def test_looking_around_writes_no_crystals_again(tmp_path, crystals):
    state, generate, sessions = bench(tmp_path, crystals)
    state.constraints = Constraints(count=4)
    generate.start.click()
    assert state.worker.wait(20)
    sessions.keeper.keep()
    folder = sessions.keeper.folder
    before = {name: (folder / name).stat().st_mtime_ns for name in (store.CRYSTALS, store.RELAXED, store.TABLE)}
    state.selection = state.candidates.table["id"][2]
    sessions.keeper.keep()
    assert {name: (folder / name).stat().st_mtime_ns for name in before} == before
    assert store.load(folder).session.selection == state.selection
    sessions.keeper.close()


def test_a_new_run_gets_a_folder_of_its_own(tmp_path, crystals):
    state, generate, sessions = bench(tmp_path, crystals)
    state.constraints = Constraints(count=2)
    for _ in range(2):
        generate.start.click()
        assert state.worker.wait(20)
        until(lambda: len(state.candidates) and sessions.keeper.folder is not None and (sessions.keeper.folder / store.ABOUT).exists())
    sessions.keeper.close()
    assert [entry.made for entry in store.listed(tmp_path / "sessions")] == [2, 2]


def test_what_a_new_run_or_another_session_displaces_is_kept_as_it_was_at_last(tmp_path, crystals, session):
    """Even where it is displaced before the keeper, which writes every second or so, has come round to it."""
    state, generate, sessions = bench(tmp_path, crystals)
    state.constraints = Constraints(count=3)
    generate.start.click()
    assert state.worker.wait(20)
    sessions.keeper.keep()
    first, last = sessions.keeper.folder, state.candidates.learn(ml_band_gap=[1.0, 2.0, 3.0])
    state.candidates = last
    generate.start.click()
    assert state.worker.wait(20)
    state.candidates = state.candidates.learn(ml_band_gap=[7.0, 8.0, 9.0])
    store.save(session, tmp_path / "sessions" / "another")
    sessions.keeper.open(tmp_path / "sessions" / "another", store.load(tmp_path / "sessions" / "another"))
    sessions.keeper.keep()
    kept = {entry.folder: store.load(entry.folder) for entry in store.listed(tmp_path / "sessions")}
    assert all(opened.missing == () for opened in kept.values())
    gaps = {folder: opened.session.candidates.table.get("ml_band_gap") for folder, opened in kept.items()}
    assert gaps.pop(first).tolist() == [1.0, 2.0, 3.0]
    assert gaps.pop(tmp_path / "sessions" / "another") is None
    (second,) = gaps.values()
    assert second.tolist() == [7.0, 8.0, 9.0]
    assert {len(opened.session.relaxed) for folder, opened in kept.items() if folder.name != "another"} == {3}
    sessions.keeper.close()


def test_crystals_of_another_model_are_not_gone_on_with(tmp_path, crystals):
    from types import SimpleNamespace

    state, generate, sessions = bench(tmp_path, crystals, pause=0.02)
    state.constraints = Constraints(count=8)
    generate.start.click()
    until(lambda: state.run.made >= 2)
    generate.cancel.click()
    assert state.worker.wait(2)
    state.model = SimpleNamespace(name="other", hash="2", properties=(), statistics=None)
    generate.resume.click()
    assert "made by m" in generate.notice.sentence
    sessions.keeper.close()


def test_a_place_that_cannot_be_written_is_said_and_stops_nothing(tmp_path, crystals):
    (tmp_path / "sessions").write_text("a file where the folder should be")
    state, generate, sessions = bench(tmp_path, crystals)
    state.constraints = Constraints(count=2)
    generate.start.click()
    assert state.worker.wait(20)
    until(lambda: sessions.notice.kind == "error")
    assert "cannot be kept" in sessions.notice.sentence
    assert len(state.candidates) == 2
    sessions.keeper.close()


def test_opening_another_session_never_writes_into_the_first(tmp_path, crystals, session):
    root = tmp_path / "sessions"
    other = Session(name="other", created="2020", constraints=session.constraints, candidates=session.candidates.where(np.arange(5) < 1))
    store.save(session, root / "a")
    store.save(other, root / "other")
    (root / "a" / store.RELAXED).write_text("damaged")
    _, _, sessions = bench(tmp_path, crystals)
    before = {file: file.read_bytes() for file in (root / "a").iterdir()}
    for name in ("other", "a", "other"):
        sessions.which.value = str(root / name)
        sessions.open.click()
        assert sessions.notice.kind == ("warning" if name == "a" else "info")
    sessions.keeper.close()
    assert {file: file.read_bytes() for file in (root / "a").iterdir()} == before, "what is damaged is left as it was"
    assert len(store.load(root / "other").session.candidates) == 1


def test_an_idle_bench_leaves_nothing_behind(tmp_path, crystals):
    _, _, sessions = bench(tmp_path, crystals)
    sessions.keeper.close()
    assert not (tmp_path / "sessions").exists()


def test_deleting_asks_once_more(tmp_path, crystals):
    state, generate, sessions = bench(tmp_path, crystals)
    state.constraints = Constraints(count=2)
    generate.start.click()
    assert state.worker.wait(20)
    until(lambda: sessions.which.value)
    folder = sessions.keeper.folder
    sessions.remove.click()
    assert folder.exists()
    sessions.keep.click()
    assert folder.exists()
    other = folder.with_name("other")
    shutil.copytree(folder, other)
    sessions.refresh()
    sessions.remove.click()
    assert sessions.which.disabled, "while it is asked, nothing else can be chosen"
    sessions.which.value = str(other)
    sessions.sure.click()
    assert (folder.exists(), other.exists()) == (False, True), "what the button named"
    assert not sessions.which.disabled
    assert (len(state.candidates), state.asked) == (0, None), "else the next click would keep it again"
    sessions.keeper.close()


@pytest.mark.parametrize(
    ("damage", "said", "again"),
    [
        (lambda rows: [",".join(row.split(",")[1:]) for row in rows], "lacks the columns id and status", 5),
        (lambda rows: [*rows, rows[2]], "1 rows of candidates.csv are cut off or told twice", 0),
        (lambda rows: [*rows[:-1], rows[-1][:30]], "1 rows of candidates.csv are cut off or told twice", 1),
    ],
)
def test_rows_that_cannot_be_trusted_are_judged_again(session, tmp_path, damage, said, again):
    store.save(session, tmp_path / "a")
    table = tmp_path / "a" / store.TABLE
    table.write_text("\n".join(damage(table.read_text().strip().splitlines())) + "\n")
    opened = store.load(tmp_path / "a")
    assert any(said in sentence for sentence in opened.missing)
    assert opened.session.candidates.table["id"].tolist() == session.candidates.table["id"].tolist()
    assert len(unsettled(opened.session.candidates)) == again


def test_one_broken_frame_loses_one_crystal(session, tmp_path):
    store.save(session, tmp_path / "a")
    for file in (store.CRYSTALS, store.RELAXED):
        place = tmp_path / "a" / file
        place.write_text(place.read_text().replace("Lattice", "Lettuce", 1))
    opened = store.load(tmp_path / "a")
    assert (len(opened.session.candidates), len(opened.session.relaxed)) == (4, 4)
    assert [sentence for sentence in opened.missing if "1 of the 5 crystals in" in sentence] == list(opened.missing[:2])


def test_a_session_without_its_crystals_is_listed_and_can_be_deleted(session, tmp_path):
    store.save(session, tmp_path / "a")
    (tmp_path / "a" / store.CRYSTALS).unlink()
    assert [entry.name for entry in store.listed(tmp_path)] == ["a"]
    store.delete(tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_crystals_that_are_gone_are_missed(session, tmp_path):
    store.save(session, tmp_path / "a")
    (tmp_path / "a" / store.CRYSTALS).write_text("")
    assert "The crystals of 5 rows of the table are gone." in store.load(tmp_path / "a").missing


@pytest.mark.parametrize(("told", "said"), [
    ({"corrections": 99}, "says of corrections"), ({"steps": -5}, "says of steps"), ({"version": "3"}, "found '3'"), ({"version": None}, "found None"),
    ({"chosen": [[1]]}, ""), ({"corrections": None}, "does not say corrections"),
])
def test_what_no_bench_writes_is_a_sentence(session, tmp_path, told, said):
    store.save(session, tmp_path / "a")
    about = tmp_path / "a" / store.ABOUT
    about.write_text(json.dumps({k: v for k, v in (json.loads(about.read_text()) | told).items() if v is not None}))
    opened = store.load(tmp_path / "a")
    assert any(said in sentence for sentence in opened.missing) or not said
    assert (opened.session.steps in range(1001), opened.session.corrections in range(11)) == (True, True)


def test_a_damaged_session_is_looked_at_without_a_copy_and_not_gone_on_with_unknown(session, tmp_path, crystals):
    store.save(session, tmp_path / "sessions" / "a")
    (tmp_path / "sessions" / "a" / store.ABOUT).unlink()
    state, generate, sessions = bench(tmp_path, crystals)
    sessions.which.value = str(tmp_path / "sessions" / "a")
    for _ in range(2):
        sessions.open.click()
        sessions.keeper.keep()
    assert len(state.candidates) == 5
    assert [folder.name for folder in (tmp_path / "sessions").iterdir()] == ["a"]
    generate._resume(None)
    assert "no run to go on with" in generate.notice.sentence
    sessions.keeper.close()


def test_an_error_of_the_sessions_panel_stays_until_something_else_is_said(tmp_path, crystals):
    state, _, sessions = bench(tmp_path, crystals)
    sessions.say("This cannot be.", "error")
    state.session = ("a", "", 7)
    assert sessions.notice.sentence == "This cannot be."
    state.session = ("a", "The disk is full.", 8)
    assert sessions.notice.sentence == "The disk is full."
    state.session = ("a", "", 9)
    assert sessions.notice.sentence == ""
    sessions.keeper.close()


def test_opening_a_session_rights_a_form_that_contradicted_itself_and_forgets_the_filters_of_another(session, tmp_path, crystals):
    from workbench.widgets.candidates import CandidatesPanel
    from workbench.widgets.constraints import ConstraintsPanel

    store.save(session, tmp_path / "sessions" / "a")
    state, generate, sessions = bench(tmp_path, crystals)
    form, table = ConstraintsPanel(state, load=False), CandidatesPanel(state)
    state.constraints = session.constraints
    form.formula.value = "CaTiO3"
    assert state.complaint
    table.table.filters = {"formula": "Zr"}
    sessions.which.value = str(tmp_path / "sessions" / "a")
    sessions.open.click()
    assert (state.complaint, form.formula.value, table.table.filters) == ("", "", {})
    assert not generate.start.disabled
    assert state.begun == session.created
    sessions.keeper.close()


# --- two beside each other -----------------------------------------------------------------------------------------------


def test_two_sessions_are_compared(session, crystals, tmp_path):
    from workbench.views import compare

    other = Session(name="b", constraints=Constraints(chemical_system="Na-Cl", count=2, seed=4), candidates=session.candidates.where(np.arange(5) < 2), method="random-search")
    lines = {line.about: line for line in compare.lines(session, other)}
    assert (lines["Seed"].first, lines["Seed"].second, lines["Seed"].differs) == ("3", "4", True)
    assert not lines["Elements"].differs
    assert (lines["By"].first, lines["By"].second) == ("base (h)", "random-search")
    assert lines["Stable"].first.startswith(f"{int(session.candidates.table['stable'].sum())} of 5")
    assert "Targets" in lines
    assert compare.shared(other, session) == 2
    assert compare.shared(session, other) == 2
    assert "energy_above_hull" in compare.quantities(session, other)
    drawn = compare.figure([session, other], "energy_above_hull")
    assert [sum(trace.customdata) for trace in drawn.data] == [5, 2]


def test_the_bench_stands_beside_a_kept_session(session, tmp_path, crystals):
    from workbench.widgets.compare import ComparePanel

    store.save(session, tmp_path / "sessions" / "a")
    state, generate, sessions = bench(tmp_path, crystals)
    panel = ComparePanel(state)
    assert panel.layout.display == "none"
    sessions.which.value = str(tmp_path / "sessions" / "a")
    assert sessions.beside.disabled, "there is nothing on the bench yet"
    state.constraints = Constraints(count=3)
    generate.start.click()
    assert state.worker.wait(20)
    sessions.which.value = str(tmp_path / "sessions" / "a")
    assert not sessions.beside.disabled
    sessions.beside.click()
    assert panel.layout.display == ""
    assert "Na" in panel.text.value
    assert '"type":"bar"' in panel.plot.figure.replace(" ", "")
    panel._match(None)
    until(lambda: "crystals match" in panel.notice.sentence)
    assert "Crystals that match" in panel.text.value
    assert panel.notice.kind != "error"
    panel._close(None)
    assert (state.other, panel.layout.display) == (None, "none")
    sessions.keeper.close()


def test_what_the_figures_show_comes_back_and_their_code_draws_it(tmp_path, crystals):
    from workbench.widgets.candidates import CandidatesPanel
    from workbench.widgets.distributions import DistributionsPanel
    from workbench.widgets.hull import HullPanel
    from workbench.widgets.structures import StructurePanel

    def panels(state):
        return CandidatesPanel(state), DistributionsPanel(state), StructurePanel(state), HullPanel(state)

    state, generate, sessions = bench(tmp_path, crystals)
    table, plots, structure, hull = panels(state)
    plots._code(None)
    assert "Nothing is kept yet" in plots.notice.sentence
    state.constraints = Constraints(chemical_system="Na-Cl", count=4)
    generate.start.click()
    assert state.worker.wait(20)
    until(lambda: state.session[0])
    table.table.sort, table.table.filters = ["volume", True], {"n_atoms": ">1"}
    plots.quantity.value, plots.against.value = "density", "energy_above_hull"
    structure.size.value, structure.shown["bonds"].value = 3, False
    system = hull.system.value
    sessions.keeper.close()
    for panel in (plots, hull):
        panel._code(None)
        names = {}
        exec(compile(panel.code.text.rpartition("\n")[0] + "\nfigure = " + panel.code.text.rpartition("\n")[2], "cell", "exec"), names)
        assert len(names["figure"].data)
    assert "distributions.pair(session.candidates, 'density', 'energy_above_hull')" in plots.code.text

    later = State()
    again = SessionsPanel(later, tmp_path / "sessions")
    table, plots, structure, hull = panels(later)
    again.open.click()
    assert (table.table.sort, table.table.filters) == (["volume", True], {"n_atoms": ">1"})
    assert (plots.quantity.value, plots.against.value) == ("density", "energy_above_hull")
    assert (structure.size.value, structure.shown["bonds"].value, hull.system.value) == (3, False, system)
    again.keeper.close()


def test_opening_a_session_without_crystals_leaves_the_one_on_the_bench_whole(session, tmp_path, crystals):
    root = tmp_path / "sessions"
    for name in ("a", "b"):
        store.save(session, root / name)
    (root / "b" / store.CRYSTALS).unlink()
    _, _, sessions = bench(tmp_path, crystals)
    for name in ("a", "b"):
        sessions.keeper.open(root / name, store.load(root / name))
    sessions.keeper.keep()
    kept = store.load(root / "a")
    assert kept.missing == ()
    assert (len(kept.session.relaxed), kept.session.chosen) == (len(session.relaxed), session.chosen)
    sessions.keeper.close()
