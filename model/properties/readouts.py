"""Properties read off a crystal by a taught network (Appendix D.6.1), each with the error it was found to have."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from model.crystals import Crystals
from model.network.readout import Readout
from model.tensors import read_tensors, write_tensors

SHIPPED = Path(__file__).resolve().parents[1] / "weights"  # readouts lie beside the shipped models
# labels that a readout may be taught, and the columns that hold what it says
PREDICTED: Mapping[str, str] = MappingProxyType({
    "dft_band_gap": "ml_band_gap", "band_gap": "ml_band_gap", "dft_bulk_modulus": "predicted_bulk_modulus",
    "ml_bulk_modulus": "predicted_bulk_modulus", "bulk_modulus": "predicted_bulk_modulus",
})  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Report:
    """Error on held-out rows, in the property's unit, beside that of always saying the taught mean."""

    label: str
    taught: int
    held_out: int
    mean_absolute_error: float
    error_of_the_mean: float

    @property
    def note(self) -> str:
        """The same in words, for a scorecard."""
        return (
            f"{PREDICTED.get(self.label, self.label)} is predicted by a readout of {self.label}: mean absolute error "
            f"{self.mean_absolute_error:.3g} on {self.held_out} held-out crystals, taught on {self.taught} (always "
            f"saying the mean: {self.error_of_the_mean:.3g})."
        )


def predict(readout: Readout, crystals: Crystals, batch_size: int = 64) -> Tensor:
    """The property of each crystal, in its unit."""
    crystals = crystals.replace(frac=crystals.frac.float(), cell=crystals.cell.float())
    rows = torch.arange(len(crystals)).split(batch_size)
    with torch.no_grad():
        parts = [readout(crystals[part]) for part in rows]
    return torch.cat(parts) if parts else torch.zeros(0)


def save(readout: Readout, report: Report, folder: Path) -> None:
    """Write weights and what is known of them."""
    write_tensors(folder / "readout.safetensors", readout.state_dict())
    told = {"readout": readout.arguments, "report": asdict(report)}
    (folder / "readout.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def load(folder: Path) -> tuple[Readout, Report]:
    """A readout and the error it had when it was taught."""
    told = json.loads((folder / "readout.json").read_text(encoding="utf-8"))
    readout = Readout(**told["readout"])
    readout.load_state_dict(read_tensors(folder / "readout.safetensors"))
    return readout.eval(), Report(**told["report"])


@cache
def shipped() -> Mapping[str, tuple[Readout, Report]]:
    """The readouts that the package brings, by the label they were taught."""
    found = [load(path.parent) for path in sorted(SHIPPED.glob("*/readout.json"))]
    return MappingProxyType({report.label: (readout, report) for readout, report in found})
