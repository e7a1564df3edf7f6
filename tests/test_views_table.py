"""The candidates' table as it is shown: filters, order, pages."""

import numpy as np
import pandas as pd
import pytest

from workbench.columns import FLAGS, TEXTS
from workbench.views import table as view


@pytest.fixture
def table():
    return pd.DataFrame({
        "id": [f"c{i}" for i in range(6)],
        "formula": ["SrTiO3", "TiO2", "SrO", "Ti2O3", "Sr2TiO4", "O2"],
        "n_atoms": [5, 6, 2, 10, 7, 2],
        "energy_above_hull": [0.02, -0.001, np.nan, 0.5, 0.1, np.nan],
        "stable": pd.array([True, True, None, False, True, None], dtype="boolean"),
    })


def passing(table, filters=None, narrowed=None):
    return table["id"][view.mask(table, filters or {}, narrowed or {})].tolist()


@pytest.mark.parametrize(
    ("column", "text", "found"),
    [
        ("energy_above_hull", "<0.1", ["c0", "c1"]),
        ("energy_above_hull", "<= 0.1", ["c0", "c1", "c4"]),
        ("energy_above_hull", "> -1e-3", ["c0", "c3", "c4"]),
        ("energy_above_hull", "0.01..0.2", ["c0", "c4"]),
        ("n_atoms", "2", ["c2", "c5"]),
        ("n_atoms", "=10", ["c3"]),
        ("formula", "tio", ["c0", "c1", "c4"]),
        ("formula", "O3", ["c0", "c3"]),
        ("stable", "yes", ["c0", "c1", "c4"]),
        ("stable", "No", ["c3"]),
        ("rmsd", "<1", []),
    ],
)
def test_filters_say_what_they_mean(table, column, text, found):
    assert passing(table, {column: text}) == found


def test_filters_and_brushes_all_hold(table):
    assert passing(table, {"formula": "Sr"}, {"n_atoms": (5, 6)}) == ["c0"]


@pytest.mark.parametrize(("column", "text"), [("energy_above_hull", "<cheap"), ("stable", "maybe"), ("n_atoms", "1.2.3")])
def test_a_filter_that_cannot_be_read_says_what_was_wanted(table, column, text):
    with pytest.raises(view.FilterError, match=r"found '"):
        view.mask(table, {column: text}, {})


@pytest.mark.parametrize("descending", [False, True])
def test_the_unknown_comes_last_either_way(table, descending):
    at = view.order(table, np.ones(6, dtype=bool), "energy_above_hull", descending)
    values = table["energy_above_hull"].to_numpy()[at]
    assert np.isnan(values[-2:]).all()
    known = values[:-2]
    assert (np.diff(known) <= 0).all() if descending else (np.diff(known) >= 0).all()
    assert sorted(at) == list(range(6))


def test_pages_laid_together_are_the_whole_table(table):
    at = view.order(table, np.ones(6, dtype=bool), "formula", False)
    names = [column["name"] for column in view.columns(table)]
    pages = [view.page(table, at, names, first, 4) for first in range(0, 6, 4)]
    assert [name for page in pages for name in page.ids] == sorted(table["id"], key=lambda i: table["formula"][int(i[1])])
    whole = view.page(table, at, names, 0, 100)
    assert [row for page in pages for row in page.rows] == whole.rows
    assert all(len(row) == len(names) for row in whole.rows)


def test_unknown_is_shown_as_unknown_not_as_no(table):
    page = view.page(table, np.arange(6), ["energy_above_hull", "stable", "rmsd"], 0, 6)
    assert page.rows[2] == [None, None, None]
    assert page.rows[3] == ["0.500", False, None]


def test_asked_properties_get_a_column(table):
    names = [column["name"] for column in view.columns(table, ["dft_band_gap"])]
    assert "dft_band_gap" in names
    assert len(names) == len(set(names))


def test_an_asked_property_is_read_where_it_is_told(table):
    read_off = table.assign(ml_band_gap=np.linspace(0.0, 5.0, 6))
    names = [column["name"] for column in view.columns(read_off, ["dft_band_gap"])]
    assert "ml_band_gap" in names
    assert "dft_band_gap" not in names
    np.testing.assert_allclose(view.numbers(read_off, "dft_band_gap"), np.linspace(0.0, 5.0, 6))
    assert view.mask(read_off, {}, {"dft_band_gap": (1.5, 5.0)}).tolist() == [False, False, True, True, True, True]
    measured = read_off.assign(dft_band_gap=7.0)  # the property itself goes before what predicts it
    np.testing.assert_allclose(view.numbers(measured, "dft_band_gap"), 7.0)


def test_every_column_that_can_be_shown_has_a_name_and_a_kind():
    for name in (*view.FIRST, *view.LATER, *FLAGS, *TEXTS, *view.DIGITS, *view.SHORT):
        assert name in view.COLUMNS
        assert view.kind(name) in {"text", "flag", "number"}
