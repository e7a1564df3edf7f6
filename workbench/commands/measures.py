"""What `workbench evaluate` learns beside its verdicts where it is asked to: stories, moduli, predicted properties."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from model.evaluation.evaluate import Evaluation
    from model.evaluation.means import Means
    from model.network.readout import Readout
    from model.properties.readouts import Report
    from model.relax.potential import Potential

Measure = Callable[["Evaluation", "Means"], "Evaluation"]


def measures(
    potential: "Potential", *, story: bool = False, bulk_modulus: str = "", readouts: Sequence[Path] = ()
) -> list[Measure]:
    """What the shipped readouts predict, and what was asked for; readouts of one's own go before the shipped.

    Raises ValueError for a way or a readout that is not there.
    """
    from model.evaluation.moduli import WAYS
    from model.properties.readouts import PREDICTED, shipped

    if bulk_modulus and bulk_modulus not in WAYS:
        raise ValueError(f"Bulk moduli are found by {' or '.join(WAYS)}; found {bulk_modulus!r}.")
    told = [_read(folder) for folder in readouts]
    taken = {PREDICTED[report.label] for _, report in told}
    told += [one for label, one in shipped().items() if PREDICTED[label] not in taken]
    found = [_predicting(*one) for one in told]
    if story:
        found.append(_tell)
    if bulk_modulus:
        from model.evaluation.moduli import measure

        def moduli(evaluation: "Evaluation", means: "Means") -> "Evaluation":
            with means.stages("bulk moduli"):
                return measure(evaluation, potential, bulk_modulus, means)

        found.append(moduli)
    return found


def _tell(evaluation: "Evaluation", means: "Means") -> "Evaluation":
    from model.evaluation.prototypes import tell

    with means.stages("stories"):
        return replace(evaluation, candidates=tell(evaluation.candidates, evaluation.relaxation.crystals, means))


def _read(folder: Path) -> "tuple[Readout, Report]":
    from model.properties.readouts import PREDICTED, load

    try:
        readout, report = load(folder)
    except (OSError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{folder} holds no readout ({error}); teach one with: workbench model teach.") from error
    if report.label not in PREDICTED:
        raise ValueError(f"A readout of {report.label} has no column; there are {', '.join(PREDICTED)}.")
    return readout, report


def _predicting(readout: "Readout", report: "Report") -> Measure:
    """What a readout says of relaxed crystals, with its error on the scorecard."""
    from model.properties.readouts import PREDICTED, predict

    def predicted(evaluation: "Evaluation", means: "Means") -> "Evaluation":
        judged = np.array(evaluation.candidates.table["status"] == "judged")  # a copy that torch may hold
        values = np.full(len(judged), np.nan)
        with means.stages("readouts"):
            values[judged] = predict(readout, evaluation.relaxation.crystals[torch.from_numpy(judged)]).numpy()
        card = evaluation.scorecard
        return replace(
            evaluation, candidates=evaluation.candidates.learn(**{PREDICTED[report.label]: values}),
            scorecard=replace(card, notes=(*card.notes, report.note)),
        )  # fmt: skip

    return predicted
