"""Killed half-way and started again, a judge goes on where they were."""

import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from model.evaluation.evaluate import evaluate
from model.evaluation.means import Means
from model.evaluation.moduli import CURVE, TENSOR, measure
from model.evaluation.prototypes import tell
from model.io import to_structures, write_cif
from model.relax.chgnet import CHGNetPotential
from model.relax.journal import RelaxedJournal

NAMES = ("rocksalt-NaCl", "rutile-TiO2", "bcc-Fe", "diamond-Si", "perovskite-SrTiO3")


@pytest.fixture(scope="module")
def crystals(shaken):
    return shaken(NAMES, 0.01)


class Counting:
    """CHGNet that counts how many crystals it was asked about, and may give up."""

    name = CHGNetPotential.name

    def __init__(self, potential, patience=None):
        self.potential, self.asked, self.patience = potential, 0, patience

    def __call__(self, crystals):
        self.asked += len(crystals)
        if self.patience is not None and self.asked > self.patience:
            raise KeyboardInterrupt
        return self.potential(crystals)


def test_an_interrupted_evaluation_goes_on_and_comes_out_the_same(crystals, chgnet, tmp_path):
    path = tmp_path / "journal"
    whole = Counting(chgnet)
    wanted = evaluate(crystals, potential=whole).candidates.table
    with pytest.raises(KeyboardInterrupt):
        evaluate(crystals, potential=Counting(chgnet, patience=whole.asked // 2), memory=RelaxedJournal(path, crystals))
    kept = RelaxedJournal(path, crystals).read()
    assert 0 < len(kept) < len(crystals)
    rest = Counting(chgnet)
    found = evaluate(crystals, potential=rest, memory=RelaxedJournal(path, crystals)).candidates.table
    assert rest.asked < whole.asked
    assert found["energy_above_hull"].to_numpy() == pytest.approx(wanted["energy_above_hull"].to_numpy(), abs=1e-5)
    for column in ("id", "unique", "novelty", "relaxation_steps", "relaxed_space_group", "status"):
        assert found[column].tolist() == wanted[column].tolist()
    third = Counting(chgnet)
    evaluate(crystals, potential=third, memory=RelaxedJournal(path, crystals))
    assert third.asked == 0


def test_a_line_cut_short_is_passed_over_and_another_task_finds_nothing(crystals, chgnet, tmp_path):
    path = tmp_path / "journal"
    evaluate(crystals[:2], potential=chgnet, memory=RelaxedJournal(path, crystals[:2]), relax=False)
    whole = path.read_text()
    path.write_text(whole[:-40])
    journal = RelaxedJournal(path, crystals[:2])
    assert list(journal.read()) == [0]
    assert list(journal.begin()) == [0]
    assert path.read_text() == whole[: len(path.read_text())]
    assert RelaxedJournal(path, crystals[:1]).read() == {}
    assert RelaxedJournal(path, crystals[:2], fmax=0.01).read() == {}
    path.write_text("")
    assert journal.read() == {}


@pytest.mark.parametrize("way", [CURVE, TENSOR])
def test_interrupted_bulk_moduli_go_on_and_come_out_the_same(crystals, chgnet, tmp_path, way):
    judged = evaluate(crystals[:2], potential=chgnet)
    column = "ml_bulk_modulus"
    whole = Counting(chgnet)
    wanted = measure(judged, whole, way).candidates.table[column]
    means = Means(out=tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        measure(judged, Counting(chgnet, patience=3 * whole.asked // 4), way, means)
    rest = Counting(chgnet)
    found = measure(judged, rest, way, means).candidates.table[column]
    assert 0 < rest.asked < 0.75 * whole.asked
    assert found.to_numpy() == pytest.approx(wanted.to_numpy(), rel=1e-3)
    assert [path.name for path in tmp_path.iterdir()] == [f".out.bulk-moduli-{way}.journal"]
    (tmp_path / ".out.2.judged.journal").touch()  # of an evaluation that keeps its verdicts in out.2
    Means(out=tmp_path / "other").end()
    assert len(list(tmp_path.iterdir())) == 2
    means.end()
    assert [path.name for path in tmp_path.iterdir()] == [".out.2.judged.journal"]


def test_interrupted_stories_go_on_and_come_out_the_same(crystals, chgnet, tmp_path):
    candidates = evaluate(crystals, potential=chgnet, relax=False).candidates
    wanted = tell(candidates).table
    seen = []

    def impatient(progress):
        seen.append(progress.done)
        if progress.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tell(candidates, means=Means(out=tmp_path / "out", watch=impatient))
    assert seen == [1, 2, 3]
    again = []
    told = tell(candidates, means=Means(out=tmp_path / "out", watch=lambda progress: again.append(progress.done)))
    assert len(again) == len(crystals) - 2  # the watch hears of a crystal before it is kept
    pd.testing.assert_frame_equal(told.table, wanted)


@pytest.mark.slow
def test_the_command_killed_and_started_again(crystals, tmp_path):
    folder, out = tmp_path / "made", tmp_path / "out"
    folder.mkdir()
    many = crystals[[i for i in range(len(crystals)) for _ in range(6)]]
    for row, structure in enumerate(to_structures(many)):
        structure.perturb(0.1, seed=row)
        write_cif(folder / f"{row}.cif", structure)
    command = [sys.executable, "-c", "from workbench.commands.evaluate import evaluate; import typer; typer.run(evaluate)"]
    command += [str(folder), "--out", str(out)]
    first = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=os.environ)
    journal = tmp_path / ".out.judged.journal"
    give_up = time.monotonic() + 300
    while time.monotonic() < give_up and not (journal.exists() and journal.read_text().count("\n") > 4):
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert not out.exists()
    kept = journal.read_text().count("\n") - 1
    assert kept >= 4
    again = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    assert f"{len(many)} of {len(many)} crystals judged" in again.stdout
    assert pd.read_csv(out / "candidates.csv")["id"].tolist() == list(range(len(many)))
    assert not journal.exists()
