"""Elastic tensor from stresses along six strains: moduli of crystals that are not alike in all directions.

Averages over directions after Voigt, Reuss and Hill; the fit and the averages are pymatgen's. Edge: pymatgen.
Source: M. de Jong et al., Sci. Data 2, 150009 (2015).
"""

import warnings
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
import torch

from model.crystals import Crystals
from model.execution import INLINE, Watch, silent
from model.relax.potential import GPA, Potential
from model.relax.reading import read
from model.relax.relaxer import Memory, relax
from model.shapes import Float

# Of each of the six strain states: the smallest stencil that centres the slope. Strains are as large as those of the
# equation of state, because the energies of CHGNet are rough: of ±0.5 % they make copper 35 % too hard.
STRAINS = (-0.02, 0.02)
FMAX = 0.002  # eV/Å; what moves the atoms of a cell strained so little is itself small
_NAN = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Elasticity:
    """Elastic moduli of a crystal in GPa.

    `bulk` and `shear` are Hill's averages of Voigt's upper and Reuss's lower bound, `anisotropy` the universal index
    (0: alike in all directions), `tensor` Voigt's 6 x 6 form. `ions` says whether the atoms were relaxed in each
    strained cell; clamped atoms make a crystal look harder. `reason` says why the moduli are NaN, where they are.
    """

    bulk: float
    bulk_voigt: float
    bulk_reuss: float
    shear: float
    anisotropy: float
    tensor: Float[np.ndarray, "6 6"]
    ions: bool
    reason: str = ""


def elasticity(
    crystals: Crystals,
    potential: Potential,
    *,
    strains: Sequence[float] = STRAINS,
    relax_ions: bool = True,
    fmax: float = FMAX,
    steps: int = 200,
    executor: Executor = INLINE,
    watch: Watch = silent,
    memory: Memory | None = None,
) -> list[Elasticity]:
    """Elastic moduli of every crystal, which should be relaxed already; with `relax_ions` in every strained cell.

    A crystal that is unstable against a strain, or on which the potential fails, gets NaN and the reason. With a
    `memory` of the strained cells, what an interrupted measurement relaxed is not relaxed again.
    """
    each = deformations(strains)
    strained = Crystals.join([
        crystal.replace(frac=crystal.frac.double(), cell=crystal.cell.double() @ torch.from_numpy(one.T.copy()))
        for crystal in crystals
        for one in each
    ])  # fmt: skip
    if relax_ions and len(strained):
        strained = relax(
            strained, potential, fmax=fmax, steps=steps, cell=False, executor=executor, watch=watch, memory=memory,
        ).crystals
    found = []
    for row in range(len(crystals)):
        part = strained[row * len(each) : (row + 1) * len(each)]
        rest = read(potential, crystals[[row]])
        reading = read(potential, part)
        if declined := [*rest.declined.values(), *reading.declined.values()]:
            found.append(nothing(declined[0], ions=relax_ions))
            continue
        found.append(moduli(
            each, (reading.stress * GPA).numpy(), (rest.stress[0] * GPA).numpy(), ions=relax_ions
        ))  # fmt: skip
    return found


def deformations(strains: Sequence[float] = STRAINS) -> Float[np.ndarray, "deformations 3 3"]:
    """How a cell's column vectors are deformed: each strain of each of the six states (xx, yy, zz, yz, xz, xy)."""
    from pymatgen.analysis.elasticity import Strain

    states = [Strain.from_voigt(strain * state) for state in np.eye(6) for strain in strains]
    return np.array([np.array(state.get_deformation_matrix(shape="upper")) for state in states])


def moduli(
    deformed: Float[np.ndarray, "deformations 3 3"],
    stresses: Float[np.ndarray, "deformations 3 3"],
    at_rest: Float[np.ndarray, "3 3"] | None = None,
    *,
    ions: bool,
) -> Elasticity:
    """Moduli from Cauchy stresses in GPa (positive where the cell wants to shrink) under known deformations."""
    from pymatgen.analysis.elasticity import Deformation, ElasticTensor, Strain, Stress

    at_rest = np.zeros((3, 3)) if at_rest is None else at_rest
    strains = [Strain.from_deformation(one) for one in deformed]
    pulls = [Stress(s - at_rest).piola_kirchoff_2(Deformation(d)) for s, d in zip(stresses, deformed, strict=True)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the stress at rest, which has been taken off
        tensor = ElasticTensor.from_independent_strains(strains, [Stress((p + p.T) / 2) for p in pulls])
    voigt = np.array(tensor.voigt, dtype=float)
    voigt = (voigt + voigt.T) / 2
    if not np.isfinite(voigt).all():
        return nothing("Its stresses are not numbers.", ions=ions)
    tensor = ElasticTensor.from_voigt(voigt)
    if np.linalg.eigvalsh(voigt).min() <= 0:
        return nothing("It is unstable against a strain: an eigenvalue of its elastic tensor is negative.", ions=ions,
                       tensor=voigt)  # fmt: skip
    return Elasticity(
        bulk=float(tensor.k_vrh), bulk_voigt=float(tensor.k_voigt), bulk_reuss=float(tensor.k_reuss),
        shear=float(tensor.g_vrh), anisotropy=float(tensor.universal_anisotropy), tensor=voigt, ions=ions,
    )  # fmt: skip


def nothing(reason: str, *, ions: bool, tensor: Float[np.ndarray, "6 6"] | None = None) -> Elasticity:
    """No moduli, for a reason."""
    tensor = np.full((6, 6), np.nan) if tensor is None else tensor
    return Elasticity(
        bulk=_NAN, bulk_voigt=_NAN, bulk_reuss=_NAN, shear=_NAN, anisotropy=_NAN, tensor=tensor, ions=ions,
        reason=reason,
    )  # fmt: skip
