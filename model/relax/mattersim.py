"""MatterSim as a potential, where it and its weights are installed. Edge: mattersim."""

from pathlib import Path

from model.relax.ase import AsePotential

FOLDER = Path("~/.local/mattersim/pretrained_models")  # where MatterSim itself keeps its weights
DEFAULT = "mattersim-v1.0.0-1M.pth"


def mattersim(weights: str | Path = DEFAULT, device: str = "cpu") -> AsePotential:
    """MatterSim's potential from a file of weights, or from one of its own that MatterSim keeps in the home folder.

    Nothing is fetched: MatterSim would, were it given a name alone. Elemental energies are not shipped; they are fitted
    once with `workbench reference fit`. Raises ImportError where MatterSim, and FileNotFoundError where the file is not
    there, each with the way to get it.
    """
    try:
        from mattersim.forcefield import MatterSimCalculator
    except ImportError as error:
        raise ImportError(
            "Relaxing with MatterSim needs mattersim (pip install mattersim) and its weights in a file."
        ) from error
    file = _file(Path(weights))
    kind = file.stem.replace("mattersim", "MatterSim", 1)
    name = kind if kind.startswith("MatterSim") else f"MatterSim {kind}"
    return AsePotential(MatterSimCalculator(load_path=str(file), device=device), name=name)


def _file(weights: Path) -> Path:
    kept = FOLDER.expanduser() / weights.name.replace("MatterSim", "mattersim", 1)
    for file in (weights.expanduser(), kept, kept.with_name(kept.name + ".pth")):
        if file.is_file():
            return file.resolve()
    raise FileNotFoundError(
        f"MatterSim's weights are not in {weights}, nor in {kept}. Fetch the file once from MatterSim's repository "
        "(pretrained_models/) and put it there, or name where it is."
    )
