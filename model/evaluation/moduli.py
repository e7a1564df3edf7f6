"""Bulk moduli of judged crystals, where they came to rest; how they were found is said on the scorecard."""

from collections.abc import Sequence
from dataclasses import replace

from model.evaluation.evaluate import Evaluation
from model.evaluation.means import Means
from model.properties.bulk_modulus import bulk_moduli
from model.properties.elastic import elasticity
from model.relax.potential import Potential

CURVE, TENSOR = "curve", "tensor"
WAYS = (CURVE, TENSOR)
NOTES = {
    CURVE: "Bulk moduli by {name}: Birch and Murnaghan's curve through energies at strains of ±3 %, atoms relaxed; "
           "against DFT 13 GPa mean absolute error (60 crystals, CHGNet).",
    TENSOR: "Bulk and shear moduli by {name}: Hill's averages of the elastic tensor, strains of ±2 %, atoms relaxed.",
}


def measure(
    evaluation: Evaluation, potential: Potential, way: str = CURVE, means: Means | None = None
) -> Evaluation:
    """The evaluation with bulk moduli in GPa: by the equation of state, or by the elastic tensor.

    Empty where the energy model failed, the crystal does not rest within the strains, or is unstable against one.
    Raises ValueError for another way.
    """
    if way not in WAYS:
        raise ValueError(f"Bulk moduli are found by {' or '.join(WAYS)}; found {way!r}.")
    crystals, means = evaluation.relaxation.crystals, means or Means()
    work = {
        "executor": means.executor, "watch": means.watch,
        "memory": means.at_rest(f"bulk-moduli-{way}", crystals, potential=potential.name),
    }  # fmt: skip
    if way == CURVE:
        found = states = bulk_moduli(crystals, potential, **work)
        columns = {
            "ml_bulk_modulus": [state.modulus for state in states],
            "bulk_modulus_misfit": [state.misfit for state in states],
        }
    else:
        found = elasticity(crystals, potential, **work)
        columns = {
            "ml_bulk_modulus": [one.bulk for one in found],
            "ml_shear_modulus": [one.shear for one in found],
            "elastic_anisotropy": [one.anisotropy for one in found],
        }
    columns["reason"] = _reasons(evaluation, [one.reason for one in found])
    card = evaluation.scorecard
    noted = replace(card, notes=(*card.notes, NOTES[way].format(name=potential.name)))
    return replace(evaluation, candidates=evaluation.candidates.learn(**columns), scorecard=noted)


def _reasons(evaluation: Evaluation, why: Sequence[str]) -> list[str]:
    """What was said of each crystal, and why it has no modulus; of one that could not be judged all is said already."""
    table = evaluation.candidates.table
    rows = zip(table["reason"].fillna("").astype(str), table["status"], why, strict=True)
    return [
        said if state == "failed" or not one else f"{said} No bulk modulus: {one}".strip() for said, state, one in rows
    ]
