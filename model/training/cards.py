"""The card of a shipped model: what it was taught, how, and what its crystals were judged to be. No number by hand."""

import csv
import gzip
import json
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from model import checkpoints
from model.sampling.model import CrystalModel

SCORECARD, RUN, TABLE = "scorecard.json", "run.json", "candidates.csv"


class CardError(ValueError):
    """A judged folder without what a card needs."""


def write_card(folder: Path, judged: Sequence[Path], words: str = "", table: Path | None = None) -> Path:
    """Write `card.md` beside a model, and the first scorecard, with what was asked and obtained, as `scorecard.json`.

    Parameters
    ----------
    folder
        A model of ours: model.json and weights.
    judged
        Folders that `workbench evaluate` made of runs of this model; the run lies beside each.
    words
        What people should know besides: a few paragraphs of Markdown.
    table
        A CSV of the first run's crystals with the properties asked for; its own candidates.csv unless given.

    Raises CardError where a folder holds no scorecard, or one of another model's run.

    """
    model = checkpoints.load(folder)
    parts = [f"# {model.name}", *([words.strip()] if words.strip() else []), "## Training", training(model)]
    kept: dict[str, Any] = {}
    for place in judged:
        told = _run_of(place)
        if told.get("model", {}).get("hash") not in (None, model.hash):
            raise CardError(f"{place} judges crystals of another model ({told['model']['name']}).")
        card = _scorecard(place) | {"run": {k: told[k] for k in ("constraints", "method") if k in told}}
        parts.append(f"## Quality: {asked(told)}")
        if not kept:
            columns = _columns(table or place / TABLE)
            kept = card | {"obtained": obtained(model, told.get("constraints", {}).get("targets", {}), columns)}
            parts += [in_words(kept["obtained"])] if kept["obtained"] else []
        parts.append(quality(card))
    if kept:
        text = json.dumps(kept, indent=1, ensure_ascii=False) + "\n"
        (folder / SCORECARD).write_text(text, encoding="utf-8")
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
    method = run.get("method", {})
    ways = [f"{k.replace('_', ' ')} {v}" for k, v in method.items() if isinstance(v, int | float | str)]
    count = run.get("constraints", {}).get("count", "?")
    return f"{_wishes(run)} (n = {count}; {', '.join(ways)})"


def _wishes(run: Mapping[str, Any]) -> str:
    """Targets and hard constraints of a run, in words."""
    constraints = run.get("constraints", {})
    wishes = [f"{k} = {_wish(v)}" for k, v in constraints.get("targets", {}).items()]
    if system := constraints.get("chemical_system"):
        wishes.append(system if isinstance(system, str) else "-".join(system))
    wishes += [f"{k.replace('_', ' ')} {constraints[k]}" for k in ("space_group", "formula") if constraints.get(k)]
    return ", ".join(wishes) or "nothing asked"


def obtained(
    model: CrystalModel, targets: Mapping[str, Any], columns: Mapping[str, Sequence[float]]
) -> dict[str, dict[str, Any]]:
    """For each target, how the crystals' values lie beside those of the crystals the model was taught on."""
    found = {}
    for name, target in targets.items():
        values = [value for value in columns.get(name, ()) if math.isfinite(value)]
        taught = model.statistics.labels.get(name)
        if values and taught is not None and taught.n:
            found[name] = {"target": _wish(target), "n": len(values), "median": statistics.median(values),
                           "mean": statistics.fmean(values), "taught_mean": taught.mean, "taught_most": taught.high}
    return found


def _wish(target: "float | Sequence[float]") -> str:
    """A target in words: a number, or a range."""
    if isinstance(target, int | float):
        return f"{target:g}"
    low, high = target
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def in_words(found: Mapping[str, Mapping[str, Any]]) -> str:
    """What was obtained, a sentence for each property."""
    return "  \n".join(
        f"`{name}` asked {one['target']}: obtained median {one['median']:.4g}, mean {one['mean']:.4g} "
        f"(n = {one['n']}); those taught have mean {one['taught_mean']:.4g}, at most {one['taught_most']:.4g}."
        for name, one in found.items()
    )


def honest_table(weights: Path) -> str:
    """All shipped models side by side, from their scorecards: what was asked, how good and how obedient."""
    rows = ["| model | asked | n | steps | stable | S.U.N. | RMSD, atoms paired | P1 | obtained |", f"|{'---|' * 9}"]
    for path in sorted(weights.glob(f"*/{SCORECARD}")):
        card = json.loads(path.read_text(encoding="utf-8"))
        metrics = card["metrics"]
        got = [f"median {one['median']:.3g} (data: mean {one['taught_mean']:.3g})"
               for one in card.get("obtained", {}).values()]
        if (hits := metrics.get("space group as asked", {}).get("value")) is not None:
            got.append(f"{hits:.1%} in the group asked for")
        shares = [f"{m['value']:.1%} [{m['low']:.1%}, {m['high']:.1%}]" for m in (metrics["stable"], metrics["S.U.N."])]
        far, plain = (metrics.get(name, {}).get("value") for name in ("RMSD, atoms paired", "P1"))
        moved, flat = (f"{far:.2f} Å" if far is not None else ""), (f"{plain:.0%}" if plain is not None else "")
        cells = [f"`{path.parent.name}`", _wishes(card.get("run", {})), str(card["made"]), _walk(card.get("run", {})),
                 *shares, moved, flat, ", ".join(got)]  # fmt: skip
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _walk(run: Mapping[str, Any]) -> str:
    """How many steps a run took, and whether with a corrector."""
    method = run.get("method", {})
    return f"{method.get('steps', '')}{' and corrector' if method.get('corrections') else ''}"


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


def _columns(path: Path) -> dict[str, list[float]]:
    """The numeric columns of a CSV, NaN where a cell is no number."""
    if not path.exists():
        return {}
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8", newline="") as file:
        csv.field_size_limit(2**24)  # structures are long
        rows = list(csv.DictReader(file))
    return {name: [_number(row[name]) for row in rows] for name in (rows[0] if rows else ())}


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


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
