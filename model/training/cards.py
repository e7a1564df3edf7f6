"""The card of a shipped model: what it was taught, how, and what its crystals were judged to be. No number by hand."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from model import checkpoints
from model.sampling.model import CrystalModel

SCORECARD, RUN = "scorecard.json", "run.json"


class CardError(ValueError):
    """A judged folder without what a card needs."""


def write_card(folder: Path, judged: Sequence[Path], words: str = "") -> Path:
    """Write `card.md` beside a model, and the first scorecard as `scorecard.json`.

    Parameters
    ----------
    folder
        A model of ours: model.json and weights.
    judged
        Folders that `workbench evaluate` made of runs of this model; the run lies beside each.
    words
        What people should know besides: a few paragraphs of Markdown.

    Raises CardError where a folder holds no scorecard, or one of another model's run.

    """
    model = checkpoints.load(folder)
    parts = [f"# {model.name}", *([words.strip()] if words.strip() else []), "## Training", training(model)]
    for place in judged:
        told = _run_of(place)
        if told.get("model", {}).get("hash") not in (None, model.hash):
            raise CardError(f"{place} judges crystals of another model ({told['model']['name']}).")
        parts += [f"## Quality: {asked(told)}", quality(_scorecard(place))]
    if judged:
        shutil.copyfile(judged[0] / SCORECARD, folder / SCORECARD)
    card = folder / "card.md"
    card.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return card


def training(model: CrystalModel) -> str:
    """What a model listens to and how it was taught, from what its own file says."""
    facts, recipe = model.facts, model.facts.get("recipe", {})
    lines = [f"{model.size:,} parameters, hash {model.hash}."]
    if model.base:
        lines.append(f"Adapters on the base {model.base}, whose weights they leave alone.")
    for name in model.properties:
        label = model.statistics.labels.get(name)
        if label is not None and label.n:
            lines.append(f"Listens to `{name}`: n = {label.n} labels from {label.low:.4g} to {label.high:.4g}, mean "
                         f"{label.mean:.4g}, standard deviation {label.std:.4g}.")
        else:
            lines.append(f"Listens to `{name}`.")
    if recipe:
        lines.append(
            f"Taught on {facts.get('crystals', 0):,} crystals in {facts.get('steps', 0):,} steps of "
            f"{recipe['batch_size']}, learning rate {recipe['learning_rate']:g} (rising over {recipe['warmup']} "
            f"steps, falling over the last {recipe['decay']:.0%}), moving average {recipe['average']:g}, "
            f"{recipe['precision']}, seed {recipe['seed']}; begun from {facts.get('started_from') or 'chance'}."
        )
    lines += [str(line) for line in facts.get("said", ())]
    return "  \n".join(lines)


def asked(run: Mapping[str, Any]) -> str:
    """What a run asked for, in a line."""
    constraints, method = run.get("constraints", {}), run.get("method", {})
    wishes = [f"{k} = {v}" for k, v in constraints.get("targets", {}).items()]
    wishes += [f"{k.replace('_', ' ')} {constraints[k]}" for k in ("space_group", "chemical_system", "formula")
               if constraints.get(k)]
    ways = [f"{k.replace('_', ' ')} {v}" for k, v in method.items() if isinstance(v, int | float | str)]
    return ", ".join(wishes or ["nothing asked"]) + f" (n = {constraints.get('count', '?')}; {', '.join(ways)})"


def quality(scorecard: Mapping[str, Any]) -> str:
    """A scorecard as a table: every metric with its value, interval and n."""
    basis = (
        f"n = {scorecard['made']} made, {scorecard['judged']} judged; energies {scorecard['energy_model']}; reference "
        f"{scorecard['reference']}; intervals 95 % (Wilson)."
    )
    head = [basis, "", "| | value | n |", "|---|---|---|"]
    rows = [f"| {name} | {value} | {n} |" for name, value, n in _rows(scorecard["metrics"])]
    missing = [f"{name}: {reason}" for name, reason in list(scorecard.get("missing", {}).items())[:5]]
    return "\n".join(head + rows + (["", "Not judged: " + " ".join(missing)] if missing else []))


def _rows(metrics: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str, int]]:
    for name, metric in metrics.items():
        value, low, high = metric.get("value"), metric.get("low"), metric.get("high")
        if value is None:
            continue
        if metric.get("hits") is not None:
            text = f"{value:.1%}" + (f" [{low:.1%}, {high:.1%}], {metric['hits']}" if low is not None else "")
        else:
            text = f"{value:.4g} {metric.get('unit', '')}".rstrip()
        yield name, text, metric["n"]


def _scorecard(folder: Path) -> dict[str, Any]:
    path = folder / SCORECARD
    if not path.exists():
        raise CardError(f"{folder} holds no {SCORECARD}; judge the run first: workbench evaluate.")
    return json.loads(path.read_text(encoding="utf-8"))


def _run_of(judged: Path) -> dict[str, Any]:
    """What the judged run says of itself: beside it, under the same name without `-evaluated`."""
    beside = judged.with_name(judged.name.removesuffix("-evaluated")) / RUN
    inside = judged / RUN
    path = inside if inside.exists() else beside
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
