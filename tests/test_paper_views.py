"""The paper's pictures are pure: they draw what the numbers say, and a sentence where there is nothing to draw."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.testing import famous, famous_names
from workbench.paper import symmetry
from workbench.views import paper_gallery, paper_properties, paper_quality, paper_symmetry, paper_systems

VALUES = st.lists(st.floats(0, 600) | st.just(float("nan")), min_size=1, max_size=40)


def says(figure):
    return figure.layout.annotations[0].text if not figure.data else ""


@settings(deadline=None)
@given(VALUES, VALUES)
def test_densities_have_unit_area(taught, made):
    figure = paper_properties.density(taught, {"made": made}, "ml_bulk_modulus", 400.0, highest=None)
    for trace in figure.data:
        widths = np.diff(np.asarray(trace.x))[::2]
        assert (np.asarray(trace.y)[::2] * widths).sum() == pytest.approx(1.0, abs=1e-6)
    names = [trace.name.split(" (")[0] for trace in figure.data]
    assert ("made" in names) == bool(np.isfinite(made).any())


def test_the_target_is_dashed_and_small_labels_are_left_out():
    figure = paper_properties.density([0.0, 0.0005, 0.05], {"a": [0.1]}, "ml_mag_density", 0.2, lowest_data=1e-3)
    assert figure.layout.shapes[0].x0 == 0.2
    assert figure.layout.shapes[0].line.dash == "dash"
    assert figure.data[0].name == "training data (1, 2 below 0.001 left out)"


@settings(deadline=None)
@given(VALUES, st.floats(0, 600))
def test_a_budget_finds_no_more_than_it_pays_for(values, threshold):
    counts = paper_properties.found(values, threshold)
    assert counts[0] == 0
    assert counts[-1] == sum(v > threshold for v in values)
    assert set(np.diff(counts)) <= {0, 1}
    figure = paper_properties.budget({"a": values}, "ml_bulk_modulus", threshold, labelled=2)
    assert list(figure.data[0].y) == counts.tolist()
    assert "GPa" in figure.layout.yaxis.title.text


@pytest.fixture
def table():
    return pd.DataFrame({
        "id": list("abcd"), "formula": ["Fe2O3", "FeCo", "NaCl", "MgO"], "ml_mag_density": [0.1, 0.2, 0.0, np.nan],
        "hhi_score": [1500.0, 3000.0, 1000.0, 2000.0], "sun": pd.array([True, True, None, True], dtype="boolean"),
    })


def test_the_front_is_what_nothing_beats(table):
    figure = paper_properties.front({"a": table}, "ml_mag_density", "hhi_score", lower_is_better=(False, True))
    points, front = figure.data
    assert len(points.x) == 3  # MgO's density is not known
    assert list(front.x) == [0.0, 0.1, 0.2]  # each has a lower index or a higher density than the others
    same = paper_properties.front({"a": table}, "ml_mag_density", "hhi_score", lower_is_better=(True, True))
    assert list(same.data[1].x) == [0.0]


def test_elements_are_shares_of_crystals(table):
    shares = paper_properties.element_shares(table)
    assert shares["Fe"] == 0.5
    assert shares["Cl"] == 0.25
    assert list(paper_properties.elements({"a": table}, most=2).data[0].x) == ["Fe", "O"]


def test_the_best_are_new_and_nearest(table):
    assert paper_properties.best(table, "ml_mag_density", 0.15, most=1)["id"].tolist() in (["a"], ["b"])
    assert paper_properties.best(table, "ml_mag_density", 0.0)["id"].tolist() == ["a", "b"]


def test_the_overview_counts(table):
    found = paper_properties.overview({"a": table["ml_mag_density"], "none": []}, (0.05,))
    assert found.loc["a", "above 0.05"] == 2
    assert found.loc["none", "known"] == 0


def test_two_properties_lie_over_the_data(table):
    figure = paper_properties.joint(table, {"a": table}, "ml_mag_density", "hhi_score", (0.2, 1200.0))
    assert figure.data[0].type == "heatmap"
    assert {shape.line.dash for shape in figure.layout.shapes} == {"dash"}


@settings(deadline=None)
@given(VALUES)
def test_histograms_hold_every_crystal(values):
    figure = paper_quality.histogram({"a": values}, "rmsd", low=0.0, high=100.0)
    if np.isfinite(values).any():
        assert np.asarray(figure.data[0].y)[::2].sum() == pytest.approx(1.0)
    else:
        assert "Nothing" in says(figure)


def test_running_shares_end_at_the_whole():
    assert paper_quality.running([True, False, True, True]).tolist() == [1.0, 0.5, pytest.approx(2 / 3), 0.75]


def test_ours_stands_beside_others_with_its_interval():
    ours = paper_quality.interval(30, 100)
    figure = paper_quality.bars(["x", "y"], [10.0, 20.0], "S.U.N. (%)", ours={"this model": ours})
    assert figure.data[0].y[0] == 30.0
    assert figure.data[0].y[0] - figure.data[0].error_y.arrayminus[0] == pytest.approx(ours[1])
    assert all(np.isnan(paper_quality.interval(0, 0)))


def test_steps_are_drawn_by_corrector():
    rows = pd.DataFrame({"steps": [100, 16, 16], "corrections": [0, 0, 1], "sun": [0.3, 0.1, 0.2], "sun_low": 0.0,
                         "sun_high": 0.5})
    figure = paper_quality.steps(rows, "sun", "S.U.N.")
    assert [trace.name for trace in figure.data] == ["no corrector", "1 corrector step"]
    assert list(figure.data[0].x) == [16, 100]


def test_curves_pass_over_missing_values():
    rows = pd.DataFrame({"step": [1, 2, 3], "loss_val": [2.0, np.nan, 1.0]})
    figure = paper_quality.curve(rows, {"loss_val": "held out", "loss_train": "training"})
    assert [list(trace.x) for trace in figure.data] == [[1, 3]]


def test_hits_stand_beside_chance():
    found = pd.DataFrame({"asked_space_group": [225, 225], "relaxed_space_group_number": [225.0, 1.0],
                          "sun": pd.array([True, None], dtype="boolean")})
    table = symmetry.hits(found).assign(chance=[0.07])
    bars, marks = paper_symmetry.hits(table).data
    assert bars.y[0] == 0.5
    assert marks.y[0] == 0.07


def test_methods_stand_side_by_side():
    rows = pd.DataFrame({"method": ["model", "model", "search"], "kind": ["a", "b", "a"], "sun_rate": [0.2, 0.4, 0.1]})
    figure = paper_systems.rates(rows, "kind", ["b", "a"])
    assert [trace.name for trace in figure.data] == ["model", "search"]
    assert list(figure.data[0].x) == ["b", "a"]
    assert list(paper_systems.on_hull({"model": {"x": 2}, "search": {"y": 0}}).data[0].y) == [2, 0]


@pytest.mark.parametrize("figure", [
    lambda: paper_properties.density([], {"a": []}, "ml_bulk_modulus", 400.0),
    lambda: paper_properties.budget({"a": []}, "ml_bulk_modulus", 1.0),
    lambda: paper_properties.elements({"a": pd.DataFrame({"formula": []})}),
    lambda: paper_quality.histogram({"a": []}, "rmsd", low=0.0, high=1.0),
    lambda: paper_quality.against_number({"a": []}),
    lambda: paper_quality.steps(pd.DataFrame(), "sun", "S.U.N."),
    lambda: paper_quality.curve(pd.DataFrame({"step": []}), {"x": "y"}),
    lambda: paper_symmetry.hits(pd.DataFrame()),
    lambda: paper_symmetry.distributions({"a": {"cubic": 0.0}}, "System"),
    lambda: paper_systems.rates(pd.DataFrame(), "kind"),
    lambda: paper_systems.on_hull({"a": {"x": 0}}),
    lambda: paper_gallery.gallery([], []),
])
def test_where_there_is_nothing_a_sentence_stands(figure):
    assert "N" in says(figure())


def test_a_gallery_draws_every_crystal_and_leaves_plotly_as_it_was():
    import plotly.io as pio

    from model.io import to_structures

    before = pio.templates.default
    crystals = [to_structures(famous(name))[0] for name in famous_names()[:3]]
    figure = paper_gallery.gallery(crystals, ["A2B<br>first", "B", "C"])
    assert pio.templates.default == before
    assert [note.text for note in figure.layout.annotations] == ["A<sub>2</sub>B<br>first", "B", "C"]
    drawn = {trace.xaxis or "x" for trace in figure.data if trace.mode == "markers"}
    assert len(drawn) == 3
    with pytest.raises(ValueError, match="as many titles"):
        paper_gallery.gallery(crystals, ["A"])


def test_a_figure_is_kept_as_json_and_a_still_one_as_a_picture(monkeypatch):
    import plotly.graph_objects as go
    from PIL import Image

    from workbench.paper import showing

    monkeypatch.setattr(go.Figure, "to_image", lambda *_, **__: picture())

    def picture():
        import io

        buffer = io.BytesIO()
        Image.effect_noise((300, 200), 90).convert("RGB").save(buffer, format="png")
        return buffer.getvalue()

    figure = go.Figure(go.Scatter(x=[1], y=[2]))
    assert set(showing.bundle(figure, picture=False)) == {"text/plain", "application/vnd.plotly.v1+json"}
    assert set(showing.bundle(figure, picture=True)) == {"text/plain", "application/vnd.plotly.v1+json", "image/png"}
    assert set(showing.bundle(figure, picture=True, still=True)) == {"text/plain", "image/png"}
    assert set(showing.bundle(figure, picture=False, still=True)) == {"text/plain", "application/vnd.plotly.v1+json"}


def test_sentences_about_nothing_are_left_out(capsys):
    from workbench.paper.showing import say

    say(f"The mean is {float('nan'):.2f}.", "Of the others, none of none.", "", "Nanometres are a unit.")
    shown = capsys.readouterr().out
    assert "IPython.core.display.Markdown" in shown
    assert shown.count("Markdown") == 1
    say(f"All {0} crystals.")
    assert capsys.readouterr().out == ""
