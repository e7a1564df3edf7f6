"""The same calculations as an atomate2 flow, where atomate2 is installed. Edge: atomate2, jobflow."""

from typing import TYPE_CHECKING, Any

from model.crystals import Crystals

if TYPE_CHECKING:
    from collections.abc import Sequence


def flow(crystals: Crystals, names: "Sequence[str]", *, elastic: bool = False) -> Any:
    """A jobflow Flow: two relaxations and a static calculation of each crystal with the Materials Project's settings.

    With `elastic`, the elastic tensor after them. Raises ImportError, with the way to get it, without atomate2.
    """
    try:
        from atomate2.vasp.flows.elastic import ElasticMaker
        from atomate2.vasp.flows.mp import MPGGADoubleRelaxStaticMaker
        from jobflow import Flow
    except ImportError as error:
        raise ImportError("A flow of calculations needs atomate2: pip install atomate2") from error
    from model.io import to_structures

    parts = []
    for name, structure in zip(names, to_structures(crystals), strict=True):
        rest = MPGGADoubleRelaxStaticMaker(name=f"{name}: relax, relax, static").make(structure)
        parts.append(rest)
        if elastic:
            maker = ElasticMaker(name=f"{name}: elastic", bulk_relax_maker=None)
            parts.append(maker.make(rest.output.structure))
    return Flow(parts, name="candidates of the MatterGen design workbench")
