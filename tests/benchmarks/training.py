"""Recipes side by side at small scale: which average, schedule, times and size lower the held-out loss soonest.

    python tests/benchmarks/training.py DATA --steps 400

DATA is a folder of `workbench data prepare`. Every recipe differs from the first in one thing, sees the same crystals at the
same noise, and is judged on the same held-out crystals at noise that is the same for all. The first is run with a second
seed too: a difference smaller than between these two says nothing.
"""

import argparse
import csv
import tempfile
import time
from pathlib import Path

from model.training.presets import PRESETS, Recipe
from model.training.run import train

HALF = {**PRESETS["small"].network, "hidden": 64, "num_blocks": 2, "num_radial": 32, "emb_size_trip": 16, "emb_size_bil_trip": 16}
PARTS = ("loss", "frac", "cell", "numbers")


def recipes(steps: int) -> dict[str, Recipe]:
    """The recipes by name, the first being what the others are held against."""
    first = PRESETS["small"].but(
        network=HALF, steps=steps, batch_size=16, warmup=steps // 20, learning_rate=2e-3, decay=0.3, average=0.99, validate_every=steps,
        validation_crystals=512, checkpoint_every=10 * steps,
    )
    return {
        "first": first,
        "another seed": first.but(seed=1),
        "no average": first.but(average=0.0),
        "average 0.999": first.but(average=0.999),
        "learning rate 1e-3": first.but(learning_rate=1e-3),
        "learning rate 4e-3": first.but(learning_rate=4e-3),
        "no fall": first.but(decay=0.0),
        "falling from the start": first.but(decay=1.0),
        "no rise": first.but(warmup=0),
        "plain times": first.but(times="plain"),
        "batch 8, twice the steps": first.but(batch_size=8, steps=2 * steps, warmup=steps // 10, validate_every=2 * steps),
        "batch 32, half the steps": first.but(batch_size=32, steps=steps // 2, warmup=steps // 40, validate_every=steps // 2),
        "32 wide, 1 block": first.but(network=dict(PRESETS["tiny"].network)),
        "128 wide, 3 blocks": first.but(network=dict(PRESETS["small"].network)),
    }


def outcome(data: Path, recipe: Recipe) -> dict[str, float]:
    """Held-out losses at the end of a run, its parameters, and its seconds a step."""
    with tempfile.TemporaryDirectory() as room:
        start = time.perf_counter()
        made = train(data, Path(room) / "run", recipe, accelerator="cpu", progress=False)
        took = time.perf_counter() - start
        with next((Path(room) / "run").glob("logs/version_*/metrics.csv")).open() as file:
            last = [row for row in csv.DictReader(file) if row.get("loss_val")][-1]
    return {"parameters": made.size, "seconds": took} | {part: float(last[f"{part}_val"]) for part in PARTS}


def main() -> None:
    """Print a line a recipe, as it is done."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("data", type=Path)
    asked.add_argument("--steps", type=int, default=400)
    asked.add_argument("--only", nargs="*", help="names of recipes")
    told = asked.parse_args()
    print(f"{'recipe':26}{'parameters':>11}{'seconds':>9}{'loss':>9}{'coordinates':>13}{'cell':>9}{'elements':>10}")
    for name, recipe in recipes(told.steps).items():
        if told.only and name not in told.only:
            continue
        found = outcome(told.data, recipe)
        print(f"{name:26}{found['parameters']:>11,}{found['seconds']:>9.0f}{found['loss']:>9.4f}{found['frac']:>13.4f}"
              f"{found['cell']:>9.4f}{found['numbers']:>10.4f}", flush=True)


if __name__ == "__main__":
    main()
