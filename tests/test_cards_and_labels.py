"""Labels that tables lack, and cards whose numbers come from files."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from model import checkpoints
from model.crystals import Crystals
from model.data.cache import Dataset
from model.data.sources import mini
from model.diffusion.crystal import CrystalDiffusion
from model.execution import Cancelled
from model.network.denoiser import GemNetDenoiser
from model.properties import labels
from model.properties.labels import LabelError, joined_moduli, label, look_up_moduli, with_labels
from model.relax.potential import Reading
from model.sampling.model import CrystalModel
from model.statistics import LabelStatistics
from model.training.cards import CardError, honest_table, write_card
from model.training.finetune import ADAPTER


class Stand:
    """Moments of 2 everywhere but on oxygen, which it cannot read."""

    name, asked = "stand-in", 0

    def __call__(self, crystals: Crystals) -> Reading:
        Stand.asked += len(crystals)
        if (crystals.numbers == 8).any():
            raise RuntimeError("oxygen")
        n, atoms = len(crystals), len(crystals.numbers)
        return Reading(energy=torch.zeros(n).double(), forces=torch.zeros(atoms, 3).double(),
                       stress=torch.zeros(n, 3, 3).double(), moments=torch.full((atoms,), 2.0).double())


@pytest.fixture
def dataset(tmp_path):
    return mini().save(tmp_path / "train", {"rejected.csv": "file,row\n"})


def test_supply_risk_is_that_of_the_composition(dataset):
    from model.properties.supply_risk import hhi

    made = label(dataset, ["hhi_score"])
    assert made.labels["hhi_score"][0] == pytest.approx(hhi(labels._reduced(dataset.crystals([0]))), rel=1e-6)
    assert np.isnan(made.labels["hhi_score"]).any()  # hydrogen has none
    assert set(made.labels) == {*dataset.labels, "hhi_score"}
    assert (made.folder / "rejected.csv").exists()
    again = Dataset.load(made.folder)
    assert again.statistics.labels["hhi_score"].n == int(np.isfinite(made.labels["hhi_score"]).sum())
    assert again.manifest["label_sources"]["hhi_score"].startswith("supply risk")
    assert again.manifest["fingerprint"] == dataset.manifest["fingerprint"] if "fingerprint" in dataset.manifest else True


def test_what_cannot_be_measured_stays_unknown_and_the_others_are_measured(dataset):
    made = label(dataset, ["ml_mag_density"], potential=Stand)
    oxides = np.array([8 in crystal.numbers.tolist() for crystal in dataset.crystals()])
    assert np.isnan(made.labels["ml_mag_density"][oxides]).all()
    volumes = np.abs(np.linalg.det(np.asarray(dataset.cell)))
    expected = 2.0 * dataset.n_atoms / volumes
    np.testing.assert_allclose(made.labels["ml_mag_density"][~oxides], expected[~oxides], rtol=1e-5)


def test_a_broken_off_labelling_goes_on(dataset):
    def stop(progress):
        if progress.done >= 64:
            raise Cancelled

    with pytest.raises(Cancelled):
        label(dataset, ["ml_mag_density"], potential=Stand, watch=stop)
    record = dataset.folder.with_name(".train.labels.jsonl")
    kept = [json.loads(line) for line in record.read_text().split("\n") if line]
    record.write_text(record.read_text() + '\n{"of": "cut sh')
    dataset = label(dataset, ["hhi_score"])
    Stand.asked = 0
    made = label(dataset, ["ml_mag_density"], potential=Stand)
    done = sum(len(line["rows"]) for line in kept)
    assert Stand.asked <= 2 * (len(dataset) - done) + 1
    assert np.isfinite(made.labels["ml_mag_density"]).sum() > 30
    assert not record.exists()


def test_only_the_first_are_measured_where_asked(dataset):
    made = label(dataset, ["hhi_score"], most=10)
    assert np.isnan(made.labels["hhi_score"][10:]).all()
    assert np.isfinite(made.labels["hhi_score"][:10]).any()


def test_unknown_labels_are_refused(dataset):
    with pytest.raises(LabelError, match=r"Nothing here makes the label hardness; there are hhi_score"):
        label(dataset, ["hardness"])
    with pytest.raises(LabelError, match="save it first"):
        label(mini(), ["hhi_score"])


def test_dft_moduli_go_to_crystals_that_are_alone_with_their_formula(dataset, tmp_path):
    formulas = [labels._reduced(crystal) for crystal in dataset.crystals()]
    twice = next(f for f in formulas if formulas.count(f) > 1)
    once = next(f for f in formulas if formulas.count(f) == 1)
    table = tmp_path / "moduli.csv"
    table.write_text(f"formula,bulk_modulus\n{twice},100\n{once},200\n")
    found = look_up_moduli({"train": dataset}, table)["train"].labels["dft_bulk_modulus"]
    assert found[formulas.index(once)] == 200
    assert np.isfinite(found).sum() == 1
    table.write_text("formula,modulus\nNaCl,1\n")
    with pytest.raises(LabelError, match="lacks the column bulk_modulus"):
        look_up_moduli({"train": dataset}, table)


def test_a_joined_modulus_is_dfts_where_it_is_known_and_the_curves_elsewhere(dataset):
    with pytest.raises(LabelError, match="lacks dft_bulk_modulus, ml_bulk_modulus"):
        joined_moduli(dataset)
    dft, ours = np.full((2, len(dataset)), np.nan, dtype=np.float32)
    dft[:3], ours[2:6] = (10, 20, 30), (1, 2, 3, 4)
    found = joined_moduli(with_labels(dataset, {"dft_bulk_modulus": dft, "ml_bulk_modulus": ours}, {}))
    assert found.labels["bulk_modulus"][:6].tolist() == [10, 20, 30, 2, 3, 4]
    assert np.isnan(found.labels["bulk_modulus"][6:]).all()
    assert found.manifest["label_sources"]["bulk_modulus"] == "in GPa: DFT for 3 crystals, the equation of state for 3"
    again = type(dataset).load(dataset.folder)
    assert again.statistics.labels["bulk_modulus"].n == 6


def metric(name, value, n, hits=None):
    return {"name": name, "definition": "", "value": value, "low": 0.1 if hits is not None else None,
            "high": 0.9 if hits is not None else None, "n": n, "hits": hits, "unit": "" if hits is not None else "eV/atom"}


def test_a_card_says_what_the_files_say(tmp_path):
    torch.manual_seed(0)
    tiny = {"hidden": 16, "num_blocks": 1, "num_radial": 16, "emb_size_trip": 8, "emb_size_bil_trip": 8, "num_atom": 1}
    recipe = json.loads(json.dumps(vars(ADAPTER) | {"network": tiny}))
    made = CrystalModel(name="little", denoiser=GemNetDenoiser(**tiny, properties=("dft_band_gap",)),
                        diffusion=CrystalDiffusion(), properties=("dft_band_gap",), statistics=mini().statistics,
                        facts={"crystals": 65, "steps": 7, "recipe": recipe, "said": ["It listens."]})
    gaps = LabelStatistics.of(np.array([0.0, 1.0, 5.0]))
    made = replace(made, statistics=replace(made.statistics, labels={"dft_band_gap": gaps}))
    checkpoints.save(made, tmp_path / "little")
    run, judged = tmp_path / "run", tmp_path / "run-evaluated"
    run.mkdir()
    judged.mkdir()
    told = {"model": {"name": "little", "hash": made.hash}, "constraints": {"count": 9, "targets": {"dft_band_gap": [3.0, 3.0]}},
            "method": {"steps": 100, "corrections": 1, "guidance": 2.0}}
    (run / "run.json").write_text(json.dumps(told))
    card = {"made": 9, "judged": 8, "missing": {"s0-0004": "Atoms overlap."}, "energy_model": "CHGNet", "reference": "MP",
            "metrics": {"stable": metric("stable", 4 / 9, 9, 4), "energy above hull": metric("e", 0.25, 8),
                        "unknown": metric("u", None, 0), "S.U.N.": metric("S.U.N.", 0.25, 8, 2)}}
    (judged / "candidates.csv").write_text("id,dft_band_gap\na,2.5\nb,\nc,3.1\nd,2.9\n")
    (judged / "scorecard.json").write_text(json.dumps(card))
    text = write_card(tmp_path / "little", [judged], "For tests.").read_text()
    for part in ("# little", "For tests.", made.hash, "65 crystals in 7 steps", "It listens.", "dft_band_gap = 3 (n = 9",
                 "| stable | 44.4% [10.0%, 90.0%], 4 | 9 |", "| energy above hull | 0.25 eV/atom | 8 |", "Atoms overlap.", "obtained median 2.9, mean 2.833 (n = 3)", "those taught have mean 2, at most 5"):
        assert part in text
    assert "| `little` | dft_band_gap = 3 | 9 | 100 and corrector | 44.4%" in honest_table(tmp_path)
    assert "median 2.9 (data: mean 2)" in honest_table(tmp_path)
    assert "unknown" not in text
    assert not math.isnan(json.loads((tmp_path / "little" / "scorecard.json").read_text())["made"])
    (run / "run.json").write_text(json.dumps(told | {"model": {"name": "other", "hash": "x"}}))
    with pytest.raises(CardError, match="another model"):
        write_card(tmp_path / "little", [judged])
    with pytest.raises(CardError, match="judge the run first"):
        write_card(tmp_path / "little", [tmp_path / "elsewhere"])


def test_the_readme_shows_what_the_shipped_scorecards_say():
    """The table between the two marks is `honest_table` of the shipped models, so no number there grows old."""
    readme = (checkpoints.SHIPPED.parents[1] / "README.md").read_text(encoding="utf-8")
    begin, end = "<!-- shipped models -->", "<!-- end -->"
    assert readme.split(begin)[1].split(end)[0].strip() == honest_table(checkpoints.SHIPPED)
