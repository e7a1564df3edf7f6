"""What `workbench evaluate` learns beside its verdicts where it is asked to: stories, moduli, predicted properties."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from model.execution import Watch

if TYPE_CHECKING:
    from model.evaluation.evaluate import Evaluation
    from model.relax.potential import Potential

Measure = Callable[["Evaluation", Executor, Watch], "Evaluation"]
# readouts and the columns that hold what they say
PREDICTED = {"dft_band_gap": "ml_band_gap", "band_gap": "ml_band_gap", "dft_bulk_modulus": "predicted_bulk_modulus",
             "ml_bulk_modulus": "predicted_bulk_modulus"}  # fmt: skip


def measures(
    potential: "Potential", *, story: bool = False, bulk_modulus: str = "", readouts: Sequence[Path] = ()
) -> list[Measure]:
    """What was asked for, in order. Raises ValueError for a way or a readout that is not there."""
    from model.evaluation.moduli import WAYS

    if bulk_modulus and bulk_modulus not in WAYS:
        raise ValueError(f"Bulk moduli are found by {' or '.join(WAYS)}; found {bulk_modulus!r}.")
    found: list[Measure] = [_predicting(folder) for folder in readouts]
    if story:
        found.append(_tell)
    if bulk_modulus:
        from model.evaluation.moduli import measure

        def moduli(evaluation: "Evaluation", executor: Executor, watch: Watch) -> "Evaluation":
            return measure(evaluation, potential, bulk_modulus, executor=executor, watch=watch)

        found.append(moduli)
    return found


def _tell(evaluation: "Evaluation", executor: Executor, watch: Watch) -> "Evaluation":
    from model.evaluation.prototypes import tell

    relaxed = evaluation.relaxation.crystals
    return replace(evaluation, candidates=tell(evaluation.candidates, relaxed, executor=executor, watch=watch))


def _predicting(folder: Path) -> Measure:
    """What a readout says of relaxed crystals, with its error on the scorecard."""
    from model.training.regression import load, predict

    try:
        readout, report = load(folder)
    except (OSError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{folder} holds no readout ({error}); teach one with: workbench model teach.") from error
    if report.label not in PREDICTED:
        raise ValueError(f"A readout of {report.label} has no column; there are {', '.join(PREDICTED)}.")
    note = (
        f"{PREDICTED[report.label]} is predicted by a readout of {report.label}: mean absolute error "
        f"{report.mean_absolute_error:.3g} on {report.held_out} held-out crystals, taught on {report.taught} (always "
        f"saying the mean: {report.error_of_the_mean:.3g})."
    )

    def predicted(evaluation: "Evaluation", _: Executor, __: Watch) -> "Evaluation":
        relaxed = evaluation.relaxation.crystals
        values = predict(readout, relaxed.replace(frac=relaxed.frac.float(), cell=relaxed.cell.float()))
        card = evaluation.scorecard
        return replace(
            evaluation, candidates=evaluation.candidates.learn(**{PREDICTED[report.label]: values.double().numpy()}),
            scorecard=replace(card, notes=(*card.notes, note)),
        )  # fmt: skip

    return predicted
