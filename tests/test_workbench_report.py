"""The page that is handed to a colleague: one file, nothing fetched, nothing executed that a crystal's name brings."""

import re

import pandas as pd

from model.candidates import Candidates
from model.constraints import Constraints
from model.crystals import Crystals
from model.testing import famous, famous_names
from workbench.report import report
from workbench.sessions.session import Session
from workbench.views.hull import Phase


def session(names, constraints=None):
    crystals = Crystals.join([famous(name) for name in famous_names()[: len(names)]])
    table = pd.DataFrame({
        "id": names, "formula": "SrO", "n_atoms": crystals.n_atoms.numpy(), "energy_above_hull": [0.3, 0.01][: len(names)], "stable": [False, True][: len(names)],
        "status": "judged"})
    asked = constraints or Constraints(chemical_system="Sr-O", count=2)
    return Session(name="2026-01-01-O-Sr", constraints=asked, candidates=Candidates(crystals=crystals, table=table), model_name="base", model_hash="abc")


def test_the_page_says_what_was_asked_and_found():
    page = report(session(["c0", "c1"]), [Phase("SrO", -3.0)], "stable 50 %")
    assert "chemical_system=&#x27;O-Sr&#x27;" in page
    assert "stable 50 %" in page
    assert "abc" in page
    assert page.index("<td>c1</td>") < page.index("<td>c0</td>"), "nearest to the hull first"
    for heading in ("Constraints", "Rates", "Structure of c1", "Hull", "Distributions", "Candidates"):
        assert f"<h2>{heading}</h2>" in page
    assert page.count("Plotly.newPlot") == 1 + 1 + 4, "the structure, the hull; energy, atoms, elements, groups"
    assert page.count("plotly.js v") == 1, "the library is in it once"


def test_nothing_is_fetched():
    page = report(session(["c0", "c1"]))
    assert not re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="http', page)


def test_names_are_text_not_markup():
    page = report(session(["<script>alert(1)</script>", "b"]))
    body = page.split("Candidates</h2>")[1]
    assert "<script>alert" not in body
    assert "&lt;script&gt;alert" in body


def test_constraints_without_a_hull_still_make_a_page():
    assert "Candidates</h2>" in report(session(["c0"], Constraints(count=1)))
