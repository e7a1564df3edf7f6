"""Every notebook runs from top to bottom, and is written for reading: no functions, no paths, one cell of parameters."""

import json
import re
from pathlib import Path

import nbformat
import pytest
import torch
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
FIGURES = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb") if path.stem != "workbench")
WANTED = {
    "fig2_stable_unique_novel", "fig3_chemical_system", "fig4_symmetry", "fig5_band_gap", "fig5_bulk_modulus",
    "fig5_magnetic_density", "fig6_low_supply_risk_magnets", "finetune_your_property", "steps_and_quality", "train_base",
}
QUICK = {"steps_and_quality", "fig3_chemical_system"}  # the others take a minute together with their imports
LARGEST = 400_000  # bytes of a notebook with its kept outputs


def read(name):
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def run(notebook, monkeypatch, tmp_path, **variables):
    """Execute a notebook where it lies, with its runs and models kept elsewhere."""
    shown = {"PRESET": "quick", "RUNS": tmp_path / "runs", "WORKBENCH_MODELS": tmp_path / "models"} | variables
    for variable, value in shown.items():
        monkeypatch.setenv(variable, str(value))
    NotebookClient(notebook, timeout=1200, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOKS)}}).execute()
    return notebook


def sentences(notebook):
    """What the notebook says in words it computed."""
    outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    return "\n".join(o.data["text/markdown"] for o in outputs if "text/markdown" in o.get("data", {}))


def figures(notebook):
    outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    return [o.data for o in outputs if {"application/vnd.plotly.v1+json", "image/png"} & set(o.get("data", {}))]


def test_every_figure_has_its_notebook():
    assert set(FIGURES) >= WANTED


@pytest.mark.parametrize("name", FIGURES)
def test_is_written_for_reading(name):
    notebook = read(name)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    parameters = [cell for cell in code if "parameters" in cell.metadata.get("tags", [])]
    assert len(parameters) == 1
    assert parameters[0] is code[0]
    assert re.search(r'preset = os\.environ\.get\("PRESET", "shipped"\)', parameters[0].source)
    text = "\n".join(cell.source for cell in notebook.cells)
    assert not re.search(r"^\s*(async )?def |lambda |^class ", text, re.MULTILINE)
    assert not re.search(r"""["'](/|~|[A-Za-z]:\\)""", text)
    assert notebook.cells[0].cell_type == "markdown"
    assert max(map(len, "\n".join(cell.source for cell in code).splitlines())) <= 120


@pytest.mark.parametrize("name", FIGURES)
def test_numbers_of_the_text_come_out_of_the_code(name):
    """Prose holds no decimals, percentages or counts of three digits and more, which would outlive their tables."""
    for cell in read(name).cells:
        if cell.cell_type == "markdown":
            plain = re.sub(r"0\.1 (Å|eV/atom)|0\.5 eV|1,000|2,000", "", cell.source)  # definitions, not results
            assert not re.search(r"\d+\.\d+|\d+ ?%|\d{3,}", plain), cell.source


@pytest.mark.parametrize("name", FIGURES)
def test_kept_outputs_are_whole_small_and_shown_without_a_kernel(name):
    path = NOTEBOOKS / f"{name}.ipynb"
    assert path.stat().st_size < LARGEST
    notebook = read(name)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [o for cell in code for o in cell.outputs if o.output_type == "error"]
    assert figures(notebook)
    assert all("image/png" in data for data in figures(notebook))


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in FIGURES]
)
def test_runs_with_the_quick_preset(name, monkeypatch, tmp_path):
    done = run(read(name), monkeypatch, tmp_path)
    assert figures(done)
    assert sentences(done)


PAPER = {
    "fig2_stable_unique_novel": {"mattergen_base": "base"},
    "fig3_chemical_system": {"chemical_system_energy_above_hull": "chemical_system_energy_above_hull"},
    "fig4_symmetry": {"space_group": "space_group"},
    "fig5_band_gap": {"dft_band_gap": "dft_mag_density_hhi_score"},
    "fig5_bulk_modulus": {"ml_bulk_modulus": "dft_mag_density_hhi_score"},
    "fig5_magnetic_density": {"dft_mag_density": "dft_mag_density_hhi_score"},
    "fig6_low_supply_risk_magnets": {
        "dft_mag_density_hhi_score": "dft_mag_density_hhi_score", "dft_mag_density": "dft_mag_density_hhi_score",
    },
    "steps_and_quality": {"mattergen_base": "base"},
}


def published(fixture, name, place):
    """A fixture under a published name; one that hears two properties becomes one that hears the only one of the name."""
    place.joinpath("checkpoints").mkdir(parents=True)
    text = (fixture / "config.yaml").read_text()
    given = torch.load(fixture / "checkpoints" / "last.ckpt", weights_only=True)
    if fixture.name == "dft_mag_density_hhi_score" != name:
        text = re.sub(r"^ *- hhi_score\n", "", text, flags=re.MULTILINE)
        text = re.sub(r"^( *)hhi_score:\n(\1 .*\n)+", "", text, flags=re.MULTILINE).replace("dft_mag_density", name)
        given["state_dict"] = {key.replace("dft_mag_density", name): value for key, value in given["state_dict"].items() if "hhi_score" not in key}
    (place / "config.yaml").write_text(text)
    torch.save(given, place / "checkpoints" / "last.ckpt")


@pytest.mark.slow
@pytest.mark.parametrize("name", PAPER)
def test_runs_with_the_paper_preset_on_a_fixture(name, shared, monkeypatch, tmp_path):
    """The published layout with random weights stands in for the published weights; two steps for two thousand."""
    for called, fixture in PAPER[name].items():
        published(shared / "parity" / fixture, called, tmp_path / "given" / called)
    notebook = read(name)
    # the fixture is not the published file, and says so by another sum
    known = (
        "from model import published\n"
        f"for name in {list(PAPER[name])}:\n"
        "    path = published.cache_folder() / name / 'checkpoints' / 'last.ckpt'\n"
        "    published.NAMES = dict(published.NAMES) | {name: published._sha256(path)}"
    )
    notebook.cells.insert(0, nbformat.v4.new_code_cell(known))
    done = run(notebook, monkeypatch, tmp_path, PRESET="paper", COUNT=1, STEPS=2, MATTERGEN_MODELS=tmp_path / "given")
    assert "generated now" in sentences(done)
    made = sorted((tmp_path / "runs").glob("*-paper*-evaluated"))
    assert made
    for folder in made:
        told = json.loads((folder.with_name(folder.name.removesuffix("-evaluated")) / "run.json").read_text())
        assert told["finished"]
        assert told["model"]["name"] in PAPER[name]
        assert told["method"]["published"]


@pytest.mark.slow
def test_fine_tuning_speaks_in_sentences(monkeypatch, tmp_path):
    """A table of one's own with a misspelt column, holes, text among numbers, or one value only: no traceback."""
    import pandas as pd

    whole = pd.read_csv(NOTEBOOKS / "data" / "crystals.csv.gz").head(200)
    holes = whole.assign(mass_density=whole["mass_density"].where(whole.index % 2 == 0).astype(object))
    holes.loc[4, "mass_density"] = "heavy"
    cases = {
        "misspelt": (whole, "mas_density", "mas_density"),
        "constant": (whole.assign(mass_density=5.0), "mass_density", "same mass_density"),
        "holes": (holes, "mass_density", "mass_density"),
    }
    for case, (table, column, word) in cases.items():
        table.to_csv(tmp_path / f"{case}.csv", index=False)
        notebook = read("finetune_your_property")
        notebook.cells = notebook.cells[:6]  # up to the teaching
        client = NotebookClient(notebook, timeout=600, kernel_name="python3", allow_errors=True,
                                resources={"metadata": {"path": str(NOTEBOOKS)}})
        for variable, value in {"PRESET": "quick", "RUNS": tmp_path / "runs", "NAME": case, "COLUMN": column,
                                "WORKBENCH_MODELS": tmp_path / "models", "TABLE": tmp_path / f"{case}.csv"}.items():
            monkeypatch.setenv(variable, str(value))
        client.execute()
        errors = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs if o.output_type == "error"]
        assert not errors, (case, errors)
        assert word in sentences(notebook), case
        assert ("Stopped" in sentences(notebook)) == (case != "holes"), case


def test_drawing_keeps_outputs_and_nothing_of_the_machine(tmp_path, monkeypatch):
    from nbclient.exceptions import CellExecutionError

    from workbench.paper.drawing import draw

    monkeypatch.delenv("PRESET", raising=False)
    path = tmp_path / "one.ipynb"
    cells = [nbformat.v4.new_code_cell("import os, sys; print(os.environ['PRESET']); print('a log', file=sys.stderr)")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"orig_nbformat": 4}), path)
    draw(path, "quick")
    kept = nbformat.read(path, as_version=4)
    assert [one.text for one in kept.cells[0].outputs] == ["quick\n"]
    assert set(kept.metadata) == {"kernelspec", "language_info"}
    assert kept.cells[0].metadata == {}
    assert [p.name for p in tmp_path.iterdir()] == ["one.ipynb"]
    before = path.read_bytes()
    kept.cells.append(nbformat.v4.new_code_cell("1 / 0"))
    nbformat.write(kept, path)
    broken = path.read_bytes()
    with pytest.raises(CellExecutionError):
        draw(path)
    assert path.read_bytes() == broken != before
