"""Crystals in and out: what goes out comes back, and what is broken is named."""

import zipfile

import numpy as np
import pytest
import torch
from ase import Atoms
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from model.crystals import MASK, Crystals
from model.io import (
    UnreadableError,
    cif_text,
    from_atoms,
    from_structures,
    parse_cif,
    read_crystals,
    read_extxyz,
    space_group,
    to_atoms,
    to_structures,
    write_cif,
    write_extxyz,
)
from model.testing import famous_names, sound

FAMOUS = ["fcc-Cu", "rocksalt-NaCl", "wurtzite-ZnO", "quartz-SiO2", "perovskite-CaTiO3", "spinel-MgAl2O4", "calcite-CaCO3"]


def same(a, b):
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in ("frac", "cell", "numbers", "n_atoms"))


def kept(back, crystals):
    """The same to the bit, but that a coordinate may have moved by rounding, 1e-12, on the torus."""
    apart = (back.frac.double() - crystals.frac.double() + 0.5) % 1 - 0.5
    return apart.abs().max() <= 1e-12 and same(back.replace(frac=crystals.frac), crystals)


def random_crystals(seed, sizes=(1, 7, 20)):
    generator = torch.Generator().manual_seed(seed)
    n = torch.tensor(sizes)
    return Crystals(
        frac=torch.rand(int(n.sum()), 3, generator=generator),
        cell=torch.randn(len(sizes), 3, 3, generator=generator) * 4,
        numbers=torch.randint(1, MASK + 1, (int(n.sum()),), generator=generator),
        n_atoms=n,
    )


def test_pymatgen_and_we_mean_the_same_cell_and_coordinates():
    lattice = Lattice([[4.0, 0.1, 0.2], [0.3, 5.0, 0.4], [0.5, 0.6, 6.0]])
    structure = Structure(lattice, ["Na", "Cl"], [[0.1, 0.2, 0.3], [0.9, 1.8, -0.7]])
    crystals = sound(from_structures([structure]))
    np.testing.assert_allclose(crystals.cell[0], lattice.matrix, atol=1e-6)
    np.testing.assert_allclose(crystals.frac[1], [0.9, 0.8, 0.3], atol=1e-6)
    assert crystals.numbers.tolist() == [11, 17]
    from model.cell import cartesian

    np.testing.assert_allclose(cartesian(crystals)[0], structure.cart_coords[0], atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_structures_and_atoms_give_back_the_very_crystals(seed):
    crystals = random_crystals(seed)
    assert same(from_structures(to_structures(crystals)), crystals)
    back = from_atoms(to_atoms(crystals))
    torch.testing.assert_close(back.cell, crystals.cell, atol=0, rtol=0)
    apart = (back.frac - crystals.frac + 0.5) % 1 - 0.5
    assert apart.abs().max() < 1e-6
    assert torch.equal(back.numbers, crystals.numbers)


def test_a_coordinate_just_below_zero_does_not_become_one():
    structure = Structure(Lattice.cubic(3.0), ["Fe"], [[-1e-12, 1 - 1e-10, 1.0]])
    assert from_structures([structure]).frac.tolist() == [[0.0, 0.0, 0.0]]


def test_no_crystals_are_no_crystals(tmp_path):
    assert len(from_structures([])) == len(from_atoms([])) == 0
    assert to_structures(Crystals.empty()) == []
    write_extxyz(tmp_path / "none.extxyz", Crystals.empty())
    assert len(read_extxyz(tmp_path / "none.extxyz")[0]) == 0


@pytest.mark.parametrize("seed", range(5))
def test_extxyz_keeps_crystals(tmp_path, seed):
    crystals = random_crystals(seed, sizes=(3, 1, 20, 2))
    write_extxyz(tmp_path / "a.extxyz", crystals)
    back, infos = read_extxyz(tmp_path / "a.extxyz")
    assert kept(back, crystals)
    assert infos == [{}] * 4


def test_extxyz_keeps_a_cell_so_flat_that_eight_decimals_would_not_do(tmp_path):
    cell = torch.tensor([[[5.0, 0, 0], [0, 5.0, 0], [4.9, 4.9, 1e-4]]])
    crystals = Crystals(
        frac=torch.rand(6, 3, generator=torch.Generator().manual_seed(3)), cell=cell,
        numbers=torch.full((6,), 14), n_atoms=torch.tensor([6]),
    )
    write_extxyz(tmp_path / "flat.extxyz", crystals)
    torch.testing.assert_close(read_extxyz(tmp_path / "flat.extxyz")[0].frac, crystals.frac, atol=1e-6, rtol=0)


known_values = st.one_of(
    st.booleans(), st.integers(), st.floats(allow_infinity=False, allow_nan=False), st.none(), st.text(max_size=12),
    st.sampled_from(["007", "T", "F", "true", "1e5", "nan", 'a "b"', "_JSON 1", "mp-149", "P6_3/mmc", "\\", "", "a=b", "[1]"]),
    st.lists(st.integers(-5, 5), max_size=3),
)


@given(known=st.dictionaries(st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True), known_values, max_size=4))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_extxyz_keeps_whatever_is_known_of_a_crystal(tmp_path, famous, known):
    known = {k: v for k, v in known.items() if k not in {"pbc", "stress", "virial", "uid"}}
    write_extxyz(tmp_path / "k.extxyz", famous("fcc-Cu"), [known])
    (back,) = read_extxyz(tmp_path / "k.extxyz")[1]
    assert back == known
    assert {k: type(v) for k, v in back.items()} == {k: type(v) for k, v in known.items()}


def test_extxyz_grows_in_order_and_is_read_by_ase(tmp_path, famous):
    import ase.io

    path = tmp_path / "grow.extxyz"
    for index, name in enumerate(FAMOUS):
        write_extxyz(path, famous(name), [{"id": name, "index": index}], append=True)
    crystals, infos = read_extxyz(path)
    assert [known["id"] for known in infos] == FAMOUS
    assert kept(crystals, Crystals.join([famous(name) for name in FAMOUS]))
    frames = ase.io.read(path, index=":")
    assert [len(frame) for frame in frames] == crystals.n_atoms.tolist()
    assert all(frame.pbc.all() for frame in frames)
    assert [path.name] == [file.name for file in tmp_path.iterdir()]


def test_infos_must_be_as_many_as_crystals(tmp_path, famous):
    with pytest.raises(ValueError, match="1 crystals need as many infos; found 2"):
        write_extxyz(tmp_path / "a.extxyz", famous("fcc-Cu"), [{}, {}])
    with pytest.raises(ValueError, match="Lattice"):
        write_extxyz(tmp_path / "a.extxyz", famous("fcc-Cu"), [{"Lattice": 1}])


def test_cif_names_the_space_group_and_holds_the_same_crystal(tmp_path, famous):
    for name in famous_names():
        (structure,) = to_structures(famous(name))
        write_cif(tmp_path / "a.cif", structure)
        text = (tmp_path / "a.cif").read_text()
        symbol, number = space_group(structure)
        assert f"_symmetry_Int_Tables_number   {number}\n" in text, name
        assert symbol in text.split("_symmetry_space_group_name_H-M")[1].splitlines()[0], name
        assert StructureMatcher(scale=False).fit(parse_cif(text)[0], structure), name


def test_a_slightly_bent_crystal_is_written_with_the_symmetry_it_nearly_has(famous):
    (structure,) = to_structures(famous("perovskite-SrTiO3"))
    bent = structure.copy()
    bent.perturb(0.03, seed=0)
    assert space_group(bent) == ("Pm-3m", 221)
    assert space_group(bent, symprec=1e-4)[1] < 221
    assert space_group(parse_cif(cif_text(bent))[0], symprec=1e-4) == ("Pm-3m", 221)


def test_where_no_symmetry_can_be_found_the_cif_is_p1(awkward):
    collapsed = Structure(Lattice.cubic(3.0), ["Na", "Na", "Cl"], [[0, 0, 0], [0, 0, 0.001], [0.5, 0.5, 0.5]])
    assert space_group(collapsed) == ("P1", 1)
    assert parse_cif(cif_text(collapsed))[0].composition == collapsed.composition


def test_awkward_crystals_are_read_or_named_with_the_reason(awkward):
    reading = read_crystals(awkward)
    assert reading.ids == ["flat_cell", "left_handed", "long_cell", "one_atom", "overlapping_atoms"]
    reasons = dict(reading.skipped)
    assert set(reasons) == {"disordered.cif", "empty.cif", "notes.txt", "truncated.cif", "unknown_element.cif"}
    assert "disordered" in reasons["disordered.cif"]
    assert "empty" in reasons["empty.cif"]
    assert "truncated" in reasons["truncated.cif"]
    assert "Qz is no element" in reasons["unknown_element.cif"]
    assert all(reason.endswith(".") and "\n" not in reason for reason in reasons.values())


def test_the_left_handed_crystal_stays_left_handed_until_it_is_made_symmetric(awkward):
    from model.cell import symmetric

    crystals = read_crystals(awkward / "left_handed.vasp").crystals
    assert torch.linalg.det(crystals.cell) < 0
    sound(crystals.replace(cell=symmetric(crystals.cell)), closest=2.0)


@pytest.mark.parametrize("name", ["rutile-TiO2", "fcc-Cu", "hcp-Mg", "spinel-MgAl2O4"])
def test_a_cif_cut_anywhere_is_refused_or_still_the_same_crystal(famous, name):
    (structure,) = to_structures(famous(name))
    text = str(cif_text(structure))
    whole = parse_cif(text)[0]
    start = text.index("_atom_site_occupancy")
    refused = 0
    for end in range(start, len(text), 3):
        try:
            (found,) = parse_cif(text[:end])
        except UnreadableError:
            refused += 1
            continue
        assert found.composition == whole.composition
        np.testing.assert_allclose(found.frac_coords, whole.frac_coords, atol=1e-6)
    assert refused > (len(text) - start) / 3 * 0.8


def test_a_charged_isotope_rich_cif_gives_plain_elements():
    text = """data_x
_cell_length_a 4.0
_cell_length_b 4.0
_cell_length_c 4.0
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_type_symbol
_atom_type_oxidation_number
Li1+ 1
D1- -1
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Li1 Li1+ 0 0 0
D1 D1- 0.5 0.5 0.5
"""
    (structure,) = parse_cif(text)
    assert [site.specie.symbol for site in structure] == ["Li", "H"] or [s.specie.Z for s in structure] == [1, 3]
    assert all(not getattr(site.specie, "oxi_state", None) for site in structure)


def test_two_crystals_in_one_cif_are_both_read(tmp_path, famous):
    parts = [str(cif_text(to_structures(famous(name))[0])) for name in ("fcc-Cu", "rocksalt-NaCl")]
    (tmp_path / "two.cif").write_text("\n".join(parts))
    reading = read_crystals(tmp_path / "two.cif")
    assert reading.ids == ["two-0", "two-1"]
    assert [s.composition.reduced_formula for s in reading.structures] == ["Cu", "NaCl"]


def test_a_folder_is_read_in_the_order_people_count(tmp_path, famous):
    for number in (10, 2, 1):
        write_cif(tmp_path / f"gen_{number}.cif", to_structures(famous("fcc-Cu"))[0])
    assert read_crystals(tmp_path).ids == ["gen_1", "gen_2", "gen_10"]


def test_the_record_is_read_alone_where_there_is_one(tmp_path, famous):
    write_cif(tmp_path / "a.cif", to_structures(famous("fcc-Cu"))[0])
    write_extxyz(tmp_path / "crystals.extxyz", famous("rocksalt-NaCl"), [{"id": "x-7", "seed": 4}])
    reading = read_crystals(tmp_path)
    assert (reading.ids, reading.infos, reading.skipped) == (["x-7"], [{"id": "x-7", "seed": 4}], [])
    assert kept(reading.crystals, famous("rocksalt-NaCl"))


def test_a_cut_record_gives_its_whole_frames_and_names_the_last(tmp_path, famous):
    path = tmp_path / "crystals.extxyz"
    write_extxyz(path, Crystals.join([famous("rocksalt-NaCl")] * 3), [{"id": f"g{i}"} for i in range(3)])
    path.write_text(path.read_text().rstrip().rsplit("\n", 1)[0] + "\n")
    reading = read_crystals(tmp_path)
    assert reading.ids == ["g0", "g1"]
    ((name, reason),) = reading.skipped
    assert name == "crystals.extxyz, frame 2"
    assert "truncated" in reason
    with pytest.raises(UnreadableError, match="Frame 2"):
        read_extxyz(path)


def test_archives_are_read_without_unpacking_and_bad_ones_named(tmp_path, famous, awkward):
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        archive.writestr("deep/b2.cif", cif_text(to_structures(famous("b2-NiAl"))[0]))
        archive.write(awkward / "truncated.cif", "deep/cut.cif")
        archive.writestr("POSCAR", (awkward / "left_handed.vasp").read_text())
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 not really")
    reading = read_crystals(tmp_path)
    assert reading.ids == ["POSCAR", "b2"]
    assert [name for name, _ in reading.skipped] == ["broken.zip", "many.zip/deep/cut.cif"]


def test_files_of_one_stem_get_different_ids(tmp_path, famous, awkward):
    write_cif(tmp_path / "a.cif", to_structures(famous("fcc-Cu"))[0])
    (tmp_path / "a.vasp").write_text((awkward / "left_handed.vasp").read_text())
    assert read_crystals(tmp_path).ids == ["a", "a-2"]


@pytest.mark.parametrize("junk", [b"", b"\x00\xff\xfe binary \x80", b"data_\n", b"1\n\nFe 0 0 0\n", b"5\nLattice=\n", b"loop_\n_a\n"])
@pytest.mark.parametrize("suffix", ["cif", "vasp", "xyz", "extxyz", "zip"])
def test_no_junk_ever_raises(tmp_path, junk, suffix):
    (tmp_path / f"junk.{suffix}").write_bytes(junk)
    reading = read_crystals(tmp_path)
    assert len(reading) == 0
    ((name, reason),) = reading.skipped
    assert name == f"junk.{suffix}"
    assert reason.endswith(".")


def test_a_molecule_without_a_cell_is_named(tmp_path):
    with pytest.raises(UnreadableError, match="no periodic cell"):
        from_atoms([Atoms("N2", positions=[[0, 0, 0], [0, 0, 1.1]])])


def test_a_refusal_survives_the_way_from_another_process():
    import pickle

    back = pickle.loads(pickle.dumps(UnreadableError("disorder", "disordered: order it first.")))
    assert (back.kind, str(back)) == ("disorder", "disordered: order it first.")


def test_elements_past_fermium_are_refused():
    with pytest.raises(UnreadableError, match="No lies beyond"):
        from_structures([Structure(Lattice.cubic(3), ["No"], [[0, 0, 0]])])


def test_nothing_at_a_place_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no folder or file"):
        read_crystals(tmp_path / "nowhere")


def test_the_published_crystals_are_read(shared):
    reading = read_crystals(shared / "data/published/mattergen/mattergen_base")
    assert len(reading) == 10
    assert reading.skipped == []
    sound(reading.crystals, closest=0.5)
