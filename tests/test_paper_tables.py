"""Tables behind the figures: what is packed is what was judged, and what is asked is what is told."""

import json

import numpy as np
import pandas as pd
import pytest

from model.constraints import Constraints
from model.evaluation.metrics import wilson
from model.testing import famous, famous_names
from workbench.paper import numbers, plans, rates, steps, symmetry, systems, tables


def judged(folder, name, *, wish, count=3, values=None):
    """A judged folder as the commands leave it, of famous crystals."""
    from model import io
    from model.crystals import Crystals

    run, out = folder / name, folder / f"{name}-evaluated"
    run.mkdir()
    out.mkdir()
    crystals = Crystals.join([famous(one) for one in famous_names()[:count]])
    ids = [f"s0-{i:04d}" for i in range(count)]
    told = {"model": {"name": "base-x", "hash": "0"}, "constraints": wish.to_json(), "finished": True,
            "method": {"scheme": "ancestral", "steps": 50, "corrections": 1}}
    (run / "run.json").write_text(json.dumps(told))
    table = pd.DataFrame({
        "id": ids, "formula": [s.composition.reduced_formula for s in io.to_structures(crystals)],
        "status": ["judged"] * count, "energy_above_hull": np.linspace(-0.05, 0.3, count), "reason": "because",
        "stable": [True] * count, "unique": True, "novel": True, "sun": [True, False, None][:count],
        "relaxed_space_group_number": 225.0, **(values or {}),
    })
    table.to_csv(out / "candidates.csv", index=False)
    io.write_extxyz(out / "relaxed.extxyz", crystals, [{"id": i} for i in ids])
    metric = {"value": 0.5, "low": 0.4, "high": 0.6}
    card = {"reference": "R", "energy_model": "E", "matcher": "M", "metrics": {"S.U.N.": metric, "RMSD": metric}}
    (out / "scorecard.json").write_text(json.dumps(card))
    return out


@pytest.fixture
def packed(tmp_path, monkeypatch):
    monkeypatch.setenv("NOTEBOOK_DATA", str(tmp_path))
    one = judged(tmp_path, "one", wish=Constraints(targets={"ml_bulk_modulus": 400}, count=3))
    two = judged(tmp_path, "two", wish=Constraints(space_group=225, count=3))
    tables.pack([tables.judged_folder(one), tables.judged_folder(two)], tmp_path / "both.csv.gz")
    return tables.table("both")


def test_what_is_packed_comes_back(packed, loose):
    assert len(packed) == 6
    assert list(packed["sun"].fillna(value=False)) == [True, False, False] * 2
    assert "reason" not in packed
    assert set(packed["model"]) == {"base-x"}
    before = [famous(name) for name in famous_names()[:3]] * 2
    after = tables.candidates(packed)
    assert len(after) == 6
    for old, new in zip(before, after.crystals, strict=True):
        per_atom = [float(np.abs(np.linalg.det(c.cell[0].double().numpy())) / len(c.numbers)) for c in (old, new)]
        assert per_atom[0] == pytest.approx(per_atom[1], rel=loose)
        assert sorted(set(old.numbers.tolist())) == sorted(set(new.numbers.tolist()))


def test_crystals_that_are_missing_count(tmp_path):
    folder = judged(tmp_path, "one", wish=Constraints(chemical_system="Na-Cl", count=4))
    card = json.loads((folder / "scorecard.json").read_text())
    (folder / "scorecard.json").write_text(json.dumps(card | {"missing": {"s0-0003": "the cell exploded"}}))
    found = tables.judged_folder(folder)
    assert found["status"].tolist() == ["judged"] * 3 + ["missing"]
    assert found.loc[3, "chemical_system"] == "Cl-Na"
    assert found["cif"].notna().sum() == 3
    assert rates.share(found.assign(stable=found["stable"].astype("boolean")), "stable").n == 4


def test_the_same_rows_give_the_same_bytes(packed, tmp_path):
    tables.write(packed, tmp_path / "a.csv.gz")
    tables.write(packed, tmp_path / "b.csv.gz")
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()


def test_what_was_asked_is_told_again(packed):
    asked = tables.asked(packed)
    assert asked["ml_bulk_modulus"].tolist()[:3] == [400.0] * 3
    assert asked["space_group"].tolist()[3:] == [225] * 3
    assert tables.asked(tables.empty())["space_group"].empty


def test_a_missing_table_is_no_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NOTEBOOK_DATA", str(tmp_path))
    assert tables.table("nothing").empty
    assert tables.labels().empty
    assert capsys.readouterr().out.count("is not in") == 2


def test_nothing_judged_is_a_sentence(tmp_path):
    with pytest.raises(tables.TableError, match="workbench evaluate"):
        tables.judged_folder(tmp_path)


def test_labels_of_a_dataset_become_a_table():
    from model.data.sources import mini

    data = mini()
    table = tables.label_table(data, ["space_group"])
    assert len(table) == len(data)
    assert dict(zip(data.ids, table["formula"], strict=True))["rocksalt-NaCl"] == "NaCl"
    with pytest.raises(tables.TableError, match="workbench data label"):
        tables.label_table(data, ["fragrance"])


def test_steps_are_gathered_with_their_cost(tmp_path):
    found = steps.gather([judged(tmp_path, "one", wish=Constraints(count=3))])
    assert found.loc[0, "evaluations"] == 100  # 50 steps, each with a corrector
    assert found.loc[0, "sun"] == 0.5
    assert "50 steps and 1 corrector" in steps.hints(found)[0]
    with pytest.raises(tables.TableError, match="scorecard"):
        steps.gather([tmp_path])


def test_the_cheapest_run_not_told_apart_is_named():
    runs = pd.DataFrame({"steps": [16, 100, 1000], "corrections": 0, "evaluations": [16, 100, 1000],
                         "sun": [0.1, 0.3, 0.32], "sun_low": [0.05, 0.25, 0.27], "sun_high": [0.15, 0.35, 0.37],
                         "rmsd": np.nan, "rmsd_low": np.nan, "rmsd_high": np.nan})
    sentence, = steps.hints(runs)
    assert "best 32.0% with 1000 steps; 100 steps (100 network evaluations" in sentence


def test_plans_ask_what_they_say():
    for table in plans.PLANS:
        shipped, paper = plans.plan(table, "shipped"), plans.plan(table, "paper")
        assert not shipped.generates
        assert paper.generates
        assert paper.asks[-1].method.steps == 1000
        assert paper.asks[0].method.published
    assert plans.plan("bulk_modulus", "quick").generates
    assert plans.plan("bulk_modulus", "paper").count == numbers.ASKED["bulk_modulus"].samples == 512
    assert plans.plan("symmetry", "paper").count == 14 * 256
    assert plans.plan("systems", "paper").count == 27 * 10_240
    walks = [(ask.method.steps, ask.method.corrections) for ask in plans.plan("steps", "paper").asks]
    assert sorted(walks) == sorted((s, c) for s in (16, 32, 50, 100, 200, 1000) for c in (0, 1))
    assert [ask.method.corrections for ask in plans.plan("steps", "paper", steps=2).asks] == [0, 1]
    assert "16 or 32 or" in plans.plan("steps", "paper").says
    assert plans.plan("bulk_modulus", "quick", count="3", steps=7).count == 3
    assert {ask.constraints.targets["hhi_score"].low for ask in plans.plan("low_risk_magnets", "paper").asks} == {1200.0}


def test_published_names_are_published():
    from model.published import NAMES

    assert {plans.plan(table, "paper").asks[0].model for table in plans.PLANS} <= set(NAMES)


@pytest.mark.parametrize("wrong", [
    {"preset": "fast"}, {"table": "colour"}, {"count": "many"}, {"steps": 0},
])
def test_wrong_plans_are_sentences(wrong):
    with pytest.raises(plans.PlanError, match=r"found|no series"):
        plans.plan(**({"table": "base", "preset": "paper"} | wrong))


def test_rates_carry_their_intervals():
    one = rates.rate(3, 10)
    assert (one.low, one.high) == (wilson(3, 10).low, wilson(3, 10).high)
    assert str(rates.rate(0, 0)) == "none of none"
    table = pd.DataFrame({"sun": pd.array([True, None, True], dtype="boolean"), "x": [1.0, 9.0, 3.0]})
    assert rates.share(table, "sun").hits == 2
    assert rates.above(table, "x", 2.0).hits == 1  # the 9 is not S.U.N.
    assert rates.median(table, "x") == 2.0
    assert np.isnan(rates.median(table, "y"))


def test_groups_are_drawn_as_the_data_hold_them():
    from model.statistics import Statistics

    sizes = {225: {2: 900}, 1: {4: 100}}
    data = Statistics(count=1000, n_atoms={}, n_atoms_by_space_group=sizes, density=0.05, elements={}, chemical_systems=1,
                      labels={})
    drawn = symmetry.drawn_groups(data, 2000, seed=1)
    assert sum(drawn.values()) == 2000
    assert drawn[225] / 2000 == pytest.approx(0.9, abs=0.03)  # 4.5 standard deviations
    assert symmetry.drawn_groups(data, 50, seed=1) == symmetry.drawn_groups(data, 50, seed=1)


def test_crystal_systems_agree_with_pymatgen():
    from pymatgen.symmetry.groups import SpaceGroup

    for group in range(1, 231):
        assert symmetry.crystal_system(group) == SpaceGroup.from_int_number(group).crystal_system
    with pytest.raises(ValueError, match="1 to 230"):
        symmetry.crystal_system(231)
    assert symmetry.symbol(194) == "P6_3/mmc"
    assert sum(symmetry.by_system({2: 0.5, 225: 0.5}).values()) == 1.0


def test_hits_are_counted_group_by_group():
    found = pd.DataFrame({"asked_space_group": [225, 225, 2], "relaxed_space_group_number": [225.0, 221.0, np.nan],
                          "sun": pd.array([True, True, None], dtype="boolean")})
    table = symmetry.hits(found).set_index("space_group")
    assert table.loc[225, ["hits", "n", "sun_hits", "sun", "in_family"]].tolist() == [1, 2, 1, 2, 2]
    assert table.loc[2, ["hits", "n", "in_family"]].tolist() == [0, 1, 0]


class Sparse:
    """A reference that knows one system well and the others not at all."""

    def covering(self, elements):
        return 60 if set(elements) == {"V", "Sr", "O"} else 4


def test_nothing_is_claimed_of_sparse_systems():
    known = systems.coverage(Sparse())
    assert len(known) == 27
    assert known["claims"].sum() == 1
    part = pd.DataFrame({"chemical_system": ["O-Sr-V", "O-Sr-V", "As-Cu-Sr"], "energy_above_hull": [-0.1, 0.05, -1.0],
                         "sun": True, "unique": True, "novel": pd.array([True, True, None], dtype="boolean")})
    found = systems.outcomes({"model": part}, known)
    assert found["system"].tolist() == ["O-Sr-V"]
    assert found.loc[0, "on_hull"] == 1
    assert found.loc[0, "sun_rate"] == 1.0


def test_the_dial_stands_where_the_shipped_base_was_measured_to_need_no_more_and_says_so():
    from model.checkpoints import load
    from workbench import dial
    from workbench.state import State

    runs = dial.measured(load("base").hash)
    assert set(zip(runs["steps"], runs["corrections"], strict=True)) == {(s, c) for s in (16, 32, 50, 100, 200, 1000) for c in (0, 1)}
    assert State().steps == dial.usual(runs)
    assert f"{State().steps} steps give" in dial.hint(runs, State().steps)
    assert "1000 steps give" in dial.hint(runs, 950)
    assert "100 steps with one correction each give" in dial.hint(runs, 90, 2)
    smoothest, best = runs.loc[runs["rmsd"].idxmin()], runs.loc[runs["sun"].idxmax()]
    assert f"{smoothest['rmsd']:.2f} Å for {smoothest['evaluations'] / 100:.0f} times the work" in dial.hint(runs, 100)
    assert dial.hint(runs, int(best["steps"]), int(best["corrections"])).count("times the work") == 1, "itself is not told twice"
    assert dial.measured("of no shipped base") is None


def test_the_fewest_steps_that_cannot_be_told_from_the_best_are_usual():
    from workbench import dial

    runs = pd.DataFrame({"steps": [16, 32, 100, 16], "corrections": [0, 0, 0, 1], "sun": [0.1, 0.3, 0.4, 0.9], "sun_low": [0.05, 0.2, 0.3, 0.8],
                         "sun_high": [0.15, 0.41, 0.5, 0.95], "rmsd": [0.9, 0.5, 0.4, 0.1], "rmsd_low": [0.8, 0.35, 0.3, 0.0], "rmsd_high": [1.0, 0.6, 0.5, 0.2]})
    assert dial.usual(runs) == 32
    assert dial.usual(runs.assign(rmsd_low=runs["rmsd"] - 0.01, rmsd_high=runs["rmsd"] + 0.01)) == 100
