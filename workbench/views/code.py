"""The Python and the command line that do what the bench would do."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from model.constraints import Constraints, Target

_DEFAULT = Constraints()
DIFFUSION = "diffusion"
_SETTINGS = {"relaxed": "--learn-from", "reference": "--reference", "data": "--data", "readouts": "--readout"}


def python(
    constraints: Constraints,
    model: str,
    steps: int,
    *,
    corrections: int = 0,
    at_once: int | None = None,
    way: str = DIFFUSION,
    told: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """A cell that makes the same crystals: with a model (`base+one+other` wears adapters), or by another way."""
    ours = way == DIFFUSION
    parts = model.split("+") if "+" in model and not Path(model).exists() else [model]
    names = ["Constraints", *(["Target"] if constraints.targets else []), *(["generate", "load"] if ours else [])]
    loads = [f"load({name!r})" for name in parts]
    loaded = f"worn([{', '.join(loads)}])" if len(loads) > 1 else loads[0]
    batch = f", batch_size={at_once}" if at_once else ""
    walk = f"steps={steps}" + (f", corrections={corrections}" if corrections else "")
    lines = [
        f"from model import {', '.join(names)}",
        *([] if ours else ["from workbench.methods import WAYS"]),
        *(["from model.sampling.wear import worn"] if ours and len(loads) > 1 else []),
        "",
        "constraints = Constraints(",
        *(f"    {name}={value}," for name, value in _arguments(constraints)),
        ")",
        f"crystals = generate({loaded}, constraints, {walk}{batch})"
        if ours
        else f"crystals = WAYS[{way!r}].proposer({dict(told)!r})(constraints)",
    ]
    return "\n".join(lines)


def judging(*, moduli: bool = False, reference: str = "") -> str:
    """A cell that judges what `python` made, against a reference of one's own or the shipped one.

    It measures bulk moduli where the bench did.
    """
    own = f", reference=Reference.load({reference!r})" if reference else ""
    return "\n".join([
        "from model import evaluate",
        *(["from model.evaluation.moduli import measure"] if moduli else []),
        *(["from model.evaluation.reference import Reference"] if reference else []),
        "from model.record import candidates_of",
        *(["from model.relax.chgnet import CHGNetPotential"] if moduli else []),
        "",
        f"judged = evaluate(candidates_of(crystals, constraints), constraints=constraints{own})",
        *(["judged = measure(judged, CHGNetPotential())"] if moduli else []),
        "print(judged.scorecard)",
    ])


def picture(folder: str, view: str, call: str) -> str:
    """A cell that draws a figure of the bench again, out of the folder in which its session is kept."""
    return "\n".join([
        "from pathlib import Path",
        "",
        "from workbench.sessions import store",
        view,
        "",
        f"session = store.load(Path({folder!r})).session",
        call,
    ])


def _arguments(constraints: Constraints) -> list[tuple[str, str]]:
    """What differs from the defaults, as Python; count and seed always."""
    out = []
    if constraints.chemical_system:
        out.append(("chemical_system", repr("-".join(sorted(constraints.chemical_system)))))
    if constraints.allowed:
        out.append(("allowed", _set(constraints.allowed)))
    if constraints.excluded:
        out.append(("excluded", _set(constraints.excluded)))
    if constraints.formula:
        out.append(("formula", repr(constraints.formula)))
    if constraints.space_group:
        out.append(("space_group", str(constraints.space_group)))
    if constraints.targets:
        inner = ", ".join(f"{name!r}: Target({t.low!r}, {t.high!r})" for name, t in constraints.targets.items())
        out.append(("targets", "{" + inner + "}"))
    if constraints.n_atoms is not None:
        out.append(("n_atoms", repr(constraints.n_atoms)))
    if constraints.guidance != _DEFAULT.guidance:
        out.append(("guidance", repr(constraints.guidance)))
    return [*out, ("count", str(constraints.count)), ("seed", str(constraints.seed))]


def _set(symbols: frozenset[str]) -> str:
    return "{" + ", ".join(repr(s) for s in sorted(symbols)) + "}"


def command(
    constraints: Constraints,
    model: str,
    steps: int,
    *,
    corrections: int = 0,
    at_once: int | None = None,
    way: str = DIFFUSION,
    told: Mapping[str, str] = MappingProxyType({}),
    out: str = "crystals",
) -> str:
    """The command line that does the same."""
    if way != DIFFUSION:
        settings = [
            word for name, value in told.items() for one in value.split(",") for word in (_flag(name), one.strip())
        ]
        flags = _flags(constraints)
        if way == "screening":  # which has no chance in it, and so no seed
            flags = flags[:-2]
        return shlex.join(["workbench", "propose", way, *settings, *flags, "--out", out])
    words = ["workbench", "generate", "--model", model, *_flags(constraints), "--steps", str(steps)]
    if corrections:
        words += ["--corrections", str(corrections)]
    if at_once:
        words += ["--batch-size", str(at_once)]
    return shlex.join([*words, "--out", out])


def _flag(setting: str) -> str:
    return _SETTINGS.get(setting, f"--{setting.replace('_', '-')}")


def _flags(constraints: Constraints) -> list[str]:
    """What differs from the defaults, as flags; count and seed always."""
    words = []
    if constraints.chemical_system:
        words += ["--chemical-system", "-".join(sorted(constraints.chemical_system))]
    for flag, symbols in (("--allowed", constraints.allowed), ("--excluded", constraints.excluded)):
        if symbols:
            words += [flag, "-".join(sorted(symbols))]
    if constraints.formula:
        words += ["--formula", constraints.formula]
    if constraints.space_group:
        words += ["--space-group", str(constraints.space_group)]
    for name, target in constraints.targets.items():
        words += ["--target", f"{name}={_range(target)}"]
    if constraints.n_atoms is not None:
        low, high = constraints.atom_range
        words += ["--atoms", str(low) if low == high else f"{low}:{high}"]
    told = constraints.guidance
    if isinstance(told, Mapping):
        words += [word for name, value in sorted(told.items()) for word in ("--guidance", f"{name}={value!r}")]
    elif told != _DEFAULT.guidance:
        words += ["--guidance", repr(told)]
    return [*words, "--count", str(constraints.count), "--seed", str(constraints.seed)]


def _range(target: Target) -> str:
    return repr(target.low) if target.low == target.high else f"{target.low!r}:{target.high!r}"
