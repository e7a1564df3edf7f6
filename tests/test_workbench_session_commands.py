"""`workbench session`: what the bench kept is listed and handed on from the command line; slips are one sentence."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from workbench.cli import app

GOLDEN = Path(__file__).parent / "golden" / "session-format-1"


@pytest.fixture
def root(tmp_path):
    shutil.copytree(GOLDEN, tmp_path / "sessions" / "first")
    return tmp_path / "sessions"


def call(*words):
    return CliRunner().invoke(app, ["session", *map(str, words)])


def test_sessions_are_listed_and_damaged_ones_marked(root):
    shutil.copytree(root / "first", root / "second")
    (root / "second" / "session.json").write_text("{")
    said = call("list", "--root", root)
    assert said.exit_code == 0
    assert f"{root / 'first'}  3 of 3 judged" in said.stdout
    assert "damaged" in next(line for line in said.stdout.splitlines() if "second" in line)
    assert call("list", "--root", root / "nowhere").exit_code == 2


def test_a_session_is_handed_on_as_a_page_and_as_files(root, tmp_path):
    page, kit = tmp_path / "page.html", tmp_path / "kit"
    assert call("report", root / "first", "--out", page).exit_code == 0
    assert "first-format" in page.read_text(encoding="utf-8")
    assert call("export", root / "first", "--out", kit).exit_code == 0
    assert [file.stem for file in (kit / "cif").iterdir()] == ["s3-0001"], "the one that was chosen"
    for again in (call("report", root / "first", "--out", page), call("export", root / "first", "--out", kit)):
        assert again.exit_code == 2
        assert "overwritten" in again.stderr
        assert "Traceback" not in again.stderr
    assert call("report", tmp_path / "none", "--out", tmp_path / "x.html").exit_code == 2


def test_the_page_of_a_session_whose_reference_is_gone_says_so(root, tmp_path):
    about = root / "first" / "session.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"version": 4, "reference_folder": str(tmp_path / "gone")}))
    said = call("report", root / "first", "--out", tmp_path / "page.html")
    assert said.exit_code == 0
    assert "without known phases" in said.stderr
    assert f"no reference in {tmp_path / 'gone'}" in said.stderr
