"""MatterSim as a potential, where it is installed. Edge: mattersim."""

from model.relax.ase import AsePotential


def mattersim(weights: str = "MatterSim-v1.0.0-1M.pth", device: str = "cpu") -> AsePotential:
    """MatterSim's potential from a file of weights (or a name that MatterSim finds in its own cache).

    Raises ImportError, with the way to get it, where MatterSim is not installed.
    """
    try:
        from mattersim.forcefield import MatterSimCalculator
    except ImportError as error:
        raise ImportError(
            "Relaxing with MatterSim needs mattersim: pip install mattersim; its weights are fetched once, on-line."
        ) from error
    return AsePotential(MatterSimCalculator(load_path=weights, device=device), name=weights.removesuffix(".pth"))
