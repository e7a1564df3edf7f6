"""The house keeps its order: quiet imports, a bare training process, import contracts, lint, words on both sides."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run(code, *, blocked=(), env=None):
    """Run Python in a fresh interpreter in which some packages cannot be imported."""
    guard = f"import sys; sys.modules.update(dict.fromkeys({list(blocked)!r}))  # None: as if not installed\n"
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", guard + code], capture_output=True, text=True,
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"} | (env or {}), check=False,
    )


@pytest.mark.parametrize("package", ["model", "workbench"])
def test_importing_is_quiet_and_light(package):
    heavy = ["pymatgen", "pandas", "lightning", "pytorch_lightning", "ipywidgets", "dask", "plotly", "ase"]
    done = run(f"import {package}, sys; print([m for m in {heavy!r} if m in sys.modules])")
    assert done.stderr == ""
    assert done.stdout.strip() == "[]"


def test_every_name_the_package_offers_is_there():
    done = run("import model; print([n for n in model.__all__ if getattr(model, n, None) is None])")
    assert done.stdout.strip() == "[]", done.stderr


def test_the_core_needs_torch_and_numpy_alone():
    names = ["crystals", "cell", "constraints", "conditions", "checkpoints", "sampling.generate", "diffusion.crystal",
             "network.denoiser", "data.cache"]
    walls = ["pymatgen", "pandas", "lightning", "pytorch_lightning", "ase", "chgnet", "jaxtyping", "yaml", "scipy",
             "safetensors", "tqdm", "typer", "spglib", "moyopy"]
    done = run("\n".join(f"import model.{n}" for n in names) + "\nprint('fine')", blocked=walls)
    assert done.stdout.strip() == "fine", done.stderr


def test_a_model_generates_where_only_torch_and_numpy_are():
    code = """
import model
made = model.generate(model.load('base'), model.Constraints(chemical_system='Li-O', count=1), steps=16)
print(len(made))
"""
    done = run(code, blocked=["pymatgen", "pandas", "lightning", "ase", "chgnet", "jaxtyping", "yaml", "scipy"])
    assert done.stdout.strip() == "1", done.stderr


def test_import_contracts():
    done = subprocess.run(["lint-imports"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_lint():
    done = subprocess.run(["ruff", "check", "."], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_notebooks_hold_no_functions():
    import nbformat

    for path in (ROOT / "notebooks").glob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                assert "def " not in cell.source, path.name


def test_what_the_readme_points_to_is_there():
    import re

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert not re.search(r"\b[A-Z]+_TABLE\b", text)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert target.startswith("http") or (ROOT / target).exists(), target


def test_shipped_models_are_small_and_have_cards():
    folders = [p.parent for p in (ROOT / "model" / "weights").glob("*/model.json")]
    assert folders
    for folder in folders:
        assert "n = " in (folder / "card.md").read_text(encoding="utf-8")
        assert sum(p.stat().st_size for p in folder.iterdir()) < 12e6


def test_nothing_names_this_machine():
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False).stdout
    if not listing:
        pytest.skip("not a git checkout")
    words = [str(ROOT.parent) + "/", "/ro" + "ot/"]
    for name in listing.decode().split("\0"):
        path = ROOT / name
        if name and path.is_file() and path.stat().st_size < 2_000_000 and path.suffix in {".py", ".md", ".toml", ".ipynb", ".json", ".yaml", ""}:
            text = path.read_text(encoding="utf-8", errors="ignore")
            assert not any(word in text for word in words), name
