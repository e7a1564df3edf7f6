"""`workbench open`: JupyterLab on the bench's notebook, with the bench already running in it."""

import tempfile
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from workbench.commands.talk import fail


def open_bench(
    *,
    folder: Annotated[
        Path, typer.Option(help="Where the notebook, sessions and exports lie; the notebook is put there if missing.")
    ] = Path(),
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open the browser; without it only the address is printed.")] = True,
    check: Annotated[
        bool, typer.Option(help="Open the bench, say so, and close it again: for machines without a screen.")
    ] = False,
) -> None:
    """Open the design bench in JupyterLab."""
    from workbench import server as lab

    folder = folder.expanduser().resolve()
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        running = None
        try:
            notebook = lab.notebook_in(folder)
            typer.echo("Starting JupyterLab ...", err=True)
            running = lab.start(folder, port=port, log=Path(place) / "jupyter.log")
            lab.run_notebook(running, notebook)
            url = running.url(notebook.name)
            typer.echo(f"The bench is open at {url}")
            if check:
                return
            if browser:
                webbrowser.open(url)
            typer.echo("Press Ctrl+C to close it.", err=True)
            running.process.wait()
        except lab.ServerError as error:
            raise fail(str(error)) from error
        except KeyboardInterrupt:
            typer.echo("\nThe bench is closed.", err=True)
        finally:
            if running is not None:
                running.stop()
