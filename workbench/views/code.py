"""The Python and the command line that do what the bench would do."""

import shlex
from collections.abc import Mapping

from model.constraints import Constraints, Target

_DEFAULT = Constraints()


def python(constraints: Constraints, model: str, steps: int) -> str:
    """A cell that generates the same crystals."""
    arguments = [f"    {name}={value}," for name, value in _arguments(constraints)]
    imports = "from model import Constraints, generate, load" + (", Target" if constraints.targets else "")
    return "\n".join(
        [
            imports,
            "",
            "constraints = Constraints(",
            *arguments,
            ")",
            f"crystals = generate(load({model!r}), constraints, steps={steps})",
        ]
    )


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


def command(constraints: Constraints, model: str, steps: int, out: str = "crystals") -> str:
    """The command line that does the same."""
    words = ["workbench", "generate", "--model", model]
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
    if isinstance(constraints.guidance, Mapping):
        return "# the command line takes one strength of guidance for all properties; use the Python for several"
    if constraints.guidance != _DEFAULT.guidance:
        words += ["--guidance", repr(constraints.guidance)]
    words += ["--count", str(constraints.count), "--steps", str(steps), "--seed", str(constraints.seed), "--out", out]
    return shlex.join(words)


def _range(target: Target) -> str:
    return repr(target.low) if target.low == target.high else f"{target.low!r}:{target.high!r}"
