"""Executes notebooks and keeps their outputs, as those in the repository were made out of the shipped tables."""

import os
from pathlib import Path


def draw(path: Path, preset: str = "shipped") -> None:
    """Execute a notebook where it lies and keep its outputs in it, whole or not at all.

    Nothing of the machine is kept: no times, no names of kernels, nothing that libraries say of themselves on the error
    stream. Raises nbclient's CellExecutionError where a cell
    fails; the notebook is then left as it was.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    notebook.metadata = nbformat.from_dict({
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    })
    before = os.environ.get("PRESET")
    os.environ["PRESET"] = preset  # the kernel is a child of this process
    try:
        client = NotebookClient(
            notebook, timeout=None, kernel_name="python3", record_timing=False,
            resources={"metadata": {"path": str(path.resolve().parent)}},
        )  # fmt: skip
        client.execute()
    finally:
        os.environ.pop("PRESET")
        if before is not None:
            os.environ["PRESET"] = before
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [one for one in cell.outputs if one.get("name") != "stderr"]
    partial = path.with_name(f".{path.name}.part")
    nbformat.write(notebook, partial)
    partial.replace(path)
