"""Several adapters on one base: taught apart, worn together."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import nn

from model.network.denoiser import GemNetDenoiser
from model.sampling.model import ADAPTERS, CrystalModel, weights_hash
from model.statistics import Statistics


class MisfitError(ValueError):
    """Adapters that do not sit on one base."""


def wear(base: CrystalModel, adapters: Sequence[CrystalModel]) -> CrystalModel:
    """One model that listens to all properties of several models fine-tuned from the same base.

    Each must have left the base's weights alone (adapter-only fine-tuning); that is checked weight by weight. When
    crystals are generated, each adapter adds its own guidance term to the one free answer of the base.

    Raises MisfitError for models on another base, fully fine-tuned ones, or two that listen to one property.
    """
    heard: dict[str, CrystalModel] = {}
    for adapter in adapters:
        _check(base, adapter, heard)
        heard |= dict.fromkeys(adapter.properties, adapter)
    log10 = [p for p, a in heard.items() if p in a.denoiser.arguments["log10"]]
    sizes = {k: v for k, v in base.denoiser.arguments.items() if k not in ("properties", "log10")}
    together = GemNetDenoiser(**sizes, properties=tuple(heard), log10=tuple(log10))
    weights = dict(base.denoiser.state_dict())
    for adapter in adapters:
        weights |= {k: v for k, v in adapter.denoiser.state_dict().items() if k.startswith(ADAPTERS)}
    together.load_state_dict(weights)
    device = next(base.denoiser.parameters()).device
    return CrystalModel(
        name="+".join(a.name for a in adapters),
        denoiser=together.to(device).eval(),
        diffusion=base.diffusion,
        statistics=_joined(base, heard),
        properties=tuple(heard),
        groups=tuple(a.properties for a in adapters),
        base=base.hash,
    )


def worn(models: Sequence[CrystalModel]) -> CrystalModel:
    """One model out of several: itself if it is alone, else the base among them (or under them) with all adapters.

    Raises MisfitError as `wear` does, and for more than one base.
    """
    if len(models) == 1:
        return models[0]
    bases, adapters = [m for m in models if not m.properties], [m for m in models if m.properties]
    if len(bases) > 1:
        raise MisfitError(f"{', '.join(m.name for m in bases)} listen to no property; wear adapters on one of them.")
    return wear(bases[0] if bases else undressed(adapters[0]), adapters)


def undressed(model: CrystalModel) -> CrystalModel:
    """The base under a model's adapters: the same weights without them."""
    sizes = {k: v for k, v in model.denoiser.arguments.items() if k not in ("properties", "log10")}
    bare = GemNetDenoiser(**sizes)
    bare.load_state_dict({k: v for k, v in model.denoiser.state_dict().items() if not k.startswith(ADAPTERS)})
    device = next(model.denoiser.parameters()).device
    return replace(
        model, name=f"the base of {model.name}", denoiser=bare.to(device).eval(), properties=(), groups=None, base=None
    )


def _check(base: CrystalModel, adapter: CrystalModel, heard: Mapping[str, CrystalModel]) -> None:
    if twice := sorted(set(adapter.properties) & set(heard)):
        raise MisfitError(f"{adapter.name} and {heard[twice[0]].name} both listen to {', '.join(twice)}; wear one.")
    if not adapter.properties:
        raise MisfitError(f"{adapter.name} listens to no property, so there is nothing to wear.")
    if not isinstance(adapter.denoiser, nn.Module) or weights_hash(adapter.denoiser) != base.hash:
        raise MisfitError(
            f"{adapter.name} does not sit on {base.name} ({base.hash}): it was fine-tuned fully or from another base, "
            "so it has no free answer in common; use it alone, or fine-tune its adapter only."
        )


def _joined(base: CrystalModel, heard: Mapping[str, CrystalModel]) -> Statistics:
    """The base's statistics, with each property's labels as its own adapter was taught them."""
    labels = dict(base.statistics.labels)
    for name, adapter in heard.items():
        if name in adapter.statistics.labels:
            labels[name] = adapter.statistics.labels[name]
    told = {name: getattr(base.statistics, name) for name in base.statistics.__dataclass_fields__}
    return Statistics(**told | {"labels": labels})
