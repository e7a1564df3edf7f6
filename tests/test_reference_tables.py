"""The shipped reference is what it says, and one's own is built, named, refused and shown."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from model.evaluation.reference import SHIPPED, BadReferenceError, Reference
from model.io import to_structures
from model.testing import famous
from workbench.commands.reference import app

NAMES = ("rocksalt-NaCl", "rutile-TiO2", "anatase-TiO2", "bcc-Fe")


def cif(name):
    return to_structures(famous(name))[0].to(fmt="cif")


@pytest.fixture
def table(tmp_path):
    rows = {
        "material_id": [*NAMES, "broken", "bcc-Fe"],
        "formation_energy_per_atom": [-2.1, -3.4, -3.3, 0.0, -1.0, 0.0],
        "e_above_hull": [0.0, 0.0, 0.1, 0.0, 0.0, 0.0],
        "cif": [*(cif(name) for name in NAMES), "data_nothing", cif("bcc-Fe")],
    }
    pd.DataFrame(rows).to_csv(tmp_path / "crystals.csv.gz", index=False)
    return tmp_path / "crystals.csv.gz"


def run(*words):
    return CliRunner().invoke(app, list(map(str, words)))


def test_the_shipped_reference_is_small_attributed_and_whole():
    reference = Reference.shipped()
    assert sum(file.stat().st_size for file in SHIPPED.glob("*.parquet")) < 6e6
    assert reference.about["licence"] == "CC-BY-4.0"
    assert "Materials Project" in reference.about["source"]
    assert "CC BY 4.0" in (SHIPPED / "README.md").read_text(encoding="utf-8")
    assert len(reference.known) == 25_385
    assert len(reference.hull) == 95_360
    assert not reference.has_structures
    assert (np.diff(reference.known.keys.astype(object)) >= 0).all()
    assert reference.about["elements_fitted"]["CHGNet 0.3.0"]["mean_error"] < 0.025


def test_elemental_energies_turn_totals_into_formation_energies():
    reference = Reference.shipped()
    elements = reference.elemental("CHGNet 0.3.0")
    total = 2 * elements["Na"] + 2 * elements["Cl"] - 4.0
    assert reference.formation_energy({"Na": 2, "Cl": 2}, total, "CHGNet 0.3.0") == pytest.approx(-1.0)
    assert np.isnan(reference.formation_energy({"Es": 1}, -1.0, "CHGNet 0.3.0"))
    with pytest.raises(BadReferenceError, match="workbench reference fit"):
        reference.elemental("nothing")


def test_built_from_a_table_it_holds_structures_and_names_what_it_passed_over(table, tmp_path):
    reference = Reference.build([table], tmp_path / "ref", name="mine")
    assert len(reference.known) == len(NAMES)
    assert {one[0] for one in reference.about["skipped"]} == {"broken", "bcc-Fe"}
    assert to_structures(reference.structure("rutile-TiO2"))[0].composition.reduced_formula == "TiO2"
    assert reference.footing({"Ti": 1, "O": 2}).exact
    again = Reference.load(tmp_path / "ref")
    assert again.name == "mine"
    assert again.known.table.equals(reference.known.table)
    with pytest.raises(FileExistsError, match="exists already"):
        Reference.build([table], tmp_path / "ref")


def test_parquet_holds_the_same(table, tmp_path):
    pd.read_csv(table).to_parquet(tmp_path / "crystals.parquet")
    found, wanted = (Reference.build([file], tmp_path / file.suffix) for file in (tmp_path / "crystals.parquet", table))
    assert found.known.table.equals(wanted.known.table)
    assert found.footing({"Ti": 1, "O": 2}) == wanted.footing({"Ti": 1, "O": 2})


def test_a_hull_table_of_ones_own_takes_the_shipped_ones_place(table, tmp_path):
    own = tmp_path / "hull.csv"
    pd.DataFrame({"formula": ["NaCl", "Na2O"], "formation_energy_per_atom": [-2.0, -1.4]}).to_csv(own, index=False)
    reference = Reference.build([table, own], tmp_path / "ref")
    assert set(reference.hull.formula) == {"NaCl", "Na2O", "TiO2", "Fe"}
    assert reference.footing({"Na": 1, "Cl": 1}).energy == pytest.approx(-2.1)  # the crystal's own hull point decides


def test_a_table_that_is_neither_is_refused(tmp_path):
    strange = tmp_path / "moduli.csv"
    pd.DataFrame({"formula": ["NaCl"], "bulk_modulus": [24.0]}).to_csv(strange, index=False)
    with pytest.raises(BadReferenceError, match="neither a column cif"):
        Reference.build([strange], tmp_path / "ref")
    assert not (tmp_path / "ref").exists()


def test_the_command_builds_and_shows(table, tmp_path):
    result = run("build", table, "--out", tmp_path / "ref", "--workers", 1)
    assert result.exit_code == 0, result.output
    assert "Warning: broken is left out:" in result.stderr
    assert "4 known crystals (structures and fingerprints)" in result.stdout
    shown = run("show", tmp_path / "ref", "--system", "Ti-O")
    assert shown.exit_code == 0
    assert "TiO2" in shown.stdout
    assert run("build", table, "--out", tmp_path / "ref").exit_code == 2
    missing = run("show", tmp_path / "nowhere")
    assert missing.exit_code == 2
    assert "There is no reference" in missing.stderr


def test_the_command_shows_the_shipped_one():
    shown = run("show")
    assert shown.exit_code == 0
    assert "25,385 known crystals (fingerprints, no structures)" in shown.stdout


def test_an_unknown_format_is_refused(table, tmp_path):
    Reference.build([table], tmp_path / "ref")
    manifest = tmp_path / "ref" / "reference.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format": 99}))
    with pytest.raises(BadReferenceError, match="format 99"):
        Reference.load(tmp_path / "ref")


def test_a_hull_of_ones_own_is_read_as_people_write_it_and_its_bad_rows_are_named(tmp_path):
    table = tmp_path / "hull.csv"
    table.write_text("formula,formation_energy_per_atom,kind\nFe4O6,-1.6,\nONi,-1.2,phase\nXx2,-1.0,phase\nLi2O,x,phase\nNaCl,,phase\nMgO,-3.0,weird\n")
    said = run("build", table, "--out", tmp_path / "ref")
    assert said.exit_code == 0, said.output
    reference = Reference.load(tmp_path / "ref")
    assert sorted(reference.hull.formula) == ["Fe2O3", "NiO"]
    assert reference.knows_formula("Fe2O3")
    assert reference.knows_formula("NiO")
    assert reference.knows_formula("O2"), "an element lies on every hull that holds it"
    named = dict(reference.about["skipped"])
    assert set(named) == {f"hull.csv, row {row}" for row in (2, 3, 4, 5)}
    assert "hull or phase" in named["hull.csv, row 5"]


def test_crystals_without_a_name_are_kept_under_their_rows(tmp_path):
    pd.DataFrame({"material_id": [None, None, "mine"], "cif": [cif(name) for name in NAMES[:3]]}).to_csv(tmp_path / "some.csv", index=False)
    assert run("build", tmp_path / "some.csv", "--out", tmp_path / "ref").exit_code == 0
    known = Reference.load(tmp_path / "ref").known
    assert sorted(known.id(row) for row in range(len(known))) == ["mine", "some.csv:0", "some.csv:1"]


def test_a_system_of_any_known_elements_can_be_asked_for():
    assert "Kr" in run("show", "--system", "Kr").output
    assert "holds nothing of Xx" in run("show", "--system", "Li-Xx").output
