"""Supply risk agrees with pymatgen's."""

import pytest
from pymatgen.analysis.hhi import HHIModel
from pymatgen.core import Composition

from model.properties.supply_risk import hhi

FORMULAS = ["Fe", "Fe2O3", "NdFeB", "Mn2(SeO4)3", "LiCoO2", "Sm2Co17", "Li0.5CoO2", "YBa2Cu3O7", "XeF2", "NaH", "TcO2"]


@pytest.mark.parametrize("formula", FORMULAS)
def test_it_is_pymatgens(formula):
    model = HHIModel()
    for ours, theirs in (("reserve", model.get_hhi_reserve), ("production", model.get_hhi_production)):
        wanted, found = theirs(formula), hhi(formula, ours)
        assert (found is None) == (wanted is None)
        assert found is None or found == pytest.approx(wanted, rel=1e-4)


def test_amounts_and_compositions_are_taken_too():
    wanted = hhi("Fe2O3")
    assert hhi({"Fe": 4, "O": 6}) == pytest.approx(wanted, rel=1e-12)
    assert hhi(Composition("Fe2O3")) == pytest.approx(wanted, rel=1e-12)
    low, high = sorted([hhi("Fe"), hhi("O")])
    assert low < wanted < high


def test_an_element_without_figures_gives_none_and_nonsense_an_error():
    assert hhi("NaH") is None
    for wrong in ({}, {"Qz": 1}):
        with pytest.raises(ValueError, match="A composition names elements"):
            hhi(wrong)
    with pytest.raises(ValueError, match="Qz"):
        hhi("Qz2")
