"""`workbench open`: the notebook is put in place, the bench runs in it, and mistakes are sentences."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from workbench import server

ROOT = Path(__file__).resolve().parents[1]


def sources(notebook):
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [(cell["cell_type"], "".join(cell["source"])) for cell in cells]


def test_the_shipped_notebook_is_the_one_in_notebooks():
    assert sources(server.NOTEBOOK) == sources(ROOT / "notebooks" / "workbench.ipynb")


def test_the_notebook_opens_the_bench_and_defines_nothing():
    code = "\n".join(text for kind, text in sources(server.NOTEBOOK) if kind == "code")
    assert "Workbench()" in code
    assert "def " not in code


def test_a_forge_without_a_kernel_shows_a_picture():
    cells = json.loads((ROOT / "notebooks" / "workbench.ipynb").read_text(encoding="utf-8"))["cells"]
    pictures = [output["data"]["image/png"] for cell in cells for output in cell.get("outputs", []) if "image/png" in output["data"]]
    assert len(pictures) == 1
    assert 20_000 < len(pictures[0]) < 400_000
    assert "widget-view" not in str(cells), "no view of a widget that is gone"


def test_a_missing_notebook_is_put_in_place_and_an_edited_one_kept(tmp_path):
    folder = tmp_path / "new" / "folder"
    notebook = server.notebook_in(folder)
    assert sources(notebook) == sources(server.NOTEBOOK)
    notebook.write_text("mine")
    assert server.notebook_in(folder).read_text() == "mine"
    assert [file.name for file in folder.iterdir()] == ["workbench.ipynb"]


def test_a_folder_that_cannot_be_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(server.ServerError, match="--folder"):
        server.notebook_in(tmp_path / "file" / "below")


def test_a_taken_port_is_a_sentence():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(server.ServerError, match=f"Port {port} is taken"):
            server.free_port(port)
    assert server.free_port() > 0


def test_the_servers_settings_open_no_dialog_and_fetch_nothing():
    page = json.loads((server.CONFIG / "labconfig" / "page_config.json").read_text())
    assert page["buildCheck"] is False
    settings = json.loads((server.CONFIG / "labconfig" / "default_setting_overrides.json").read_text())
    assert settings["@jupyterlab/apputils-extension:notification"] == {"checkForUpdates": False, "fetchNews": "false"}
    first = server._environment("word")["JUPYTER_CONFIG_PATH"].split(os.pathsep)[0]
    assert first == str(server.CONFIG)


def test_the_launchers_tile_is_installed_where_jupyterlab_looks():
    import tomllib

    files = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["data-files"]
    installed = {f"{place}/{Path(name).name}": ROOT / name for place, names in files.items() for name in names}
    assert all(file.is_file() for file in installed.values())
    home = "share/jupyter/labextensions/mattergen-design-workbench"
    about = json.loads(installed[f"{home}/package.json"].read_text())
    assert about["name"] == home.rpartition("/")[2]
    entry = installed[f"{home}/{about['jupyterlab']['_build']['load']}"].read_text()
    assert f'NAME = "{about["name"]}"' in entry
    assert about["jupyterlab"]["_build"]["extension"] in entry
    assert installed[f"{home}/static/{server.NOTEBOOK.name}"] == server.NOTEBOOK, "the tile opens the notebook that all others open"
    assert "https://" not in entry


def test_a_kernel_that_comes_up_slowly_is_waited_for(monkeypatch):
    """A client takes a kernel for dead when it misses one heartbeat, as on a busy machine at its start."""
    from types import SimpleNamespace

    calls = []

    def wait_for_ready(timeout):
        calls.append(timeout)
        if len(calls) < 3:
            raise RuntimeError("Kernel died before replying to kernel_info")

    server._wait_until_ready(SimpleNamespace(wait_for_ready=wait_for_ready))
    assert len(calls) == 3
    monkeypatch.setattr(server, "PATIENCE", 0)
    calls.clear()
    with pytest.raises(RuntimeError, match="died"):
        server._wait_until_ready(SimpleNamespace(wait_for_ready=wait_for_ready))


def test_importing_the_workbench_is_quiet_and_light():
    heavy = ["torch", "pymatgen", "pandas", "lightning", "ipywidgets", "plotly", "crystal_toolkit", "dash", "jupyterlab"]
    asked = f"import sys, workbench; print([m for m in {heavy!r} if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, cwd=ROOT)
    assert (said.stdout.strip(), said.stderr) == ("[]", "")


def test_building_the_bench_loads_no_structure_library():
    heavy = ["pymatgen", "lightning", "crystal_toolkit", "dash", "chgnet"]
    asked = f"import sys; from workbench import Workbench; print([m for m in {heavy!r} if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, cwd=ROOT)
    assert said.stdout.strip() == "[]"


@pytest.fixture
def settings(tmp_path):
    """An environment in which JupyterLab neither reads nor writes this person's settings."""
    here = tmp_path / "jupyter"
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    return os.environ | {name: str(here / name.lower()) for name in names} | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def test_open_check_says_where_the_bench_is_and_leaves_it_in_the_notebook(tmp_path, settings):
    command = [sys.executable, "-m", "workbench", "open", "--check", "--folder", str(tmp_path / "work")]
    said = subprocess.run(command, capture_output=True, text=True, env=settings, cwd=tmp_path, timeout=150, check=False)
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("The bench is open at http://127.0.0.1:")
    notebook = json.loads((tmp_path / "work" / "workbench.ipynb").read_text(encoding="utf-8"))
    shown = [output["data"] for cell in notebook["cells"] for output in cell.get("outputs", []) if "data" in output]
    assert any("application/vnd.jupyter.widget-view+json" in data for data in shown)


def test_a_notebook_that_fails_is_one_sentence(tmp_path, settings):
    work = tmp_path / "work"
    work.mkdir()
    notebook = json.loads(server.NOTEBOOK.read_text(encoding="utf-8"))
    notebook["cells"][0]["source"] = "raise ValueError('no crystals today')"
    (work / "workbench.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    command = [sys.executable, "-m", "workbench", "open", "--check", "--folder", str(work)]
    said = subprocess.run(command, capture_output=True, text=True, env=settings, cwd=tmp_path, timeout=150, check=False)
    assert said.returncode == 2
    assert "no crystals today" in said.stderr
    assert "Traceback" not in said.stderr
