"""Whether charges can balance: the SMACT test of a composition. Edge: smact."""

import warnings
from collections.abc import Mapping

from model.elements import NUMBERS


def balanced(composition: Mapping[str, float]) -> bool:
    """Whether a composition passes SMACT: neutral with known oxidation states, anions the more electronegative.

    A single element and an alloy of metals pass. Oxidation states are SMACT's own of 2014, as in MatterGen's
    `comp_validity`. Source: Davies et al., J. Open Source Softw. 4, 1361 (2019).
    """
    if not set(composition) <= set(NUMBERS):  # an undecided atom has no charge to balance
        return False
    if len(composition) == 1:
        return True
    from pymatgen.core import Composition

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SMACT tells of elements without an electronegativity; they pass
        from smact.screening import smact_validity

        return bool(smact_validity(Composition(dict(composition)), oxidation_states_set="smact14"))
