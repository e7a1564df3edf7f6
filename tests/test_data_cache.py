"""Datasets on disk: written whole or not at all, loaded unchanged or refused in one sentence."""

import json
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from model.crystals import Crystals
from model.data.cache import Dataset, DatasetError, prepare, prepare_splits
from model.data.sources import MINI, Selection, SourceError, mini
from model.testing import sound


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return mini().save(tmp_path_factory.mktemp("kept") / "mini")


@pytest.fixture
def copy(kept, tmp_path):
    return shutil.copytree(kept.folder, tmp_path / "copy")


def same(a, b):
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in ("frac", "cell", "numbers", "n_atoms"))


def test_what_is_saved_is_what_is_loaded(kept):
    assert same(kept.crystals(), mini().crystals())
    assert kept.ids.tolist() == mini().ids.tolist()
    assert kept.statistics == mini().statistics
    assert set(kept.labels) == set(mini().labels)
    np.testing.assert_array_equal(kept.labels["space_group"], mini().labels["space_group"])
    assert isinstance(kept.pos, np.memmap)


@pytest.mark.parametrize(
    "pick", [[3], [0, 64, 7, 7], slice(2, 40, 5), slice(None, None, -1), np.array([5, 1]), torch.tensor([9, 8, 60]), []]
)
def test_any_pick_is_the_pick_of_all(kept, pick):
    rows = list(range(len(kept)))[pick] if isinstance(pick, slice) else [int(i) for i in pick]
    assert same(kept.crystals(pick), kept.crystals()[rows])
    if rows:
        sound(kept.crystals(pick))


def test_a_boolean_mask_picks(kept):
    mask = kept.labels["space_group"] == 225
    assert same(kept.crystals(mask), kept.crystals()[torch.from_numpy(mask)])


def test_positions_that_are_not_there_are_an_error(kept):
    with pytest.raises(IndexError):
        kept.crystals([len(kept)])


def test_a_dataset_travels_to_a_worker_as_its_name(kept):
    parcel = pickle.dumps(kept)
    assert len(parcel) < 1000
    assert same(pickle.loads(parcel).crystals(), kept.crystals())
    assert same(pickle.loads(pickle.dumps(mini())).crystals(), kept.crystals())


def test_loading_needs_neither_pymatgen_nor_pandas(kept):
    code = f"""
import sys
for name in ("pymatgen", "pandas", "jaxtyping", "ase", "pyarrow", "lightning"):
    sys.modules[name] = None
from model.data.cache import Dataset
dataset = Dataset.load({str(kept.folder)!r})
print(len(dataset.crystals([0, 5])), len(dataset), round(dataset.statistics.density, 6))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.split() == ["2", str(len(kept)), str(round(kept.statistics.density, 6))]


@pytest.mark.parametrize("name", ["pos.npy", "cell.npy", "num_atoms.npy", "structure_id.npy", "space_group.json", "statistics.json"])
def test_a_missing_or_damaged_file_is_one_sentence(copy, name):
    file = copy / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)
    with pytest.raises(DatasetError, match=f"{name} of the dataset .* was changed or damaged; prepare it anew"):
        Dataset.load(copy)
    file.unlink()
    with pytest.raises(DatasetError, match=f"is incomplete: {name} missing"):
        Dataset.load(copy)


def test_even_unchecked_a_cut_array_is_refused(copy):
    for name in ("pos.npy", "num_atoms.npy", "space_group.json", "statistics.json"):
        whole = (copy / name).read_bytes()
        (copy / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(DatasetError, match="is damaged"):
            Dataset.load(copy, check=False)
        (copy / name).write_bytes(whole)
    np.save(copy / "num_atoms.npy", np.ones(5, dtype=np.int64))
    with pytest.raises(DatasetError, match="does not add up"):
        Dataset.load(copy, check=False)


def test_arrays_that_would_run_code_are_refused(copy):
    np.save(copy / "structure_id.npy", np.array([print] * 65, dtype=object), allow_pickle=True)
    with pytest.raises(DatasetError, match="is damaged"):
        Dataset.load(copy, check=False)


def test_a_manifest_of_another_kind_is_refused(copy, tmp_path):
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(DatasetError, match="of format 99, wanted 1"):
        Dataset.load(copy)
    (copy / "manifest.json").write_text("{")
    with pytest.raises(DatasetError, match=r"manifest\.json is not readable"):
        Dataset.load(copy)
    with pytest.raises(DatasetError, match="There is no dataset"):
        Dataset.load(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="is no dataset"):
        Dataset.load(tmp_path)


def test_a_cache_that_matter_gen_made_is_loaded(tmp_path, famous):
    """Its layout as written down: plain arrays, cells not yet symmetric, coordinates anywhere, labels as JSON."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    names = ["quartz-SiO2", "perovskite-CaTiO3"]
    crystals = Crystals.join([famous(name) for name in names])
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    np.save(folder / "pos.npy", np.add(crystals.frac.double().numpy(), [1, -2, 0]))
    np.save(folder / "cell.npy", crystals.cell.double().numpy() @ turn)
    np.save(folder / "atomic_numbers.npy", crystals.numbers.numpy())
    np.save(folder / "num_atoms.npy", crystals.n_atoms.numpy())
    np.save(folder / "structure_id.npy", np.array(names))
    labels = {"dft_band_gap": [1.5, float("nan")], "space_group": ["P3_221", "Pnma"], "chemical_system": ["O-Si", "Ca-O-Ti"]}
    for name, values in labels.items():
        (folder / f"{name}.json").write_text(
            json.dumps({"values": values, "property_source_doc_id": name, "origins": None})
        )
    dataset = Dataset.load(folder)
    torch.testing.assert_close(dataset.crystals().cell, crystals.cell, atol=1e-5, rtol=0)
    apart = (dataset.crystals().frac - crystals.frac + 0.5) % 1 - 0.5
    assert apart.abs().max() < 1e-6
    assert set(dataset.labels) == {"dft_band_gap", "space_group"}
    np.testing.assert_array_equal(dataset.labels["space_group"], [154, 62])
    assert dataset.statistics.elements == {"O": 2, "Si": 1, "Ca": 1, "Ti": 1}


def test_our_labels_lie_on_disk_as_matter_gen_writes_them(kept):
    record = json.loads((kept.folder / "space_group.json").read_text())
    assert record["property_source_doc_id"] == "space_group"
    assert record["values"][:3] == ["Fm-3m", "Fm-3m", "Im-3m"]
    assert np.load(kept.folder / "pos.npy").dtype == np.load(kept.folder / "cell.npy").dtype == np.float64


def test_nothing_that_lies_there_is_overwritten(tmp_path, kept):
    (tmp_path / "mine.txt").write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(DatasetError, match="already holds something"):
            mini().save(tmp_path, overwrite=overwrite)
    with pytest.raises(DatasetError, match="already holds something"):
        mini().save(kept.folder)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_a_failed_save_leaves_nothing(tmp_path, monkeypatch):
    def broken(*args, **kwargs):
        raise OSError("no space left")

    monkeypatch.setattr(np, "save", broken)
    with pytest.raises(OSError, match="no space left"):
        mini().save(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def small(path, rows=4):
    """The first crystals of the shipped table: header, then whole quoted CIFs."""
    import csv

    with MINI.open() as file:
        table = list(csv.reader(file))[: rows + 1]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(table)
    return path


def test_preparing_twice_loads_and_a_changed_source_is_noticed(tmp_path):
    source = small(tmp_path / "train.csv")
    told = []
    first = prepare(source, tmp_path / "out", watch=told.append)
    assert len(first) == 4
    told.clear()
    again = prepare(source, tmp_path / "out", watch=told.append)
    assert told == []  # nothing was made anew
    assert same(first.crystals(), again.crystals())
    with pytest.raises(DatasetError, match="other files or with other options"):
        prepare(source, tmp_path / "out", selection=Selection(max_atoms=1))
    small(source, rows=6)
    with pytest.raises(DatasetError, match="other files or with other options"):
        prepare(source, tmp_path / "out")
    assert len(Dataset.load(tmp_path / "out")) == 4
    assert len(prepare(source, tmp_path / "out", overwrite=True)) == 6
    assert len(Dataset.load(tmp_path / "out")) == 6
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out", "train.csv"]


def test_several_files_join_into_one(tmp_path):
    one, two = small(tmp_path / "a.csv", 3), small(tmp_path / "b.csv", 2)
    dataset = prepare([one, two], tmp_path / "out")
    assert dataset.ids.tolist() == mini().ids[:3].tolist() + mini().ids[:2].tolist()
    assert dataset.manifest["sources"] == ["a.csv", "b.csv"]


def test_splits_are_named_by_their_files_and_added_one_by_one(tmp_path):
    one, two = small(tmp_path / "train.csv", 3), small(tmp_path / "val.csv", 2)
    out = tmp_path / "out"
    assert {name: len(split) for name, split in prepare_splits([one], out).items()} == {"train": 3}
    assert {name: len(split) for name, split in prepare_splits([two], out).items()} == {"val": 2}
    assert {name: s["count"] for name, s in json.loads((out / "manifest.json").read_text())["splits"].items()} == {
        "train": 3, "val": 2,
    }
    assert len(Dataset.load(out / "val")) == 2
    with pytest.raises(DatasetError, match="holds the splits train, val; name the folder of one"):
        Dataset.load(out)
    with pytest.raises(DatasetError, match="Two files would both become"):
        prepare_splits([one, tmp_path / "sub" / "train.csv.gz"], out)


def test_a_table_without_a_usable_row_leaves_no_folder(tmp_path):
    (tmp_path / "bad.csv").write_text("material_id,cif\nx,nonsense\n")
    with pytest.raises(SourceError, match="None of the 1 rows"):
        prepare(tmp_path / "bad.csv", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_prepares_shows_and_fails_in_one_sentence(tmp_path):
    from workbench.commands.data import app

    source = small(tmp_path / "train.csv")
    with source.open("a") as file:
        file.write("broken,XX,[],1,not a cif\n")
    def run(*args):
        return CliRunner().invoke(app, [str(arg) for arg in args])

    done = run("prepare", source, "--out", tmp_path / "out", "--workers", 1)
    assert done.exit_code == 0, done.output
    assert "train: 4 crystals of 5 rows" in done.output
    assert "unreadable CIF" in done.output
    assert "broken" in (tmp_path / "out/train/rejected.csv").read_text()
    shown = run("show", tmp_path / "out")
    assert shown.exit_code == 0
    assert "space_group" in shown.output
    assert "100.0%" in shown.output
    failed = run("prepare", tmp_path / "none.csv", "--out", tmp_path / "out2", "--workers", 1)
    assert failed.exit_code == 2
    assert "There is no file" in failed.output
    assert "Traceback" not in failed.output
    assert run("show", tmp_path).exit_code == 2
