"""What the training notebooks need: sizes of recipes, learning curves of runs, and the pace of this machine."""

import logging
import tempfile
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.training.presets import PRESETS, Recipe

if TYPE_CHECKING:
    import pandas as pd

PAPER_DATA = 607_683  # crystals of Alex-MP-20, which the published base model saw


def quiet() -> None:
    """Training says nothing but what the notebook asks it: Lightning's notes of its own versions are left out."""
    for name in ("lightning", "lightning.pytorch", "lightning.fabric", "pytorch_lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning|pytorch_lightning")


def sizes(presets: Mapping[str, Recipe] = PRESETS) -> "pd.DataFrame":
    """A row a preset: parameters of its network, steps, crystals a step, and crystals seen in all."""
    import pandas as pd

    from model.network.denoiser import GemNetDenoiser

    rows = {}
    for name, recipe in presets.items():
        network = GemNetDenoiser(**recipe.network)
        rows[name] = {"parameters": sum(p.numel() for p in network.parameters()), "steps": recipe.steps,
                      "crystals a step": recipe.batch_size, "crystals seen": recipe.steps * recipe.batch_size,
                      "learning rate": recipe.learning_rate}  # fmt: skip
    return pd.DataFrame(rows).T


def curve(run: Path) -> "pd.DataFrame":
    """The losses that a training run has written so far, in the order of its steps. Raises FileNotFoundError."""
    import pandas as pd

    files = sorted(run.glob("logs/version_*/metrics.csv"), key=lambda file: int(file.parent.name.split("_")[1]))
    if not files:
        raise FileNotFoundError(f"{run} holds no logs of a training run.")
    return pd.concat([pd.read_csv(file) for file in files], ignore_index=True).sort_values("step", kind="stable")


def pace(recipe: Recipe, data: Path, *, fewer: int = 3, more: int = 11) -> float:
    """Seconds of one core that a training step takes: how much more a run of `more` steps takes than one of `fewer`."""
    from model.training.run import train

    taken = []
    for steps in (fewer, more):
        with tempfile.TemporaryDirectory() as room:
            short = recipe.but(steps=steps, validate_every=steps, validation_crystals=8, checkpoint_every=10**6)
            begun = time.process_time()
            train(data, Path(room) / "run", short, progress=False, accelerator="cpu")
            taken.append(time.process_time() - begun)
    return (taken[1] - taken[0]) / (more - fewer)


def budgets(seconds: Mapping[str, float], crystals: int, hours: tuple[float, ...] = (1.0, 10.0)) -> "pd.DataFrame":
    """How far one core with so many seconds a step gets: steps and passes over so many training crystals."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for name, step in seconds.items():
        for budget in hours:
            steps = int(budget * 3600 / step)
            rows.append({"preset": name, "hours": budget, "seconds a step": step, "steps": steps,
                         "share of the recipe": steps / PRESETS[name].steps,
                         "passes over the data": steps * PRESETS[name].batch_size / crystals})  # fmt: skip
    return pd.DataFrame(rows)
