"""Models on disk: ours (JSON and safetensors) and the published MatterGen folders, told apart by what lies in them."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from model import published
from model.diffusion.coordinates import WrappedNoise
from model.diffusion.crystal import CrystalDiffusion
from model.diffusion.lattice import LatticeNoise
from model.diffusion.species import MaskNoise
from model.errors import CheckpointError
from model.network.denoiser import GemNetDenoiser
from model.sampling.model import ADAPTERS, CrystalModel
from model.statistics import Statistics
from model.tensors import DamagedFileError, read_tensors, write_tensors

FORMAT = 1
SHIPPED = Path(__file__).with_name("weights")
_JSON, _WEIGHTS = "model.json", "model.safetensors"


def own_folder() -> Path:
    """Where models of one's own lie to be loaded by name: WORKBENCH_MODELS, or a folder in the user's data."""
    default = Path.home() / ".local" / "share" / "mattergen-design-workbench" / "models"
    return Path(os.environ.get("WORKBENCH_MODELS") or default)


def available() -> list[str]:
    """Names of the models that the package ships, and of one's own."""
    return sorted({p.parent.name for place in (SHIPPED, own_folder()) for p in place.glob(f"*/{_JSON}")})


def load(name: str | Path, *, device: torch.device | str = "cpu") -> CrystalModel:
    """A model by name (shipped, one's own, or published) or by folder (ours or MatterGen's).

    Raises CheckpointError where there is no such model, or where its files are damaged or do not fit together.
    """
    folder = Path(name)
    if not any((folder / file).exists() for file in (_JSON, "config.yaml")) and str(name) in available():
        places = (place / str(name) for place in (SHIPPED, own_folder()))  # also where a stray folder has the name
        folder = next(place for place in places if (place / _JSON).exists())
    if (folder / _JSON).exists():
        return _load_ours(folder, device)
    if not folder.exists():
        if str(name) in published.NAMES:
            return published.load(published.find(str(name)), str(name), device=device)
        raise CheckpointError(
            f"There is no model {str(name)!r}: there are {', '.join(available()) or 'none'}, "
            f"published are {', '.join(published.NAMES)}; or name a folder."
        )
    if (folder / "config.yaml").exists():
        return published.load(folder, folder.name, device=device)
    raise CheckpointError(f"{folder} holds neither {_JSON} (ours) nor config.yaml (MatterGen's), so it is no model.")


def save(model: CrystalModel, folder: Path | str, *, dtype: torch.dtype = torch.float32) -> None:
    """Write a model as JSON and safetensors into a folder that does not exist yet.

    Of a model whose adapters sit on a base, the adapters alone are written. Raises FileExistsError where the folder
    exists.
    """
    folder = Path(folder)
    if folder.exists():
        raise FileExistsError(f"{folder} exists already and is not overwritten; name another folder.")
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    weights = {
        name: value.to(dtype) if value.is_floating_point() else value
        for name, value in model.denoiser.state_dict().items()
        if model.base is None or name.startswith(ADAPTERS)
    }
    write_tensors(partial / _WEIGHTS, weights)
    (partial / _JSON).write_text(json.dumps(describe(model), indent=1) + "\n", encoding="utf-8")
    partial.replace(folder)


def describe(model: CrystalModel) -> dict[str, Any]:
    """What `save` writes beside the weights."""
    return {
        "format": FORMAT,
        "name": model.name,
        "hash": model.hash,
        "denoiser": model.denoiser.arguments,
        "diffusion": _diffusion_json(model.diffusion),
        "properties": list(model.properties),
        "groups": None if model.groups is None else [list(group) for group in model.groups],
        "base": model.base,
        "statistics": model.statistics.to_json(),
        "facts": dict(model.facts),
    }


def _load_ours(folder: Path, device: torch.device | str) -> CrystalModel:
    try:
        told = json.loads((folder / _JSON).read_text(encoding="utf-8"))
        if told.get("format") != FORMAT:
            raise CheckpointError(f"{folder} is of format {told.get('format')!r}; this version reads {FORMAT}.")
        denoiser = GemNetDenoiser(**told["denoiser"])
        statistics = Statistics.from_json(told["statistics"])
        diffusion = _diffusion(told["diffusion"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder / _JSON} does not describe a model: {error}.") from error
    try:
        weights = read_tensors(folder / _WEIGHTS)
        if told.get("base") and all(name.startswith(ADAPTERS) for name in weights):
            weights |= _weights_of_base(told["base"], told["name"])
        fill(denoiser, weights, folder)
    except (FileNotFoundError, DamagedFileError) as error:
        raise CheckpointError(f"The weights of {folder} cannot be read: {error}.") from error
    return CrystalModel(
        name=told["name"],
        denoiser=denoiser.to(device).eval(),
        diffusion=diffusion,
        statistics=statistics,
        properties=tuple(told["properties"]),
        groups=None if told.get("groups") is None else tuple(tuple(group) for group in told["groups"]),
        base=told.get("base"),
        facts=told.get("facts", {}),
    )


def _weights_of_base(wanted: str, name: str) -> Mapping[str, torch.Tensor]:
    """The weights that adapters sit on, found by their hash among the models that are here by name."""
    for place in (SHIPPED, own_folder()):
        for file in sorted(place.glob(f"*/{_JSON}")):
            told = json.loads(file.read_text(encoding="utf-8"))
            if not told.get("base") and told.get("hash", wanted) == wanted:
                base = load(file.parent)
                if base.hash == wanted:
                    return base.denoiser.state_dict()
    raise CheckpointError(
        f"{name} holds adapters alone, and their base {wanted} is not here: put its folder into {own_folder()}."
    )


def fill(denoiser: torch.nn.Module, weights: Mapping[str, torch.Tensor], source: Path | str) -> None:
    """Give a network its weights. Raises CheckpointError that lists what is missing, unexpected or misshapen."""
    own = denoiser.state_dict()
    missing, extra = sorted(set(own) - set(weights)), sorted(set(weights) - set(own))
    wrong = sorted(k for k in set(own) & set(weights) if own[k].shape != weights[k].shape)
    if missing or extra or wrong:
        parts = [f"{what}: {', '.join(keys[:6])}{f' and {len(keys) - 6} more' if len(keys) > 6 else ''}"
                 for what, keys in (("missing", missing), ("unexpected", extra), ("of another shape", wrong)) if keys]
        raise CheckpointError(f"The weights of {source} do not fit the network it describes ({'; '.join(parts)}).")
    denoiser.load_state_dict({k: v.to(own[k].dtype) for k, v in weights.items()})


def _diffusion_json(diffusion: CrystalDiffusion) -> dict[str, Any]:
    x, cell = diffusion.coordinates, diffusion.lattice
    return {
        "coordinates": {"sigma_min": x.sigma_min, "sigma_max": x.sigma_max},
        "lattice": {
            "beta_min": cell.beta_min, "beta_max": cell.beta_max, "density": cell.density, "variance": cell.variance,
            "beforehand": cell.beforehand,
        },
        "species": None if diffusion.species is None else {"hybrid": diffusion.species.hybrid},
        "weights": list(diffusion.weights),
        "snr": list(diffusion.snr),
    }


def _diffusion(told: Mapping[str, Any]) -> CrystalDiffusion:
    known = told["lattice"].get("beforehand")
    return CrystalDiffusion(
        coordinates=WrappedNoise(**told["coordinates"]),
        lattice=LatticeNoise(**told["lattice"] | {"beforehand": tuple(known) if known else None}),
        species=None if told["species"] is None else MaskNoise(**told["species"]),
        weights=tuple(told["weights"]),
        snr=tuple(told["snr"]),
    )
