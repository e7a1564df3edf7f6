"""Models on disk: round trips, strictness, and files that mean harm or are broken."""

import collections
import functools
import json
import os
import pathlib
import shutil
import sys
import types

import pytest
import torch

from model import checkpoints, published
from model.diffusion.crystal import CrystalDiffusion
from model.diffusion.lattice import LatticeNoise
from model.errors import CheckpointError
from model.network.denoiser import GemNetDenoiser
from model.sampling.model import CrystalModel
from model.statistics import Statistics
from model.tensors import DamagedFileError, read_tensors, write_tensors

TINY = {"hidden": 16, "num_blocks": 1, "num_radial": 16, "emb_size_trip": 8, "emb_size_bil_trip": 8}


@pytest.fixture
def small():
    torch.manual_seed(0)
    statistics = Statistics(count=1, n_atoms={2: 1}, n_atoms_by_space_group={}, density=0.05, elements={"Na": 1},
                            chemical_systems=1, labels={})
    return CrystalModel(
        name="small", denoiser=GemNetDenoiser(**TINY, properties=("dft_band_gap", "space_group")),
        diffusion=CrystalDiffusion(lattice=LatticeNoise(density=0.06, beforehand=(2.8, 0.7))), statistics=statistics,
        properties=("dft_band_gap", "space_group"), facts={"source": "a test"},
    )


def test_saved_and_loaded_is_the_same(small, tmp_path):
    checkpoints.save(small, tmp_path / "m")
    again = checkpoints.load(tmp_path / "m")
    assert again.hash == small.hash
    assert again.diffusion == small.diffusion
    assert again.statistics == small.statistics
    assert again.properties == small.properties
    with pytest.raises(FileExistsError):
        checkpoints.save(small, tmp_path / "m")


def test_safetensors_agrees_with_the_library(tmp_path):
    library = pytest.importorskip("safetensors.torch")
    tensors = {"a": torch.randn(3, 4), "b": torch.arange(5), "c": torch.randn(2, 0), "d": torch.tensor(1.5),
               "e": torch.randn(7).bfloat16(), "f": torch.tensor([True, False])}
    write_tensors(tmp_path / "ours", tensors)
    library.save_file(tensors, tmp_path / "theirs")
    for path, read in ((tmp_path / "ours", library.load_file), (tmp_path / "theirs", read_tensors)):
        for name, value in read(path).items():
            assert value.dtype == tensors[name].dtype
            assert torch.equal(value, tensors[name])


@pytest.mark.parametrize("cut", [0, 4, 20, 200, -3])
def test_cut_files_are_said_to_be_damaged(small, tmp_path, cut):
    checkpoints.save(small, tmp_path / "m")
    path = tmp_path / "m" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DamagedFileError):
        read_tensors(path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        checkpoints.load(tmp_path / "m")


def test_hostile_headers_are_refused(tmp_path):
    for header in ({"a": {"dtype": "F32", "shape": [10], "data_offsets": [0, 400]}},
                   {"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}},
                   {"a": {"dtype": "object", "shape": [1], "data_offsets": [0, 4]}}, ["a"]):
        text = json.dumps(header).encode()
        (tmp_path / "x").write_bytes(len(text).to_bytes(8, "little") + text + b"1234")
        with pytest.raises(DamagedFileError):
            read_tensors(tmp_path / "x")


def test_missing_and_unexpected_keys_are_listed(small, tmp_path):
    checkpoints.save(small, tmp_path / "m")
    path = tmp_path / "m" / "model.safetensors"
    tensors = read_tensors(path)
    tensors["new"] = tensors.pop("fc_atom.bias")
    write_tensors(path, tensors)
    with pytest.raises(CheckpointError, match=r"missing: fc_atom\.bias.*unexpected: new"):
        checkpoints.load(tmp_path / "m")


def test_unknown_names_say_what_there_is():
    with pytest.raises(CheckpointError, match="published are mattergen_base"):
        checkpoints.load("no_such_model")


# --- published folders -----------------------------------------------------------------------------------------------


@pytest.fixture
def folder(shared, tmp_path):
    shutil.copytree(shared / "parity" / "space_group", tmp_path / "space_group", copy_function=shutil.copyfile)
    for path in tmp_path.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return tmp_path / "space_group"


def rewrite(folder, **entries):
    path = folder / "checkpoints" / "last.ckpt"
    told = torch.load(path, weights_only=True)
    torch.save(told | entries, path)


def test_published_folders_convert_to_ours(folder, tmp_path):
    theirs = checkpoints.load(folder)
    checkpoints.save(theirs, tmp_path / "ours")
    ours = checkpoints.load(tmp_path / "ours")
    assert ours.hash == theirs.hash
    assert ours.properties == ("space_group",)


def pretend(monkeypatch, name, ran):
    """A class of a module that is not installed here, which would run code when it is unpickled for real."""
    module, _, short = name.rpartition(".")

    class Loud:
        def __init__(self, content=None):
            self.content = content

        def __setstate__(self, state):
            ran.append(state)

    Loud.__module__, Loud.__qualname__, Loud.__name__ = module, short, short
    for depth in range(1, len(module.split(".")) + 1):
        part = ".".join(module.split(".")[:depth])
        monkeypatch.setitem(sys.modules, part, types.ModuleType(part))
    setattr(sys.modules[module], short, Loud)
    return Loud


@pytest.mark.parametrize("name", ["omegaconf.dictconfig.DictConfig", "pytorch_lightning.callbacks.Fancy", "lightning.x.Y"])
def test_harmless_classes_of_real_files_are_inert(folder, name):
    """Published files hold callbacks, paths and configuration objects: they load, and nothing of them runs."""
    ran = []
    with pytest.MonkeyPatch.context() as patch:
        loud = pretend(patch, name, ran)
        rewrite(folder, config=loud({"a": 1}), partial=functools.partial(loud),
                callbacks={"dir": pathlib.PurePosixPath("/somewhere")})
    assert checkpoints.load(folder).properties == ("space_group",)
    assert ran == []


def test_any_other_class_is_refused_by_name(folder):
    rewrite(folder, partial=functools.partial(torch.nn.Identity))
    with pytest.raises(CheckpointError, match=r"torch\.nn\.modules\.linear\.Identity"):
        checkpoints.load(folder)


def test_real_top_level_keys_load(folder):
    rewrite(folder, optimizer_states=[{"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-4}]}],
            lr_schedulers=[{"best": 1.0}], loops={"fit_loop": collections.OrderedDict()},
            callbacks={"ModelCheckpoint": {"dirpath": pathlib.PurePosixPath("/somewhere/else"), "best": None}},
            config={"a": [1, {"b": None}]})
    assert checkpoints.load(folder).properties == ("space_group",)


class Harm:
    def __reduce__(self):
        return os.system, ("touch harmed",)


def test_a_harmful_pickle_is_named_and_not_executed(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = folder / "checkpoints" / "last.ckpt"
    told = torch.load(path, weights_only=True)
    torch.save(told | {"callbacks": Harm()}, path)
    with pytest.raises(CheckpointError, match="system"):
        checkpoints.load(folder)
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_truncated_checkpoints_are_one_sentence(folder, share):
    path = folder / "checkpoints" / "last.ckpt"
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(CheckpointError, match="damaged or no checkpoint"):
        checkpoints.load(folder)


def test_a_renamed_key_is_listed(folder):
    path = folder / "checkpoints" / "last.ckpt"
    told = torch.load(path, weights_only=True)
    state = told["state_dict"]
    state["diffusion_module.model.gemnet.out_blocks.0.seq_energy.0.linear.weight_"] = state.pop(
        "diffusion_module.model.gemnet.out_blocks.0.seq_energy.0.linear.weight"
    )
    torch.save(told, path)
    with pytest.raises(CheckpointError, match=r"missing: .*seq_energy.*unexpected: .*weight_"):
        checkpoints.load(folder)


def test_a_config_with_an_unknown_class(folder):
    path = folder / "config.yaml"
    path.write_text(path.read_text().replace("mattergen.adapter.GemNetTAdapter", "somewhere.EvilDenoiser"))
    with pytest.raises(CheckpointError, match=r"unknown class somewhere\.EvilDenoiser"):
        checkpoints.load(folder)


@pytest.mark.parametrize("text", ["", "[1, 2", "!!python/object/apply:os.system ['true']", "a: 1"])
def test_broken_configs_are_one_sentence(folder, text):
    (folder / "config.yaml").write_text(text)
    with pytest.raises(CheckpointError):
        checkpoints.load(folder)


def test_off_line_one_sentence_says_where_to_put_the_files(tmp_path, monkeypatch):
    monkeypatch.setenv("MATTERGEN_MODELS", str(tmp_path))

    def unreachable(*_):
        raise OSError("no route")

    monkeypatch.setattr(published, "_fetch", unreachable)
    with pytest.raises(CheckpointError, match=r"put its config\.yaml and checkpoints/last\.ckpt into"):
        checkpoints.load("mattergen_base")


def test_what_the_hub_gives_is_verified(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("MATTERGEN_MODELS", str(tmp_path / "cache"))

    def fetch(address, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / path.relative_to(tmp_path / "cache" / ".space_group.partial"), path)

    monkeypatch.setattr(published, "_fetch", fetch)
    with pytest.raises(CheckpointError, match="is not the published file"):
        checkpoints.load("space_group")
    sums = dict(published.NAMES) | {"space_group": published._sha256(folder / "checkpoints" / "last.ckpt")}
    monkeypatch.setattr(published, "NAMES", sums)
    assert checkpoints.load("space_group").name == "space_group"
    monkeypatch.setattr(published, "_fetch", lambda *_: pytest.fail("cached models are not fetched again"))
    assert checkpoints.load("space_group").name == "space_group"
