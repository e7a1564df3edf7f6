"""Pictures are pure: the same candidates give the same figure, and the figure says what the numbers say."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from model.candidates import Candidates
from model.constraints import Constraints, Target
from model.crystals import MASK, Crystals
from model.io import from_structures
from model.statistics import LabelStatistics
from model.testing import famous, famous_names
from workbench.views import code, distributions, hull, structure, style
from workbench.widgets.periodic_table import cells

PHASES = [hull.Phase("TiO2", -3.26), hull.Phase("SrO", -3.06), hull.Phase("SrTiO3", -3.55), hull.Phase("Ti2O3", -3.1)]


@pytest.fixture(scope="module")
def candidates():
    formulas = ["SrTiO3", "SrO", "TiO2", "Sr2TiO4", "Ti"]
    crystals = Crystals.join([famous(name) for name in famous_names()[: len(formulas)]])
    table = pd.DataFrame({
        "id": [f"c{i}" for i in range(5)], "formula": formulas, "chemical_system": ["O-Sr-Ti", "O-Sr", "O-Ti", "O-Sr-Ti", "Ti"],
        "n_atoms": crystals.n_atoms.numpy(), "energy_above_hull": [0.02, 0.3, -0.01, np.nan, 0.0], "rmsd": [0.1, 0.2, 0.05, 0.4, np.nan],
        "space_group": ["Pm-3m", "Fm-3m", "P1", "P1", "P1"],
    })
    return Candidates(crystals=crystals, table=table)


def drawn(figure):
    """Ids of the candidates a figure shows, and that it survives the way to the browser."""
    json.loads(style.to_widget(figure))
    return [name for trace in figure.data if trace.customdata is not None for name in trace.customdata]


@pytest.mark.parametrize(
    ("elements", "inside"),
    [(["Sr", "O"], ["c1"]), (["O", "Ti"], ["c2", "c4"]), (["Sr", "Ti", "O"], ["c0", "c1", "c2", "c4"]), (["Sr", "Ti", "O", "Ba"], ["c0", "c1", "c2", "c4"])],
)
def test_a_hull_shows_the_candidates_of_its_system_whose_energy_is_known(candidates, elements, inside):
    assert drawn(hull.hull(candidates, PHASES, elements, "c0")) == inside


@pytest.mark.parametrize("elements", [["Sr"], ["Sr", "Ti", "O", "Ba", "Ca"]])
def test_other_numbers_of_elements_get_a_sentence(candidates, elements):
    figure = hull.hull(candidates, PHASES, elements)
    assert "two to four" in figure.layout.annotations[0].text


def test_binary_candidates_stand_their_energy_above_the_line(candidates):
    figure = hull.hull(candidates, PHASES, ["Sr", "O"])
    line, points = figure.data[0], figure.data[-1]
    below = np.interp(points.x, line.x, line.y)
    assert np.array(points.y) - below == pytest.approx([0.3])


def test_corners_are_equally_far_apart():
    for n, corners in hull.CORNERS.items():
        away = [np.linalg.norm(a - b) for i, a in enumerate(corners) for b in corners[i + 1 :]]
        assert away == pytest.approx([1.0] * math.comb(n, 2))


def test_a_system_without_known_phases_still_has_its_elements(candidates):
    figure = hull.hull(candidates, [], ["Sr", "Ti", "O"])
    assert {"Sr", "Ti", "O"} <= {text for trace in figure.data if trace.text is not None for text in trace.text}


@pytest.mark.parametrize("column", ["energy_above_hull", "rmsd", "n_atoms"])
def test_a_distribution_has_unit_area(candidates, column):
    figure = distributions.distribution(candidates, column, selected="c0")
    bars = next(trace for trace in figure.data if trace.type == "bar")
    assert sum(np.array(bars.y) * np.array(bars.width) / 0.94) == pytest.approx(1.0)
    assert sum(bars.customdata) == np.isfinite(candidates.table[column].astype(float)).sum()


def test_taught_data_has_unit_area_and_the_target_a_line(candidates):
    taught = LabelStatistics.of(np.random.default_rng(0).normal(0.1, 0.02, 1000))
    figure = distributions.distribution(candidates, "energy_above_hull", taught=taught, target=Target(0.4, 0.6))
    outline = figure.data[0]
    assert np.trapezoid(outline.y, outline.x) == pytest.approx(1.0, abs=0.02)
    assert {0.4, 0.6} <= {shape.x0 for shape in figure.layout.shapes}


def test_nothing_known_gives_a_sentence(candidates):
    figure = distributions.distribution(candidates, "dft_band_gap")
    assert "not known" in figure.layout.annotations[0].text
    assert "No" in distributions.elements(candidates.where(np.zeros(5, dtype=bool)), cells()).layout.annotations[0].text


def test_the_element_map_counts_crystals(candidates):
    heat = distributions.elements(candidates, cells()).data[0]
    counted = {s: n for s, n in zip(np.ravel(heat.text), np.ravel(heat.z), strict=True) if s}
    from model.elements import SYMBOLS

    for z, symbol in enumerate(SYMBOLS):
        if symbol in counted:
            held = sum(bool((one.numbers == z).any()) for one in candidates.crystals)
            assert counted[symbol] == held


def test_space_groups_are_counted_most_frequent_first(candidates):
    bars = distributions.space_groups(candidates).data[0]
    assert bars.x[0] == "P1"
    assert list(bars.y) == [3, 1, 1]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=30))
def test_nothing_beats_the_pareto_front_and_all_else_is_beaten_or_equalled(points):
    values = np.array(points, dtype=float)
    front = set(distributions.pareto(values).tolist())
    for i, point in enumerate(values):
        better = (values <= point).all(1) & (values < point).any(1)
        if i in front:
            assert not better.any()
        else:
            assert better.any() or any((values[j] == point).all() for j in front)


def test_a_pair_shows_what_is_known_of_both(candidates):
    assert drawn(distributions.pair(candidates, "energy_above_hull", "rmsd", selected="c1")) == ["c0", "c1", "c2"]


# --- structures -------------------------------------------------------------------------------------------------------


def _atoms(scene):
    return [c for group in scene["data"]["contents"] if group["name"] == "atoms" for c in group["contents"]]


def test_the_scene_is_a_supercell_with_one_radius_and_a_colour_an_element():
    perovskite = Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(3.9), ["Sr", "Ti", "O"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]])
    scene = structure.scene(perovskite)
    atoms = _atoms(scene)
    assert len({atom["radius"] for atom in atoms}) == 1
    colours = {atom["tooltip"].split()[0]: atom["color"] for atom in atoms}
    assert colours == dict(scene["legend"])
    assert sum(atom["tooltip"].startswith("Ti") for atom in atoms) == 8, "2×2×2 cells hold eight Ti, and none on the border"
    assert any(group["name"] == "bonds" and group["contents"] for group in scene["data"]["contents"])
    json.dumps(scene)


@pytest.mark.parametrize("name", ["one_atom.cif", "flat_cell.cif", "left_handed.vasp", "overlapping_atoms.cif", "long_cell.cif"])
def test_awkward_crystals_are_drawn(name, awkward):
    from model.io import read_crystals

    found = read_crystals(awkward / name).structures
    assert found
    for one in found:
        assert _atoms(structure.scene(one))


def test_large_cells_are_not_multiplied():
    big = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    big.make_supercell([3, 3, 3])
    assert structure.scene(big, (3, 3, 3))["repeats"] != [3, 3, 3]


def test_standing_turns_a_crystal_and_changes_nothing_else():
    for name in famous_names()[:12]:
        from model.io import to_structures

        one = to_structures(famous(name))[0]
        turned = structure.standing(one)
        assert turned.lattice.parameters == pytest.approx(one.lattice.parameters)
        assert turned.distance_matrix == pytest.approx(one.distance_matrix, abs=1e-6)
        assert turned.lattice.matrix[2, 1] > 0.5 * turned.lattice.c, "c stands upright"


def test_drawing_does_not_make_pymatgen_objects_start_servers():
    structure._toolkit()
    from monty.json import MSONable

    assert "_ipython_display_" not in MSONable.__dict__


def test_a_preview_shows_undecided_atoms_as_undecided():
    one = famous(famous_names()[0])
    hidden = one.replace(numbers=one.numbers.clone().fill_(MASK))
    seen = structure.preview(hidden)
    assert set(seen["colours"]) == {structure.UNDECIDED}
    assert seen["formula"].startswith("?")
    assert len(json.dumps(seen)) < 4000, "cheap enough for five a second"


def test_a_preview_of_a_broken_walk_is_empty():
    one = famous(famous_names()[0])
    assert structure.preview(one.replace(cell=one.cell * float("nan"))) == {}


def test_symmetry_of_a_known_crystal():
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    found = structure.symmetry(salt)
    assert (found["symbol"], found["number"], found["system"]) == ("Fm-3m", 225, "cubic")
    assert dict(found["wyckoff"]) == {"Na": "4a", "Cl": "4b"}
    assert len(from_structures([salt])) == 1


def test_the_plotly_picture_has_every_atom():
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    figure = structure.figure(salt, (1, 1, 1))
    assert sum(len(trace.x) for trace in figure.data if trace.mode == "markers") == 8


# --- code -------------------------------------------------------------------------------------------------------------

CASES = [
    Constraints(chemical_system="Li-O", count=3, seed=7),
    Constraints(allowed={"Li", "O", "Fe"}, excluded={"Fe"}, n_atoms=(4, 12)),
    Constraints(formula="CaTiO3", n_atoms=10, space_group=62, guidance=1.5),
    Constraints(targets={"dft_mag_density": 0.1234567, "hhi_score": (1000, 1250.5)}, guidance={"hhi_score": 2.0}),
]


@pytest.mark.parametrize("constraints", CASES)
def test_copied_python_makes_the_same_constraints(constraints):
    text = code.python(constraints, "base", 50)
    head = text.split("crystals = ")[0].replace("generate, load", "load")
    names = {}
    exec(compile(head, "cell", "exec"), names)
    assert names["constraints"] == constraints


def test_copied_python_executed_gives_the_same_crystals():
    from model import generate, load

    wish = Constraints(chemical_system="Li-O", n_atoms=(4, 6), count=3, seed=7)
    names = {}
    exec(compile(code.python(wish, "base", 12, corrections=1, at_once=2), "cell", "exec"), names)
    again = generate(load("base"), wish, steps=12, corrections=1, batch_size=2)
    assert (names["crystals"].frac == again.frac).all()
    assert (names["crystals"].numbers == again.numbers).all()


def test_copied_python_of_worn_adapters_and_other_ways_can_be_read():
    for text in (
        code.python(CASES[0], "base+base-space-group+base-band-gap", 50),
        code.python(CASES[0], "base", 50, way="random-search", told={"source": "known.csv"}),
    ):
        compile(text, "cell", "exec")
    assert "worn([load('base'), load('base-space-group'), load('base-band-gap')])" in code.python(CASES[0], "base+base-space-group+base-band-gap", 50)
    assert "WAYS['random-search'].proposer({'source': 'known.csv'})" in text
    for moduli in (False, True):
        compile(code.judging(moduli=moduli), "cell", "exec")


def test_the_copied_command_is_one_the_command_line_takes():
    import inspect
    import shlex

    from workbench.commands.generate import generate

    flags = {f"--{name.replace('_', '-')}" for name in inspect.signature(generate).parameters}
    for constraints in CASES:
        words = shlex.split(code.command(constraints, "base", 50, corrections=1))
        assert words[:2] == ["workbench", "generate"]
        assert {word for word in words if word.startswith("--")} <= flags


def test_the_copied_command_of_every_other_way_is_one_the_command_line_takes():
    import inspect
    import shlex

    from workbench.commands import propose
    from workbench.methods import DIFFUSION, WAYS

    takes = {"random-search": propose.random_search, "substitution": propose.substitution, "screening": propose.screening}
    for name in set(WAYS) - {DIFFUSION}:
        told = {setting.name: "here,there" if setting.name == "readouts" else "here" for setting in WAYS[name].settings}
        wish = Constraints(chemical_system="Li-O", count=3, seed=7, targets={"dft_band_gap": 1.0} if WAYS[name].targets else {})
        words = shlex.split(code.command(wish, "base", 50, way=name, told=told))
        assert words[:3] == ["workbench", "propose", name]
        flags = {f"--{flag.replace('_', '-')}" for flag in inspect.signature(takes[name]).parameters}
        assert {word for word in words if word.startswith("--")} <= flags


def test_the_course_of_a_path_is_what_its_frames_say():
    import torch

    from model.crystals import MASK
    from model.testing import famous
    from workbench.paths import Path
    from workbench.views import path as along

    salt = famous("rocksalt-NaCl")
    frames = [salt.replace(numbers=torch.full_like(salt.numbers, MASK)), salt.replace(numbers=torch.tensor([11, MASK])), salt]
    found = along.course(Path.of([1, 5, 9], frames))
    assert found.undecided.tolist() == [1.0, 0.5, 0.0]
    assert found.entropy == pytest.approx([0.0, 0.0, np.log(2)])
    assert found.group.tolist() == [0, 0, 225]
    assert found.symbols[-1] == "Fm-3m"
    assert found.volume == pytest.approx([float(salt.cell[0].det().abs()) / 2] * 3, rel=1e-5)
    assert found.says(2) == ["step 9 of 9", "0% of the atoms undecided", "species entropy 0.69", f"{found.volume[2]:.1f} Å³ an atom", "space group Fm-3m"]
    drawn = along.figure(found)
    assert [len(trace.x) for trace in drawn.data] == [3, 3, 3, 3]
