"""A repo2docker build opens the bench: its three files are run, in its order, in an environment of their own."""

import os
import shutil
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
BINDER = ROOT / "binder"


def pinned():
    lines = (BINDER / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]


def test_every_requirement_is_pinned_and_allowed_by_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {canonicalize_name(r.name): r for r in map(Requirement, project["dependencies"])}
    found = {canonicalize_name(r.name): r for r in pinned()}
    assert set(wanted) <= set(found), "what the project needs is pinned for Binder"
    for name, requirement in found.items():
        pins = [spec for spec in requirement.specifier if spec.operator == "=="]
        assert len(pins) == 1, f"{name} is not pinned"
        if name in wanted:
            assert wanted[name].specifier.contains(pins[0].version, prereleases=True)


@pytest.mark.parametrize("name", ["postBuild", "start"])
def test_scripts_can_be_run_and_stop_at_the_first_error(name):
    assert os.access(BINDER / name, os.X_OK)
    text = (BINDER / name).read_text(encoding="utf-8")
    assert text.startswith("#!/bin/bash\n")
    assert "set -euo pipefail" in text
    subprocess.run(["bash", "-n", str(BINDER / name)], check=True)


def test_the_python_version_is_one_the_project_takes():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = (BINDER / "runtime.txt").read_text(encoding="utf-8").strip().removeprefix("python-")
    assert Requirement(f"x{project['requires-python']}").specifier.contains(version)


def call(command, **options):
    said = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert said.returncode == 0, f"{command}\n{said.stdout[-3000:]}\n{said.stderr[-3000:]}"
    return said.stdout


def checkout(place):
    """The tracked files, as a fresh clone has them."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout: there is no list of the project's files to copy")
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, place / name)
    return place


@pytest.mark.slow
def test_the_three_files_in_a_fresh_environment_end_in_the_bench(tmp_path):
    repo = checkout(tmp_path / "repo")
    call([sys.executable, "-m", "venv", str(tmp_path / "env")])
    tools = tmp_path / "env" / "bin"
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    environment = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "JUPYTER_CONFIG_PATH"}}
    environment |= {name: str(tmp_path / name.lower()) for name in names}
    environment |= {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "PIP_RETRIES": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    call([str(tools / "pip"), "install", "-q", "torch==2.13.0"], env=environment)  # the CPU build, where it lies at hand
    call([str(tools / "pip"), "install", "-q", "-r", str(BINDER / "requirements.txt")], env=environment)
    said = call([str(repo / "binder" / "postBuild")], cwd=repo, env=environment)
    assert "The bench is open at http://" in said
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(repo / "binder" / "start"), "jupyter", "lab", "--no-browser", "--ip=127.0.0.1", f"--port={port}", "--allow-root", "--IdentityProvider.token="]
    server = subprocess.Popen(command, cwd=repo, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert first_page(port).endswith("/doc/tree/notebooks/workbench.ipynb")
    finally:
        server.terminate()
        server.wait(20)


def first_page(port, patience=60):
    """Where a visitor of the server's root ends up."""
    end = time.monotonic() + patience
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
                return answer.geturl().split("?")[0]
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < end, "the server did not come up"
            time.sleep(0.5)
