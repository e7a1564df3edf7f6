"""The published MatterGen checkpoints: found by name, read without executing anything, translated into this network.

Only this module knows their keys and their configuration (section 9 of the facts).
"""

import hashlib
import logging
import os
import pickle
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from model.diffusion.coordinates import WrappedNoise
from model.diffusion.crystal import CrystalDiffusion
from model.diffusion.lattice import LatticeNoise
from model.diffusion.species import MaskNoise
from model.errors import CheckpointError
from model.network.denoiser import GemNetDenoiser
from model.network.gemnet import SIZES
from model.sampling.model import CrystalModel
from model.statistics import Statistics

logger = logging.getLogger(__name__)

NAMES: Mapping[str, str] = MappingProxyType({  # sha256 of checkpoints/last.ckpt
    "mattergen_base": "81668ee12afc1ee1b037f362420730de3460bfd2d36e547585fdcb911a3dfdef",
    "mp_20_base": "ffb80e4425a6f99f479a67b8cd111885d45117234e8947ff77eb3a55df420b9a",
    "chemical_system": "4ad21d977c2b776a31c92498c4d1c88d3e1e286deeb941e997af8e082310b80e",
    "space_group": "1b6ab06739f4319d75f4a19960840ec3c8d3d32ee842c996876ef9d8b188e4bb",
    "dft_mag_density": "01dd3e86805165412e0810e2a77a4756f8e1020f3ff2707c74af0a3f88a1bb8e",
    "dft_band_gap": "864ebbfd360e0a8287287d290a552da6b6bd92d67418a6a40be419ed3acd5e7e",
    "ml_bulk_modulus": "67f7f5e28695776ed285a293b30160f8b546063cbac4a763a36f6ca3f6242db6",
    "dft_mag_density_hhi_score": "98a4f2f9263b013d7d94a04c08e6928f90933d5f02c75f9b58c12609dddef016",
    "chemical_system_energy_above_hull": "50d4a51b109b178db98de82849d0ad14397b663526b2387caee3a643f27e326a",
})
LISTENS: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "mattergen_base": (),
    "mp_20_base": (),
    "chemical_system": ("chemical_system",),
    "space_group": ("space_group",),
    "dft_mag_density": ("dft_mag_density",),
    "dft_band_gap": ("dft_band_gap",),
    "ml_bulk_modulus": ("ml_bulk_modulus",),
    "dft_mag_density_hhi_score": ("dft_mag_density", "hhi_score"),
    "chemical_system_energy_above_hull": ("chemical_system", "energy_above_hull"),
})
_HUB = "https://huggingface.co/microsoft/mattergen/resolve/main/checkpoints"
_FILES = ("config.yaml", "checkpoints/last.ckpt")

_PREFIX = "diffusion_module.model."
_HARMLESS = ("lightning", "pytorch_lightning", "lightning_fabric", "omegaconf", "pathlib", "functools")

# training histogram of Alex-MP-20, n = 1 … 20; source: section 1.7
_ALEX_MP_20 = (140, 1704, 11754, 99438, 28367, 47448, 16558, 69908, 29767, 76693, 21739, 88669, 3648, 17397, 12292,
               27183, 792, 23517, 4262, 26408)
_KINDS = {
    "NoiseLevelEncoding": "scalar",
    "SpaceGroupEmbeddingVector": "space_group",
    "ChemicalSystemMultiHotEmbedding": "chemical_system",
}


def cache_folder() -> Path:
    """Where published models are kept: MATTERGEN_MODELS, or a folder in the user's cache."""
    default = Path.home() / ".cache" / "mattergen-design-workbench"
    return Path(os.environ.get("MATTERGEN_MODELS", default))


def find(name: str) -> Path:
    """The folder of a published model: from the cache, else fetched from its public hub and verified.

    Raises CheckpointError, saying where to put the files, when the hub cannot be reached or the file is another.
    """
    folder = cache_folder() / name
    if all((folder / file).exists() for file in _FILES):
        return _verified(folder, name)
    draft = folder.with_name(f".{name}.partial")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        for file in _FILES:
            _fetch(f"{_HUB}/{name}/{file}", draft / file)
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise CheckpointError(
            f"The published model {name} is not on this machine and its hub cannot be reached ({reason}); put its "
            f"config.yaml and checkpoints/last.ckpt into {folder}, or load a folder that holds them."
        ) from error
    try:
        _verified(draft, name)
    except CheckpointError:
        shutil.rmtree(draft)
        raise
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft.replace(folder)
    return folder


def _verified(folder: Path, name: str) -> Path:
    """The folder, if its checkpoint is the published one; a stamp beside it saves reading it all each time."""
    path, stamp = folder / _FILES[1], folder / "verified"
    state = path.stat()
    told = f"{NAMES[name]} {state.st_size} {state.st_mtime_ns}"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == told:
        return folder
    found = _sha256(path)
    if found != NAMES[name]:
        raise CheckpointError(
            f"{path} is not the published file of {name} (sha256 {found[:12]}..., expected {NAMES[name][:12]}...)."
        )
    stamp.write_text(told, encoding="utf-8")
    return folder


def load(folder: Path, name: str, *, device: torch.device | str = "cpu") -> CrystalModel:
    """A model out of a folder with config.yaml and checkpoints/last.ckpt.

    Raises CheckpointError where the files are damaged, name what is not known, or do not fit together.
    """
    told = _configuration(folder)
    _named(_at(told, "lightning_module", folder), ("DiffusionLightningModule",), folder)
    module = _at(told, "lightning_module.diffusion_module", folder)
    _named(module, ("DiffusionModule",), folder)
    denoiser = GemNetDenoiser(**_network(module, folder))
    weights = _translated(_state(_newest(folder), folder), denoiser, folder)
    denoiser.load_state_dict(weights)
    return CrystalModel(
        name=name,
        denoiser=denoiser.to(device).eval(),
        diffusion=_diffusion(module, folder),
        statistics=_statistics(),
        properties=denoiser.properties,
        facts={
            "source": "published MatterGen checkpoint (github.com/microsoft/mattergen)", "licence": "MIT",
            "sizes": "numbers of atoms are drawn as in Alex-MP-20, 607,684 crystals",
        } | _scales(denoiser),
    )


def _fetch(address: str, path: Path) -> None:
    import urllib.request  # only when someone asks for a published model by name

    path.parent.mkdir(parents=True, exist_ok=True)
    with urllib.request.urlopen(address, timeout=20) as answer, path.open("wb") as file:  # noqa: S310 - https, fixed host
        shutil.copyfileobj(answer, file)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _configuration(folder: Path) -> dict[str, Any]:
    import yaml  # only published folders are YAML; the core needs torch and NumPy alone

    try:
        told = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        problem = str(error).splitlines()[0]
        raise CheckpointError(f"The config.yaml of {folder} cannot be read: {problem}.") from error
    if not isinstance(told, dict):
        raise CheckpointError(f"The config.yaml of {folder} is not a published configuration.")
    return told


def _at(told: Mapping[str, Any], path: str, folder: Path) -> Any:
    """The entry at a dotted path, or a sentence saying that it is missing."""
    here: Any = told
    for key in path.split("."):
        if not isinstance(here, Mapping) or key not in here:
            raise CheckpointError(f"The config.yaml of {folder} lacks {path}, so it is no published model.")
        here = here[key]
    return here


def _named(entry: Mapping[str, Any], known: Mapping[str, str] | tuple[str, ...], folder: Path) -> str:
    """Last part of `_target_`, which must be a known class; class paths are only labels here."""
    target = str(entry.get("_target_", "nothing")) if isinstance(entry, Mapping) else str(entry)
    last = target.rsplit(".", 1)[-1]
    if last not in known and ".".join(target.split(".")[-2:]) not in known:
        raise CheckpointError(
            f"The config.yaml of {folder} names the unknown class {target}; known: {', '.join(known)}."
        )
    return last


def _network(module: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Arguments of our network out of the configuration (section 9.5)."""
    model = _at(module, "model", folder)
    _named(model, ("GemNetTDenoiser", "GemNetTAdapter"), folder)
    if model.get("property_embeddings"):
        raise CheckpointError(f"The model of {folder} was conditioned while it was trained; only adapters are known.")
    gemnet = dict(_at(model, "gemnet", folder))
    _named(gemnet, ("GemNetT", "GemNetTCtrl"), folder)
    ignored = {"_target_", "scale_file", "atom_embedding", "condition_on_adapt", "num_targets", "otf_graph",
               "regress_stress"}
    if strange := sorted(set(gemnet) - set(SIZES) - ignored):
        raise CheckpointError(
            f"The config.yaml of {folder} sets {', '.join(strange)}, which this network does not know."
        )
    properties = model.get("property_embeddings_adapt") or {}
    log10 = []
    for name, entry in properties.items():
        kind = _KINDS[_named(entry.get("conditional_embedding_module", {}), tuple(_KINDS), folder)]
        expected = name if name in _KINDS.values() else "scalar"
        if kind != expected:
            raise CheckpointError(f"The config.yaml of {folder} embeds {name} as {kind}, expected {expected}.")
        scaler = entry.get("scaler", {})
        if _named(scaler, ("StandardScalerTorch", "Identity"), folder) == "StandardScalerTorch" and scaler.get(
            "log10_transform"
        ):
            log10.append(name)
    return {
        "hidden": _at(model, "hidden_dim", folder),
        "properties": tuple(properties),
        "log10": tuple(log10),
        "energy": True,
        **{k: v for k, v in gemnet.items() if k in SIZES},
    }


def _diffusion(module: Mapping[str, Any], folder: Path) -> CrystalDiffusion:
    sdes = _at(module, "corruption.sdes", folder)
    pos, cell = _at(sdes, "pos", folder), _at(sdes, "cell.vpsde_config", folder)
    _named(pos, ("NumAtomsVarianceAdjustedWrappedVESDE",), folder)
    _named(sdes["cell"], ("LatticeVPSDE.from_vpsde_config",), folder)
    loss = module.get("loss_fn", {})
    weights = loss.get("weights", {})
    atoms = _at(module, "corruption", folder).get("discrete_corruptions", {}) or {}
    if "atomic_numbers" in atoms:
        _named(atoms["atomic_numbers"], ("D3PMCorruption",), folder)
    return CrystalDiffusion(
        coordinates=WrappedNoise(sigma_min=pos.get("sigma_min", 0.01), sigma_max=pos.get("sigma_max", 5.0)),
        lattice=LatticeNoise(
            beta_min=float(_at(cell, "beta_min", folder)),
            beta_max=float(_at(cell, "beta_max", folder)),
            density=float(_at(cell, "limit_density", folder)),
            variance=float(_at(cell, "limit_var_scaling_constant", folder)),
        ),
        species=MaskNoise(hybrid=loss.get("d3pm_hybrid_lambda", 0.01)) if "atomic_numbers" in atoms else None,
        weights=(weights.get("pos", 0.1), weights.get("cell", 1.0), weights.get("atomic_numbers", 1.0)),
    )


def _newest(folder: Path) -> Path:
    found = sorted(folder.rglob("*last.ckpt")) or sorted(folder.rglob("*.ckpt"))
    if not found:
        raise CheckpointError(f"{folder} holds no checkpoint; put last.ckpt into {folder / 'checkpoints'}.")
    return found[0]


class _Inert:
    """Takes the place of a harmless object that a checkpoint names: holds nothing, does nothing."""

    def __new__(cls, *_: object, **__: object) -> "_Inert":  # noqa: PYI034 - Self is refused by the shape checks
        return object.__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        """Arguments are dropped."""

    def __setstate__(self, _: object) -> None:
        """State is dropped."""


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The top-level dictionary of a Lightning checkpoint, read with `weights_only`.

    Classes of lightning, omegaconf, pathlib and functools become inert placeholders. Raises CheckpointError naming
    any other, and where the file is damaged.
    """
    try:
        named = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        _refuse_harmful(named, path)
        placeholders = [(type(n.rsplit(".", 1)[-1], (_Inert,), {}), n) for n in named]
        with torch.serialization.safe_globals(placeholders):
            told = torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path} holds what weights do not need, and was not opened: {_first(error)}") from error
    except Exception as error:  # zip, struct and pickle machinery raise many kinds on a damaged file
        raise CheckpointError(f"{path} is damaged or no checkpoint ({_first(error)}); fetch it again.") from error
    if not isinstance(told, dict) or not isinstance(told.get("state_dict"), dict):
        raise CheckpointError(f"{path} holds no state_dict, so it is no Lightning checkpoint.")
    return told


def _refuse_harmful(named: list[str], path: Path) -> None:
    harmful = sorted(n for n in named if n.split(".")[0] not in _HARMLESS)
    if harmful:
        raise CheckpointError(
            f"{path} names {', '.join(harmful)}, which no weights need; it was not opened. Take it from its publisher."
        )


def _first(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _state(path: Path, folder: Path) -> dict[str, Tensor]:
    state = read_checkpoint(path)["state_dict"]
    if strange := [k for k in state if not str(k).startswith(_PREFIX)]:
        raise CheckpointError(f"The checkpoint of {folder} holds unexpected keys: {', '.join(map(str, strange[:6]))}.")
    return {k.removeprefix(_PREFIX): v for k, v in state.items()}


def published_keys(denoiser: GemNetDenoiser) -> dict[str, str]:
    """For every key of a published checkpoint, the key of our network that it fills."""
    keys = {}
    for own in denoiser.state_dict():
        name = own.replace("adapters.cond_", "gemnet.cond_", 1) if own.startswith("adapters.") else own
        keys[name] = own
        if name.startswith("gemnet.out_blocks.") and ".layers." in name:  # stored twice
            keys[name.replace(".layers.", ".seq_energy.")] = own
    keys["gemnet.cbf_basis3.radial_basis.rbf.offset"] = "gemnet.radial_basis.rbf.offset"
    return keys


def _translated(state: Mapping[str, Tensor], denoiser: GemNetDenoiser, folder: Path) -> dict[str, Tensor]:
    keys, own = published_keys(denoiser), denoiser.state_dict()
    missing, extra = sorted(set(keys) - set(state)), sorted(set(state) - set(keys))
    wrong = sorted(k for k in set(keys) & set(state) if state[k].shape != own[keys[k]].shape)
    complaints = [
        f"{what}: {', '.join(names)}"
        for what, names in (("missing", missing), ("unexpected", extra), ("of another shape", wrong)) if names
    ]
    if complaints:
        raise CheckpointError(f"The checkpoint of {folder} does not fit its config.yaml ({'; '.join(complaints)}).")
    for name, to in keys.items():
        if name != to:
            logger.info("%s: %s is read as %s", folder.name, name, to)
    return {keys[name]: value.to(own[keys[name]].dtype) for name, value in state.items()}


def _statistics() -> Statistics:
    """What is known of the published training data: sizes and density."""
    sizes = dict(enumerate(_ALEX_MP_20, start=1))
    return Statistics(
        count=sum(_ALEX_MP_20), n_atoms=sizes, n_atoms_by_space_group={}, density=0.05771451654022283, elements={},
        chemical_systems=0, labels={},
    )


def _scales(denoiser: GemNetDenoiser) -> dict[str, str]:
    """Mean and standard deviation (spread) of each scalar's labels, all that a checkpoint remembers of them."""
    told = {}
    for name, embedding in denoiser.property_embeddings_adapt.items():
        if hasattr(embedding.scaler, "means"):
            mean, std = float(embedding.scaler.means), float(embedding.scaler.stds)
            scale = " of its log10" if embedding.scaler.log10 else ""
            told[f"labels of {name}"] = f"mean {mean:.4g}, spread {std:.4g}{scale}"
    return told
