"""Hand-over to VASP and back. The records of VASP here are written by this file, in VASP's format, from known numbers:
no VASP ran.
"""

import gzip
import json
import subprocess

import numpy as np
import pandas as pd
import pytest
import torch
from pymatgen.io.vasp import Incar, Kpoints, Poscar
from typer.testing import CliRunner

from model.crystals import Crystals
from model.dft import elastic, inputs, results
from model.dft.judge import judge, with_elements
from model.evaluation.reference import Reference
from model.io import from_structures, read_crystals, to_structures, write_extxyz
from model.properties.elastic import deformations
from model.testing import famous
from workbench.cli import app

NAMES = ["rocksalt-MgO", "layered-LiCoO2", "perovskite-SrTiO3"]
runner = CliRunner()


def text_of(rows):
    return "\n".join("<v>" + " ".join(f"{x:.8f}" for x in row) + "</v>" for row in rows)


def crystal_of(structure, name=""):
    attribute = f' name="{name}"' if name else ""
    return f"""<structure{attribute}><crystal><varray name="basis">{text_of(structure.lattice.matrix)}</varray>
<i name="volume">{structure.volume:.8f}</i><varray name="rec_basis">{text_of(structure.lattice.inv_matrix.T)}</varray>
</crystal><varray name="positions">{text_of(structure.frac_coords)}</varray></structure>"""


def energies(total):
    return "".join(f'<i name="{name}">{total:.8f}</i>' for name in ("e_fr_energy", "e_wo_entrp", "e_0_energy"))


def vasprun(structure, energy, *, hubbards=None, stress=None, steps=(1.0, 0.0), scf=5, gap=2.0):
    """A record in VASP's format: ionic steps at `steps` eV above the last energy, `scf` electronic steps each."""
    symbols = [site.specie.symbol for site in structure]
    kinds = list(dict.fromkeys(symbols))
    us = [(hubbards or {}).get(kind, 0.0) for kind in kinds]
    values, zero = " ".join(map(str, us)), " ".join("0" for _ in us)
    ldau = f'<i type="logical" name="LDAU">T</i><v name="LDAUU">{values}</v><v name="LDAUJ">{zero}</v>' if any(us) else ""
    atoms = "".join(f"<rc><c>{s}</c><c>{kinds.index(s) + 1}</c></rc>" for s in symbols)
    types = "".join(
        f"<rc><c>{symbols.count(k)}</c><c>{k}</c><c>1.0</c><c>1.0</c><c>PAW_PBE {k} 01Jan2000</c></rc>" for k in kinds
    )
    zeros = np.zeros((len(structure), 3)) + 0.01
    calculations = "".join(
        f"""<calculation>{f"<scstep><energy>{energies(energy + above)}</energy></scstep>" * scf}{crystal_of(structure)}
<varray name="forces">{text_of(zeros)}</varray><varray name="stress">{text_of(np.zeros((3, 3)) if stress is None else stress)}
</varray><energy>{energies(energy + above)}</energy>
<eigenvalues><array><dimension dim="1">band</dimension><field>eigene</field><field>occ</field><set><set comment="spin 1">
<set comment="kpoint 1"><r>-1.0 1.0</r><r>{gap - 1.0} 0.0</r></set></set></set></array></eigenvalues></calculation>"""
        for above in steps
    )
    return f"""<?xml version="1.0" encoding="ISO-8859-1"?><modeling>
<generator><i name="program" type="string">none</i><i name="version" type="string">a test</i>
<i name="DATE" type="string">2026 01 01</i><i name="TIME" type="string">00:00:00</i></generator>
<incar><i name="GGA" type="string">PE</i>{ldau}</incar>
<kpoints><generation param="Gamma"><v type="int" name="divisions">1 1 1</v><v name="usershift">0 0 0</v></generation>
<varray name="kpointlist"><v>0 0 0</v></varray><varray name="weights"><v>1.0</v></varray></kpoints>
<parameters><i type="int" name="NELM">100</i><i type="int" name="NSW">99</i><i type="int" name="IBRION">2</i>
<i name="EDIFFG">-0.01</i><i type="int" name="ISPIN">1</i><i type="logical" name="LHFCALC">F</i>
<i name="AEXX">0.0</i><i name="HFSCREEN">0.0</i><i name="GGA" type="string">PE</i><i type="logical" name="LDAU">{"T" if any(us) else "F"}</i></parameters>
<atominfo><atoms>{len(structure)}</atoms><types>{len(kinds)}</types>
<array name="atoms"><dimension dim="1">ion</dimension><field type="string">element</field><field type="int">atomtype</field>
<set>{atoms}</set></array>
<array name="atomtypes"><dimension dim="1">type</dimension><field type="int">atomspertype</field><field type="string">element</field>
<field>mass</field><field>valence</field><field type="string">pseudopotential</field><set>{types}</set></array></atominfo>
{crystal_of(structure, "initialpos")}{calculations}{crystal_of(structure, "finalpos")}</modeling>"""


@pytest.fixture
def handed(tmp_path):
    crystals = Crystals.join([famous(name) for name in NAMES])
    return inputs.write(crystals, NAMES, tmp_path / "dft"), crystals


def total(structure, formation, elements):
    """Total energy of a crystal with this formation energy, in eV."""
    counts = structure.composition.get_el_amt_dict()
    return formation * len(structure) + sum(n * elements[symbol] for symbol, n in counts.items())


def finish(folder, name, *, formation=-2.0, correction=0.0, stage="3-static", grow=1.0, **known):
    """Put a record into a stage: a crystal with this formation energy once it is corrected."""
    structure = Poscar.from_file(str(folder / name / "1-relax" / "POSCAR")).structure
    structure.scale_lattice(structure.volume * grow)
    elements = with_elements(Reference.shipped(), None).elemental(results.NAME)
    energy = total(structure, formation, elements) - correction
    (folder / name / stage / "vasprun.xml").write_text(vasprun(structure, energy, **known))
    return structure


# --- there ------------------------------------------------------------------------------------------------------------


def test_inputs_are_those_of_the_materials_project(handed):
    folder, crystals = handed
    for name, structure in zip(NAMES, to_structures(crystals), strict=True):
        for stage in inputs.STAGES:
            place = folder / name / stage
            assert sorted(p.name for p in place.iterdir()) == ["INCAR", "KPOINTS", "POSCAR", "POTCAR.spec"]
            written = Poscar.from_file(str(place / "POSCAR")).structure
            assert written.composition == structure.composition
            assert written.volume == pytest.approx(structure.volume, rel=1e-5)
            assert written.species == sorted(written.species, key=written.species.index)  # element after element
            Kpoints.from_file(str(place / "KPOINTS"))
        first, last = (Incar.from_file(str(folder / name / stage / "INCAR")) for stage in (inputs.STAGES[0], "3-static"))
        assert (first["ENCUT"], first["ISIF"], first["NSW"]) == (520, 3, 99)
        assert last["NSW"] == 0
    assert Incar.from_file(str(folder / "layered-LiCoO2" / "1-relax" / "INCAR"))["LDAUU"] == [0, 3.32, 0]
    assert (folder / "layered-LiCoO2" / "1-relax" / "POTCAR.spec").read_text().split() == ["Li_sv", "Co", "O"]
    kept = read_crystals(folder / "crystals.extxyz")
    assert kept.ids == NAMES


def test_the_script_runs_each_stage_once_and_hands_the_crystal_on(handed):
    folder, _ = handed
    script = folder / "run.sh"
    calm = {"PATH": "/usr/bin:/bin"}
    said = subprocess.run([script], env=calm | {"VASP": "true"}, capture_output=True, text=True, check=False)
    assert said.returncode == 2
    assert "has no POTCAR" in said.stderr
    for spec in folder.rglob("POTCAR.spec"):
        (spec.parent / "POTCAR").write_text("none")
    fake = folder.parent / "vasp"
    fake.write_text('#!/bin/bash\necho "$PWD" >> ../../../log\nsed "1s/.*/passed on/" POSCAR > CONTCAR\n'
                    'printf "<modeling>\\n</modeling>\\n" > vasprun.xml\n')
    fake.chmod(0o755)
    for _ in range(2):
        subprocess.run([script], env=calm | {"VASP": str(fake)}, check=True, capture_output=True)
    log = (folder.parent / "log").read_text().split()
    assert len(log) == len(set(log)) == 3 * len(NAMES)
    assert (folder / NAMES[0] / "3-static" / "POSCAR").read_text().startswith("passed on")


def test_names_stay_inside_and_apart(tmp_path):
    crystals = Crystals.join([famous(NAMES[0])] * 3)
    inputs.write(crystals, ["../up", "a b", "a/b"], tmp_path / "dft")
    folders = [one["folder"] for one in inputs.manifest(tmp_path / "dft")["crystals"]]
    assert len(set(folders)) == 3
    assert all((tmp_path / "dft" / folder / "1-relax" / "INCAR").is_file() for folder in folders)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dft"]
    told = json.loads((tmp_path / "dft" / "dft.json").read_text())
    told["crystals"][0]["folder"] = "../../etc"
    (tmp_path / "dft" / "dft.json").write_text(json.dumps(told))
    with pytest.raises(inputs.HandOverError, match="none of its own"):
        results.read(tmp_path / "dft")


def test_what_cannot_be_handed_over_is_said(tmp_path):
    salt = famous(NAMES[0])
    with pytest.raises(inputs.HandOverError, match="no crystal was chosen"):
        inputs.write(Crystals.empty(), [], tmp_path / "a")
    with pytest.raises(inputs.HandOverError, match="no calculation 'phonons'"):
        inputs.write(salt, ["a"], tmp_path / "a", calculation="phonons")
    with pytest.raises(inputs.HandOverError, match="no settings"):
        inputs.write(salt.replace(numbers=torch.tensor([12, 85])), ["astatide"], tmp_path / "a")
    assert list(tmp_path.iterdir()) == []
    inputs.write(salt, ["a"], tmp_path / "a")
    with pytest.raises(FileExistsError, match="not overwritten"):
        inputs.write(salt, ["a"], tmp_path / "a")
    with pytest.raises(inputs.HandOverError, match=r"no dft\.json"):
        results.read(tmp_path)
    with pytest.raises(inputs.HandOverError, match="no crystal x"):
        inputs.pick(salt, ["a"], ["x"])


# --- and back ---------------------------------------------------------------------------------------------------------


def test_energies_and_crystals_come_back_corrected(handed):
    folder, _ = handed
    structure = finish(folder, "rocksalt-MgO", grow=1.03, gap=4.5)
    found = results.read(folder).found["rocksalt-MgO"]
    assert found.correction == pytest.approx(-0.687, abs=1e-3)  # MP's for an oxide, eV for each oxygen atom
    assert torch.linalg.det(found.relaxed.crystal.cell[0]) == pytest.approx(structure.volume, rel=1e-5)
    assert found.relaxed.converged
    assert found.relaxed.reason == ""
    assert found.band_gap == pytest.approx(4.5)
    assert np.isnan(found.magnetisation)


def test_what_did_not_come_back_is_named_with_its_reason(handed):
    folder, _ = handed
    finish(folder, "rocksalt-MgO", stage="2-relax")
    record = folder / "layered-LiCoO2" / "3-static" / "vasprun.xml"
    finish(folder, "layered-LiCoO2")  # cobalt without the U that the Materials Project gives it
    found = results.read(folder)
    assert set(found.missing) == {"layered-LiCoO2", "perovskite-SrTiO3"}
    assert "not the Materials Project's" in found.missing["layered-LiCoO2"]
    assert "not been calculated yet" in found.missing["perovskite-SrTiO3"]
    assert "3-static has not ended" in found.found["rocksalt-MgO"].relaxed.reason
    record.write_text(record.read_text()[:900])
    assert "not readable" in results.read(folder).missing["layered-LiCoO2"]


def test_a_packed_record_and_one_that_did_not_converge(handed):
    folder, _ = handed
    finish(folder, "rocksalt-MgO")
    plain = folder / "rocksalt-MgO" / "3-static" / "vasprun.xml"
    plain.with_suffix(".xml.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    finish(folder, "perovskite-SrTiO3", scf=100)
    finish(folder, "layered-LiCoO2", hubbards={"Co": 3.32})
    found = results.read(folder).found
    assert found["rocksalt-MgO"].relaxed.converged
    assert not found["perovskite-SrTiO3"].relaxed.converged
    assert "did not converge" in found["perovskite-SrTiO3"].relaxed.reason
    assert found["layered-LiCoO2"].correction < -2.5  # oxygen's and, for cobalt with a U, the metal's own


OUTCAR = """\
   k-points           NKPTS =      1   k-points in BZ     NKDIM =      1   number of bands    NBANDS=     16
   total plane-waves  NPLWV =   4096
   IBRION =     -1    ionic relax: 0-MD 1-quasi-New 2-CG
 energy without entropy =      -11.90000000  energy(sigma->0) =      -11.95000000
  free  energy   TOTEN  =       -11.94000000 eV
 number of electron      16.0000000 magnetization       3.5000000
 General timing and accounting informations for this job:
                  Total CPU time used (sec):       10.000
                            User time (sec):        9.000
                          System time (sec):        1.000
                         Elapsed time (sec):       11.000
                   Maximum memory used (kb):       1000.
                   Average memory used (kb):          0.
"""


def test_outcar_where_the_record_was_not_kept(handed):
    folder, crystals = handed
    place = folder / "rocksalt-MgO" / "3-static"
    (place / "OUTCAR").write_text(OUTCAR)
    found = results.read(folder).found["rocksalt-MgO"]
    assert float(found.relaxed.energy) - found.correction == pytest.approx(-11.95)
    assert found.correction == pytest.approx(-0.687, abs=1e-3)
    assert found.magnetisation == pytest.approx(3.5)
    assert found.relaxed.crystal.cell[0].det() == pytest.approx(float(crystals.cell[0].det()), rel=1e-5)
    density = judge(results.read(folder), Reference.shipped()).candidates.table["dft_mag_density"][0]
    assert density == pytest.approx(3.5 / float(crystals.cell[0].det()), rel=1e-4)
    (place / "INCAR").unlink()
    assert "not enough" in results.read(folder).missing["rocksalt-MgO"]
    (place / "INCAR").write_text("ENCUT = 520\n")
    (place / "OUTCAR").write_text("vasp died\n")
    assert "not readable" in results.read(folder).missing["rocksalt-MgO"]


def test_another_crystal_in_the_folder_is_refused(handed):
    folder, _ = handed
    structure = to_structures(famous("rocksalt-NaCl"))[0]
    (folder / "rocksalt-MgO" / "3-static" / "vasprun.xml").write_text(vasprun(structure, -7.0))
    assert "not what was handed over" in results.read(folder).missing["rocksalt-MgO"]


def test_results_are_judged_as_everything_else(handed):
    folder, crystals = handed
    finish(folder, "rocksalt-MgO", formation=-1.0, correction=-0.687, grow=1.05)
    judged = judge(results.read(folder), Reference.shipped())
    row = judged.candidates.table.iloc[0]
    assert row["formation_energy"] == pytest.approx(-1.0, abs=1e-3)
    assert row["energy_above_hull"] == pytest.approx(-1.0 - Reference.shipped().footing({"Mg": 1, "O": 1}).energy, abs=1e-3)
    assert row["novelty"] != "novel"  # rock salt is known; the shipped reference has no structure to say so outright
    assert row["rmsd"] == pytest.approx(0.0, abs=1e-3)
    assert row["dft_band_gap"] == pytest.approx(2.0)
    assert judged.scorecard.made == 3
    assert judged.scorecard.judged == 1
    assert set(judged.scorecard.missing) == {"layered-LiCoO2", "perovskite-SrTiO3"}
    assert judged.scorecard.energy_model == results.NAME
    volume = float(torch.linalg.det(judged.relaxation.crystals.cell[0]))
    assert volume == pytest.approx(1.05 * float(torch.linalg.det(crystals.cell[0])), rel=1e-4)


def test_elemental_energies_of_ones_own_move_formation_energies(handed):
    folder, _ = handed
    finish(folder, "rocksalt-MgO", formation=-3.0, correction=-0.687)
    usual = with_elements(Reference.shipped(), None).elemental(results.NAME)
    moved = judge(results.read(folder), Reference.shipped(), {"Mg": usual["Mg"] + 0.2}).candidates.table
    assert moved["formation_energy"][0] == pytest.approx(-3.1, abs=1e-3)


def test_the_elastic_tensor_goes_there_and_back(tmp_path):
    salt = famous("rocksalt-MgO")
    folder = inputs.write(salt, ["salt"], tmp_path / "elastic", calculation="elastic")
    each = deformations(inputs.STRAINS)
    wanted = np.diag([300.0] * 3 + [150.0] * 3)
    wanted[:3, :3] += 100 - 100 * np.eye(3)
    for at, one in enumerate(each, start=1):
        place = folder / "salt" / f"strain-{at:02d}"
        strained = Poscar.from_file(str(place / "POSCAR")).structure
        assert strained.volume == pytest.approx(to_structures(salt)[0].volume * np.linalg.det(one), rel=1e-4)
        assert Incar.from_file(str(place / "INCAR"))["ISIF"] == 2
        green = (one.T @ one - np.eye(3)) / 2
        shear = 2 * np.array([green[1, 2], green[0, 2], green[0, 1]])
        xx, yy, zz, yz, xz, xy = wanted @ np.concatenate([np.diag(green), shear])
        pull = one @ np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) @ one.T / np.linalg.det(one)
        (place / "vasprun.xml").write_text(vasprun(strained, -10.0, stress=-10 * pull))
    found = elastic.read(folder)["salt"]
    assert found.tensor == pytest.approx(wanted, abs=0.5)
    assert found.bulk == pytest.approx(500 / 3, rel=1e-3)
    said = runner.invoke(app, ["dft", "read", str(folder)])
    assert "166.7" in said.output
    out = tmp_path / "elastic-evaluated"
    row = pd.read_csv(out / "candidates.csv").iloc[0]
    assert (row["id"], row["formula"]) == ("salt", "MgO")
    assert row["dft_bulk_modulus"] == pytest.approx(found.bulk)
    assert row["dft_shear_modulus"] == pytest.approx(found.shear)
    kept = json.loads((out / "elastic_tensors.json").read_text())
    assert np.array(kept["tensors"]["salt"]) == pytest.approx(found.tensor, abs=1e-3)
    assert list(read_crystals(out).ids) == ["salt"]
    said = runner.invoke(app, ["dft", "read", str(folder)])
    assert said.exit_code == 2
    assert "exists already" in said.output
    said = runner.invoke(app, ["dft", "read", str(folder), "--reference", str(tmp_path)])
    assert "leave --reference and --elements out" in said.output
    (folder / "salt" / "strain-07" / "vasprun.xml").unlink()
    assert "strain-07 has no vasprun.xml" in elastic.read(folder)["salt"].reason


def test_from_the_command_line(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    write_extxyz(run / "crystals.extxyz", Crystals.join([famous(name) for name in NAMES]), [{"id": n} for n in NAMES])
    out = tmp_path / "dft"
    said = runner.invoke(app, ["dft", "write", str(run), "--out", str(out), "--only", "rocksalt-MgO"])
    assert said.exit_code == 0, said.output
    assert "POTCAR.spec names them" in said.output
    finish(out, "rocksalt-MgO")
    said = runner.invoke(app, ["dft", "read", str(out)])
    assert said.exit_code == 0, said.output
    assert "1 of 1 crystals judged" in said.output
    assert (tmp_path / "dft-evaluated" / "candidates.csv").is_file()
    (run / "candidates.csv").write_text("id,energy_above_hull,unique\nrocksalt-MgO,0.3,True\nlayered-LiCoO2,0.1,\nperovskite-SrTiO3,0.0,False\n")
    said = runner.invoke(app, ["dft", "write", str(run), "--out", str(tmp_path / "two"), "--best", "2"])
    assert [one["id"] for one in inputs.manifest(tmp_path / "two")["crystals"]] == ["layered-LiCoO2", "rocksalt-MgO"]


@pytest.mark.parametrize(("slip", "word"), [
    (["write", "nowhere", "--out", "x"], "no folder or file"),
    (["write", "RUN", "--out", "x", "--only", "nobody"], "no crystal nobody"),
    (["write", "RUN", "--out", "x", "--best", "2"], "no candidates.csv"),
    (["write", "RUN", "--out", "x", "--only", "a", "--best", "2"], "not both"),
    (["read", "RUN"], "no dft.json"),
])  # fmt: skip
def test_a_slip_is_one_sentence(slip, word, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "RUN").mkdir()
    write_extxyz(tmp_path / "RUN" / "crystals.extxyz", famous(NAMES[0]), [{"id": "a"}])
    said = runner.invoke(app, ["dft", *slip])
    assert said.exit_code == 2
    assert word in said.output
    assert len(said.output.strip().splitlines()) == 1
    assert not (tmp_path / "x").exists()


def test_a_flow_says_what_it_needs():
    from importlib.util import find_spec

    from model.dft.flow import flow

    if find_spec("atomate2"):
        made = flow(from_structures(to_structures(famous(NAMES[0]))), ["a"], elastic=True)
        assert len(made.jobs) == 2
    else:
        with pytest.raises(ImportError, match="pip install atomate2"):
            flow(famous(NAMES[0]), ["a"])
