"""JupyterLab on the bench's notebook: a server with a free port, the notebook run in its kernel, ready to be seen."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

HERE = Path(__file__).parent
NOTEBOOK = HERE / "notebooks" / "workbench.ipynb"
CONFIG = HERE / "jupyter"
PATIENCE = 90  # seconds a server or a kernel may take to come up on a busy machine


class ServerError(RuntimeError):
    """JupyterLab, or the notebook in it, did not come up."""


def notebook_in(folder: Path) -> Path:
    """The bench's notebook in a folder; the shipped one is copied there where none lies yet.

    Raises ServerError where the folder cannot be written.
    """
    notebook = folder / NOTEBOOK.name
    if notebook.exists():
        return notebook
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft = notebook.with_name(f".{notebook.name}.{os.getpid()}.part")
        shutil.copyfile(NOTEBOOK, draft)
        draft.replace(notebook)
    except OSError as error:
        raise ServerError(
            f"The notebook cannot be put into {folder}: {error.strerror}. Name a folder you may write to with --folder."
        ) from error
    return notebook


def free_port(wanted: int = 0) -> int:
    """The wanted port if it is free, or any free one for 0. Raises ServerError where the wanted one is taken."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError as error:
            raise ServerError(f"Port {wanted} is taken by another program; leave --port out for a free one.") from error
        return probe.getsockname()[1]


def _environment(token: str) -> dict[str, str]:
    """The server's environment: our settings first, so that no build dialog opens and nothing is fetched."""
    known = os.environ.get("JUPYTER_CONFIG_PATH", "")
    return os.environ | {
        "JUPYTER_CONFIG_PATH": os.pathsep.join([str(CONFIG), *([known] if known else [])]),
        "JUPYTER_TOKEN": token,
    }


@dataclass
class Server:
    """A JupyterLab of ours: its process, where it listens, and the word that opens it."""

    process: subprocess.Popen
    port: int
    token: str
    log: Path

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def url(self, notebook: str) -> str:
        """Address of a notebook in single-document mode, token included."""
        return f"{self.address}/doc/tree/{quote(notebook)}?token={self.token}"

    def ask(self, path: str, data: Any = None, *, method: str | None = None) -> Any:
        """One question to the server's interface. Raises URLError where it does not answer."""
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(  # noqa: S310 - the address is ours
            self.address + path,
            data=body,
            method=method,
            headers={"Authorization": f"token {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            text = answer.read()
        return json.loads(text) if text else None

    def stop(self) -> None:
        """End the server and its kernels."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def start(folder: Path, *, port: int = 0, log: Path | None = None) -> Server:
    """Start JupyterLab over a folder and wait until it answers. Raises ServerError where it does not."""
    token, port = secrets.token_hex(24), free_port(port)
    log = log or folder / ".jupyter-bench.log"
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.root_dir={folder}",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
        *(["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
    ]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=_environment(token), cwd=folder)
    server = Server(process, port, token, log)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            server.ask("/api/status")
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
        else:
            return server
    server.stop()
    last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    raise ServerError(f"JupyterLab did not start ({last[0] if last else 'it said nothing'}); its log is {log}.")


def run_notebook(server: Server, notebook: Path) -> str:
    """Run a notebook's cells in a kernel of the server and keep their outputs in it, so it opens with the bench on.

    Gives the kernel's id. Raises ServerError where a cell fails.
    """
    import nbformat
    from jupyter_client import BlockingKernelClient
    from jupyter_core.paths import jupyter_runtime_dir

    session = {"path": notebook.name, "name": notebook.name, "type": "notebook", "kernel": {"name": "python3"}}
    kernel = server.ask("/api/sessions", session)["kernel"]["id"]
    client = BlockingKernelClient(connection_file=str(Path(jupyter_runtime_dir()) / f"kernel-{kernel}.json"))
    client.load_connection_file()
    client.start_channels()
    try:
        _wait_until_ready(client)
        content = nbformat.read(notebook, as_version=4)
        for cell in (c for c in content.cells if c.cell_type == "code"):
            _run_cell(client, cell)
            cell.metadata["trusted"] = True  # these outputs are of our own making: the server signs what it is told so
        server.ask(
            f"/api/contents/{quote(notebook.name)}",
            {"type": "notebook", "format": "json", "content": content},
            method="PUT",
        )
    except ServerError:
        raise
    except (RuntimeError, TimeoutError, urllib.error.URLError) as error:
        raise ServerError(f"The kernel did not answer: {error}") from error
    finally:
        client.stop_channels()
    return kernel


def _wait_until_ready(client: Any) -> None:
    """Wait for the kernel's first word. On a busy machine its heart may begin to beat only after a while.

    Raises RuntimeError where it stays silent.
    """
    end = time.monotonic() + PATIENCE
    while True:
        try:
            client.wait_for_ready(timeout=max(1.0, end - time.monotonic()))
        except RuntimeError:  # it says that the kernel died when a single beat was missed
            if time.monotonic() > end:
                raise
            time.sleep(0.3)
        else:
            return


def _run_cell(client: Any, cell: Any) -> None:
    from nbformat.v4 import output_from_msg

    cell.outputs = []

    def keep(message: dict[str, Any]) -> None:
        if message["msg_type"] in {"execute_result", "display_data", "stream", "error"}:
            cell.outputs.append(output_from_msg(message))

    answer = client.execute_interactive(cell.source, output_hook=keep, timeout=PATIENCE, store_history=True)["content"]
    cell.execution_count = answer.get("execution_count")
    if answer["status"] != "ok":
        raise ServerError(
            f"The notebook's cell {cell.source.splitlines()[0]!r} failed: {answer.get('ename')}: {answer.get('evalue')}"
        )
