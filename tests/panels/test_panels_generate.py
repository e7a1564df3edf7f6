"""The generate panel as a plain object: runs begin, are refused, break, and are judged against a reference."""



from model.constraints import Constraints
from workbench.state import State
from workbench.testing import ByVolume, Freezing, begin
from workbench.widgets.generate import GeneratePanel


def test_a_run_by_its_buttons(state, crystals, until):
    panel = GeneratePanel(state, lambda s, c: begin(s, c, Freezing(crystals, batch_size=2, pause=0.02)))
    state.constraints = Constraints(count=6)
    assert (panel.start.disabled, panel.cancel.disabled, panel.resume.disabled) == (False, True, True)
    panel.start.click()
    assert (panel.start.disabled, panel.cancel.disabled) == (True, False)
    until(lambda: state.run.made >= 2)
    panel.cancel.click()
    assert state.run.phase in {"cancelling", "cancelled"}
    assert state.worker.wait(2)
    assert (panel.start.disabled, panel.cancel.disabled, panel.resume.disabled) == (False, True, False)
    panel.resume.click()
    assert state.worker.wait(20)
    assert (state.run.phase, len(state.candidates)) == ("done", 6)
    assert panel.progress.run["made"] == 6
    assert panel.progress.scene == {}


def test_a_second_run_is_refused_while_one_goes_on(state, crystals):
    panel = GeneratePanel(state, lambda s, c: begin(s, c, Freezing(crystals, pause=0.1)))
    panel._start(None)
    panel._start(None)
    assert "under way" in panel.notice.sentence
    state.worker.cancel()
    assert state.worker.wait(5)


def test_a_broken_run_is_said_in_the_panel_that_started_it(state, crystals):
    panel = GeneratePanel(state, lambda s, c: begin(s, c, Freezing(crystals, batch_size=1, breaks_at=2)))
    panel.start.click()
    assert state.worker.wait(20)
    assert panel.notice.sentence == "Generating stopped: Batch 2 broke, as it was told to."
    assert "RuntimeError" in panel.notice.details
    assert not panel.resume.disabled


def test_a_run_that_cannot_begin_is_a_sentence():
    panel = GeneratePanel(State())
    assert panel.start.disabled
    panel._start(None)
    assert "No model is loaded" in panel.notice.sentence


def test_a_judge_that_breaks_is_said_too(state, crystals):
    panel = GeneratePanel(state, lambda s, c: begin(s, c, Freezing(crystals), ByVolume(breaks_at=0)))
    panel.start.click()
    assert state.worker.wait(20)
    assert panel.notice.sentence.startswith("Judging stopped")


def test_a_reference_of_ones_own_is_read_and_what_is_none_is_said(state, tmp_path, until):
    from model.evaluation.reference import Reference

    panel = GeneratePanel(state)
    panel.reference.value = str(tmp_path / "none")
    until(lambda: panel.notice.kind == "error")
    before = state.reference
    Reference.shipped().save(tmp_path / "mine")
    panel.reference.value = str(tmp_path / "mine")
    until(lambda: state.reference is not before)
    until(lambda: "judged against" in panel.notice.sentence)


def test_the_corrector_walks_as_it_is_set_is_kept_and_gone_on_with(crystals, tmp_path):
    from model import generate, load
    from model.execution import silent
    from workbench import methods
    from workbench.sessions import store
    from workbench.widgets.sessions import SessionsPanel

    base, wish = load("base"), Constraints(count=2, seed=4, n_atoms=(3, 5))
    state = State(model=base, model_name="base", constraints=wish, steps=4, corrections=1)
    made = methods.begin(state, wish).propose(wish, [0, 1], silent)
    assert (made.frac == generate(base, wish, steps=4, corrections=1, batch_size=8).frac).all()
    assert not (made.frac == generate(base, wish, steps=4, batch_size=8).frac).all()

    panel, sessions = GeneratePanel(state), SessionsPanel(state, tmp_path)
    panel.begin = lambda state, constraints: begin(state, constraints, Freezing(crystals, steps=2))
    panel.start.click()
    assert state.worker.wait(20)
    panel._code(None)
    assert "steps=4, corrections=1" in panel.code.text
    assert "--steps 4 --corrections 1" in panel.code.text
    sessions.keeper.keep()
    kept = sessions.keeper.folder
    sessions.keeper.close()
    assert store.load(kept).session.corrections == 1

    other = State(model=base, model_name="base")
    panel, sessions = GeneratePanel(other), SessionsPanel(other, tmp_path)
    sessions.which.value = str(kept)
    sessions.open.click()
    assert (other.steps, other.corrections) == (4, 1)
    other.corrections = 0
    panel.begin = lambda state, constraints: begin(state, constraints, Freezing(crystals, steps=2))
    panel._resume(None)
    assert other.worker.wait(20)
    assert other.corrections == 1
    sessions.keeper.close()


def test_a_path_holds_each_step_once_though_corrections_are_told_too(crystals):
    from model.execution import Progress
    from workbench.runs import Run

    state = State()
    run = Run(state, lambda *_: None, None, None, Constraints(count=1))
    for done in (0, 0, 1, 1, 2, 2, 3, 0, 1, 1, 2):
        run._step(Progress(stage="denoise", unit="steps", done=done, total=3, payload=crystals[0]))
    assert [step for step, _ in run._frames] == [1, 2], "begun anew after the third"


def test_what_was_judged_against_a_reference_of_ones_own_is_opened_and_gone_on_with_against_it(crystals, model, tmp_path, until):
    from model.evaluation.reference import Reference
    from workbench.sessions import store
    from workbench.widgets.sessions import SessionsPanel

    mine = tmp_path / "mine"
    Reference.shipped().save(mine)
    state = State(model=model, model_name="known", reference=Reference.load(mine), constraints=Constraints(count=2))
    panel, sessions = GeneratePanel(state), SessionsPanel(state, tmp_path / "sessions")
    panel.begin = lambda state, constraints: begin(state, constraints, Freezing(crystals, steps=2))
    panel.start.click()
    assert state.worker.wait(20)
    assert state.asked.reference == str(mine)
    panel._code(None)
    assert f"reference=Reference.load('{mine}')" in panel.code.text
    assert f"workbench evaluate crystals --reference {mine}" in panel.code.text
    sessions.keeper.keep()
    kept = sessions.keeper.folder
    sessions.keeper.close()
    opened = store.load(kept)
    assert (opened.missing, opened.session.reference_folder) == ((), str(mine))

    other = State(model=model, model_name="known", reference=Reference.shipped())
    panel, sessions = GeneratePanel(other), SessionsPanel(other, tmp_path / "sessions")
    sessions.which.value = str(kept)
    sessions.open.click()
    assert panel.reference.value == str(mine)
    until(lambda: other.reference.folder == str(mine))
    panel.reference.value = ""
    until(lambda: other.reference.folder == "")
    panel._reading.join(20)
    panel._resume(None)
    assert f"judged against {mine}" in panel.notice.sentence
    sessions.keeper.close()
