"""Tables into crystals: what is taken is right, what is not is named, and nothing stops the rest."""

import csv
import gzip
import io
import math
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import torch
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter

from model.cell import lengths
from model.data.sources import MINI, Selection, SourceError, canonical, collect, mini
from model.data.symmetry import SPACE_GROUPS, group_number
from model.execution import Cancelled
from model.io import parse_cif, to_structures
from model.testing import famous_names, sound

HEADER = ["material_id", "spacegroup.number", "e_above_hull", "band_gap", "cif"]
GOOD = str(CifWriter(Structure(Lattice.cubic(4.2), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])))


def table(path, rows, header=HEADER):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def good(name="ok", **changes):
    return [{"material_id": name, "cif": GOOD, "spacegroup.number": "221", "e_above_hull": "0.0", "band_gap": ""}.get(k)
            if k not in changes else changes[k] for k in HEADER]


def listed(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_the_shipped_prototypes_are_sound_primitive_and_symmetric():
    dataset = mini()
    crystals = sound(dataset.crystals(), closest=1.0)
    torch.testing.assert_close(crystals.cell, crystals.cell.mT, atol=1e-6, rtol=0)
    assert len(dataset) >= 60
    assert len(set(dataset.ids.tolist())) == len(dataset)
    assert crystals.n_atoms.max() <= 20
    for structure in to_structures(crystals):
        assert len(structure.get_primitive_structure()) == len(structure)


def test_the_shipped_prototypes_have_the_space_groups_they_claim():
    dataset = mini()
    for structure, number in zip(to_structures(dataset.crystals()), dataset.labels["space_group"], strict=True):
        assert structure.get_space_group_info(0.01)[1] == number, structure.formula


def test_the_shipped_table_is_what_its_maker_makes():
    from model.data.mini.make import PROTOTYPES, build

    assert famous_names() == tuple(PROTOTYPES)
    with MINI.open() as file:
        shipped = {row["material_id"]: row["cif"] for row in csv.DictReader(file)}
    for name in ("rocksalt-NaCl", "zircon-ZrSiO4", "perovskite-CaTiO3"):
        (found,) = parse_cif(shipped[name])
        assert StructureMatcher(scale=False, ltol=1e-4, stol=1e-4, angle_tol=1e-3).fit(found, build(name))


@pytest.mark.parametrize(
    ("name", "bond"),
    [("diamond-C", 1.545), ("rocksalt-NaCl", 2.82), ("rutile-TiO2", 1.946), ("zircon-ZrSiO4", 1.62), ("quartz-SiO2", 1.605)],
)
def test_bonds_are_as_long_as_textbooks_say(famous, name, bond):
    from model.testing import shortest_distance

    assert shortest_distance(famous(name)) == pytest.approx(bond, abs=0.01)


def test_a_supercell_turned_and_shifted_comes_back_as_the_primitive_crystal(tmp_path, famous):
    rows = []
    for name in ("rocksalt-NaCl", "corundum-Al2O3", "wurtzite-ZnO"):
        structure = to_structures(famous(name))[0]
        structure.make_supercell([[1, 1, 0], [0, 2, 0], [0, 0, 1]])
        structure.translate_sites(range(len(structure)), [0.11, 0.22, 0.33])
        rows.append(good(name, cif=str(CifWriter(structure))))
    dataset, _ = collect([table(tmp_path / "t.csv", rows)])
    for name, found in zip(dataset.ids.tolist(), to_structures(dataset.crystals()), strict=True):
        assert len(found) == int(famous(name).n_atoms), name
        assert StructureMatcher(scale=False, primitive_cell=False).fit(found, to_structures(famous(name))[0]), name
        torch.testing.assert_close(
            lengths(dataset.crystals([dataset.ids.tolist().index(name)]).cell).sort().values,
            lengths(famous(name).cell).sort().values, atol=1e-3, rtol=0,
        )


def test_canonical_cells_are_niggli_reduced(famous):
    bent = to_structures(famous("calcite-CaCO3"))[0]
    bent.make_supercell([[1, 3, 0], [0, 1, 0], [2, 0, 1]])
    a, b, c = sorted(canonical(bent).lattice.abc)
    reduced = sorted(bent.lattice.get_niggli_reduced_lattice().abc)
    np.testing.assert_allclose([a, b, c], reduced, atol=1e-4)


def test_every_bad_row_is_named_and_the_others_taken(tmp_path, awkward):
    def read(name):
        return (awkward / name).read_text()

    rows = [
        good("first"),
        good("cut", cif=read("truncated.cif")),
        good("mixed", cif=read("disordered.cif")),
        good("strange", cif=read("unknown_element.cif")),
        good("empty", cif=""),
        good(""),
        good("worded", e_above_hull="low"),
        good("endless", e_above_hull="inf"),
        good("group", **{"spacegroup.number": "231"}),
        ["short", "1"],
        good("last"),
    ]
    dataset, text = collect([table(tmp_path / "t.csv", rows)])
    assert dataset.ids.tolist() == ["first", "last"]
    found = {(row["row"], row["material_id"]): (row["kind"], row["verdict"]) for row in listed(text)}
    assert found == {
        ("2", "cut"): ("unreadable CIF", "refused"),
        ("3", "mixed"): ("disorder", "refused"),
        ("4", "strange"): ("unknown element", "refused"),
        ("5", "empty"): ("missing value", "refused"),
        ("6", ""): ("missing value", "refused"),
        ("7", "worded"): ("wrong type", "refused"),
        ("8", "endless"): ("wrong type", "refused"),
        ("9", "group"): ("wrong type", "refused"),
        ("10", "short"): ("missing value", "refused"),
    }
    assert dataset.manifest["rows"] == len(rows)
    assert dataset.manifest["refused"] == {
        "unreadable CIF": 1, "disorder": 1, "unknown element": 1, "missing value": 3, "wrong type": 3,
    }
    assert len(dataset) + sum(dataset.manifest["refused"].values()) == len(rows)


def test_what_was_not_asked_for_is_left_out_and_counted(tmp_path):
    def write(*args):
        return str(CifWriter(Structure(*args)))

    rng = np.random.default_rng(0)
    rows = [
        good("ok"),
        good("noble", cif=write(Lattice.cubic(5), ["Xe"], [[0, 0, 0]])),
        good("large", cif=write(Lattice.cubic(12), ["Fe"] * 11 + ["O"] * 10, rng.random((21, 3)))),
        good("high", e_above_hull="0.5"),
    ]
    path = table(tmp_path / "t.csv", rows)
    dataset, text = collect([path], Selection(max_energy_above_hull=0.1))
    assert dataset.ids.tolist() == ["ok"]
    assert {row["material_id"]: row["kind"] for row in listed(text)} == {
        "noble": "element left out", "large": "too many atoms", "high": "too far above the hull",
    }
    assert dataset.manifest["left_out"] == {"element left out": 1, "too many atoms": 1, "too far above the hull": 1}
    assert dataset.manifest["refused"] == {}
    everything, text = collect([path], Selection(elements=None, max_atoms=None))
    assert everything.ids.tolist() == ["ok", "noble", "large", "high"]
    assert listed(text) == []


def test_labels_get_their_names_and_unknown_values_stay_unknown(tmp_path):
    header = [*HEADER, "dft_mag_density", "my_score", "pretty_formula"]
    rows = [[*good("a", band_gap="1.5"), "0.2", "7", "MgO"], [*good("b", band_gap="nan"), "", "8", "MgO"]]
    path = table(tmp_path / "t.csv", rows, header)
    dataset, _ = collect([path], Selection(keep=("my_score",)))
    assert set(dataset.labels) == {"space_group", "energy_above_hull", "dft_band_gap", "dft_mag_density", "my_score"}
    assert all(values.dtype == np.float32 for values in dataset.labels.values())
    np.testing.assert_array_equal(dataset.labels["dft_band_gap"], np.float32([1.5, math.nan]))
    np.testing.assert_array_equal(dataset.labels["dft_mag_density"], np.float32([0.2, math.nan]))
    np.testing.assert_array_equal(dataset.labels["my_score"], [7, 8])
    np.testing.assert_array_equal(dataset.labels["space_group"], [221, 221])
    assert "my_score" not in collect([path])[0].labels


def test_a_missing_column_is_one_sentence(tmp_path):
    path = table(tmp_path / "t.csv", [["a", GOOD]], ["name", "cif"])
    with pytest.raises(SourceError, match=r"t\.csv lacks the column material_id; it has name, cif\."):
        collect([path])
    path = table(tmp_path / "u.csv", [good()])
    with pytest.raises(SourceError, match="lacks the columns x, y"):
        collect([path], Selection(keep=("x", "y")))


def test_files_that_cannot_be_used_are_one_sentence(tmp_path):
    with pytest.raises(SourceError, match="There is no file"):
        collect([tmp_path / "none.csv"])
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(SourceError, match="of no known kind"):
        collect([tmp_path / "a.txt"])
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"material_id,cif\n" * 1000)[:-10])
    with pytest.raises(SourceError, match="cut short"):
        collect([tmp_path / "a.csv.gz"])
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(SourceError, match="no readable parquet"):
        collect([tmp_path / "a.parquet"])
    with pytest.raises(SourceError, match=r"None of the 1 rows of t.csv can be used \(1 × missing value\)"):
        collect([table(tmp_path / "t.csv", [good("a", cif="")])])
    (tmp_path / "void.csv").write_text("material_id,cif\n")
    with pytest.raises(SourceError, match="it is empty"):
        collect([tmp_path / "void.csv"])


def test_csv_gz_and_parquet_give_the_same_crystals(tmp_path):
    import pandas as pd

    plain = table(tmp_path / "a.csv", [good("x", band_gap="0.5"), good("y", band_gap="")])
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(plain.read_bytes()))
    pd.read_csv(plain).to_parquet(tmp_path / "c.parquet")
    one, two, three = (collect([tmp_path / name])[0] for name in ("a.csv", "b.csv.gz", "c.parquet"))
    for other in (two, three):
        assert other.ids.tolist() == one.ids.tolist()
        np.testing.assert_array_equal(other.pos, one.pos)
        np.testing.assert_array_equal(other.cell, one.cell)
        assert set(other.labels) == set(one.labels)
        for name, values in one.labels.items():
            np.testing.assert_array_equal(other.labels[name], values)


def test_parquet_values_of_the_wrong_type_are_refused(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"material_id": ["a", None], "cif": [1.5, 2.5]}), tmp_path / "a.parquet")
    with pytest.raises(SourceError, match="1 × wrong type; 1 × missing value"):
        collect([tmp_path / "a.parquet"])


def test_processes_give_what_one_gives_in_the_same_order():
    whole, _ = collect([MINI])
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        spread, _ = collect([MINI], executor=pool)
    assert spread.ids.tolist() == whole.ids.tolist()
    np.testing.assert_array_equal(spread.pos, whole.pos)
    np.testing.assert_array_equal(spread.cell, whole.cell)


def test_progress_is_told_in_rows_and_can_stop_the_work():
    told = []
    collect([MINI], watch=told.append)
    assert [p.unit for p in told] == ["rows"] * len(told)
    assert told[-1].done == told[-1].total == len(mini())

    def stop(progress):
        raise Cancelled

    with pytest.raises(Cancelled):
        collect([MINI], watch=stop)


def test_space_groups_are_known_by_symbol_and_number():
    from pymatgen.symmetry.groups import SpaceGroup

    assert len(set(SPACE_GROUPS)) == 230
    for number, symbol in enumerate(SPACE_GROUPS, start=1):
        assert group_number(symbol) == group_number(str(number)) == group_number(f"{number}.0") == number
        assert SpaceGroup(symbol).int_number == number
    for wrong in ("", "0", "231", "P9", "225.5", "-1"):
        with pytest.raises(ValueError, match="A space group is a number"):
            group_number(wrong)


def test_a_slice_of_the_given_table_is_taken(shared, tmp_path):
    with gzip.open(shared / "data/mp/val.csv.gz", "rt", newline="") as file:
        rows = [row for _, row in zip(range(101), csv.reader(file), strict=False)]
    dataset, text = collect([table(tmp_path / "val.csv", rows[1:], rows[0])])
    assert len(dataset) + len(listed(text)) == 100
    assert dataset.manifest["refused"] == {}
    sound(dataset.crystals(), closest=0.5)
    known = {row[0]: row for row in rows[1:]}
    for index in range(0, len(dataset), 10):
        row = dict(zip(rows[0], known[dataset.ids[index]], strict=True))
        given = parse_cif(row["cif"])[0]
        assert StructureMatcher(scale=False).fit(to_structures(dataset.crystals([index]))[0], given)
        assert dataset.labels["formation_energy_per_atom"][index] == np.float32(row["formation_energy_per_atom"])
