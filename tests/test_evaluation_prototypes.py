"""Prototypes, dimensionality and charges: what textbooks say of well-known crystals."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from model.candidates import COLUMNS, Candidates
from model.crystals import Crystals
from model.evaluation.prototypes import COLUMNS_TOLD, prototype, prototype_name, story, tell
from model.io import to_structures, write_extxyz
from model.network.readout import Readout
from model.properties.oxidation import oxidation
from model.properties.readouts import Report, save
from model.testing import famous
from workbench.cli import app


def candidates(*names):
    crystals = Crystals.join([famous(name) for name in names])
    return Candidates(crystals=crystals, table=pd.DataFrame({"id": list(names)}))


@pytest.mark.parametrize(("name", "label", "called"), [
    ("rocksalt-NaCl", "AB_cF8_225_a_b", "Halite, Rock Salt (B1)"),
    ("rocksalt-TiN", "AB_cF8_225_a_b", "Halite, Rock Salt (B1)"),
    ("fluorite-CaF2", "AB2_cF12_225_a_c", "Fluorite (C1)"),
    ("diamond-Si", "A_cF8_227_a", "diamond (A4)"),
    ("perovskite-SrTiO3", "A3BC_cP5_221_c_a_b", "(Cubic) Perovskite (E2_1)"),
    ("spinel-MgAl2O4", "A2BC4_cF56_227_c_b_e", "Spinel (H1_1)"),
    ("laves-MgCu2", "A2B_cF24_227_c_b", "Cubic Laves (C15)"),
])  # fmt: skip
def test_prototypes_have_their_names(name, label, called):
    structure = to_structures(famous(name))[0]
    assert prototype(structure) == label
    assert prototype_name(structure) == called


def test_a_prototype_is_that_of_the_crystal_however_it_is_written():
    structure = to_structures(famous("rutile-TiO2"))[0]
    moved = structure.copy()
    moved.translate_sites(range(len(moved)), [0.13, 0.27, 0.41])
    moved.make_supercell([[1, 1, 0], [0, 1, 0], [0, 0, 2]])
    moved.scale_lattice(moved.volume * 1.4)
    assert prototype(moved) == prototype(structure) != ""
    assert prototype_name(moved) == prototype_name(structure) != ""


@pytest.mark.parametrize(("name", "kind"), [
    ("rocksalt-NaCl", "bulk"), ("quartz-SiO2", "bulk"), ("graphite-C", "layered"), ("molybdenite-MoS2", "layered"),
    ("cadmium-iodide-CdI2", "layered"), ("boron-nitride-BN", "layered"), ("bcc-Fe", "bulk"), ("layered-LiCoO2", "bulk"),
])  # fmt: skip
def test_layers_and_bulk(name, kind):
    assert story(famous(name)).dimensionality == kind


def test_chains_and_molecules():
    from pymatgen.core import Lattice, Structure

    from model.io import from_structures

    chain = Structure(Lattice.orthorhombic(9, 9, 1.3), ["C"], [[0, 0, 0]])
    molecule = Structure(Lattice.cubic(8), ["N", "N"], [[0, 0, 0], [0.137, 0, 0]])
    assert story(from_structures([chain])).dimensionality == "chains"
    assert story(from_structures([molecule])).dimensionality == "molecular"


@pytest.mark.parametrize(("composition", "states", "balanced"), [
    ({"Sr": 1, "Ti": 1, "O": 3}, {"Sr": 2, "Ti": 4, "O": -2}, True), ({"Na": 4, "Cl": 4}, {"Na": 1, "Cl": -1}, True),
    ({"Fe": 3, "O": 4}, {"Fe": 8 / 3, "O": -2}, True), ({"Na": 1, "Cl": 3}, {}, False), ({"Fe": 1, "Ni": 3}, {}, None),
    ({"C": 8}, {}, None), ({"K": 1, "F": 8}, {}, False),
])  # fmt: skip
def test_oxidation_states_balance_or_not(composition, states, balanced):
    found = oxidation(composition)
    assert dict(found.states) == pytest.approx(states)
    assert found.balanced is balanced


def test_oxidation_states_add_up_to_zero():
    for name in ("zircon-ZrSiO4", "delafossite-CuAlO2", "chalcopyrite-CuFeS2", "double-perovskite-Ba2YTaO6"):
        counts = to_structures(famous(name))[0].composition.get_el_amt_dict()
        found = oxidation(counts)
        assert found.balanced
        assert sum(counts[symbol] * state for symbol, state in found.states.items()) == pytest.approx(0, abs=1e-9)


def test_stories_become_columns():
    told = tell(candidates("rocksalt-NaCl", "laves-MgCu2", "graphite-C"))
    assert set(COLUMNS_TOLD) <= set(told.table) & set(COLUMNS)
    assert told.table["dimensionality"].tolist() == ["bulk", "bulk", "layered"]
    assert told.table["oxidation_states"].tolist() == ["Na +1, Cl -1", "", ""]
    assert told.table["charge_balanced"].isna().tolist() == [False, True, True]
    assert bool(told.table["charge_balanced"][0]) is True
    with pytest.raises(ValueError, match="3 candidates need as many"):
        tell(candidates("rocksalt-NaCl", "laves-MgCu2", "graphite-C"), famous("bcc-Fe"))
    nothing = tell(Candidates(crystals=Crystals.empty(), table=pd.DataFrame({"id": []})))
    assert set(COLUMNS_TOLD) <= set(nothing.table)


@pytest.mark.parametrize("wrong", ["collapsed", "flat", "on top of each other"])
def test_awkward_crystals_have_a_story_all_the_same(wrong):
    crystal = famous("rutile-TiO2")
    if wrong == "collapsed":
        crystal = crystal.replace(cell=crystal.cell * 0.05)
    elif wrong == "flat":
        crystal = crystal.replace(cell=crystal.cell * torch.tensor([1.0, 1.0, 0.01]))
    else:
        crystal = crystal.replace(frac=crystal.frac * 0)
    assert "balance" in story(crystal).text


def test_a_story_in_one_line():
    assert story(famous("rocksalt-NaCl")).text == "Halite, Rock Salt (B1), bulk; charges balance: Na +1, Cl -1"
    assert story(famous("graphite-C")).text == "Graphite (A9), layered; no charges to balance"


def test_evaluate_tells_stories_moduli_and_what_readouts_predict(tmp_path):
    write_extxyz(tmp_path / "crystals.extxyz", famous("rocksalt-MgO"), [{"id": "magnesia"}])
    torch.manual_seed(0)
    (tmp_path / "readout").mkdir()
    tiny = {"num_blocks": 1, "cutoff": 5.0, "emb_size_atom": 16, "emb_size_edge": 16, "num_radial": 8}
    report = Report(label="dft_band_gap", taught=60, held_out=6, mean_absolute_error=0.7, error_of_the_mean=1.4)
    save(Readout("dft_band_gap", **tiny), report, tmp_path / "readout")
    run = CliRunner()
    ask = ["evaluate", str(tmp_path / "crystals.extxyz"), "--no-relax"]
    said = run.invoke(app, [*ask, "--out", str(tmp_path / "out"), "--story", "--bulk-modulus", "curve", "--readout",
                            str(tmp_path / "readout")])  # fmt: skip
    assert said.exit_code == 0, said.output
    row = pd.read_csv(tmp_path / "out" / "candidates.csv").iloc[0]
    assert row["prototype_name"] == "Halite, Rock Salt (B1)"
    assert row["ml_bulk_modulus"] == pytest.approx(160, rel=0.2)
    assert np.isfinite(row["ml_band_gap"])
    notes = " ".join(json.loads((tmp_path / "out" / "scorecard.json").read_text())["notes"])
    assert "mean absolute error 0.7 on 6 held-out crystals" in notes
    assert "equation" not in notes
    assert "Birch" in notes
    for slip, word in ((["--bulk-modulus", "guess"], "curve or tensor"), (["--readout", "nowhere"], "holds no readout")):
        said = run.invoke(app, [*ask, "--out", str(tmp_path / "other"), *slip])
        assert said.exit_code == 2
        assert word in said.output
        assert not (tmp_path / "other").exists()
