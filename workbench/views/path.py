"""How a crystal lost its noise: undecided atoms, entropy of the species, volume and space group, step by step."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from model.crystals import MASK, Crystals
from workbench.paths import AnyPath
from workbench.views import style

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


@dataclass(frozen=True)
class Course:
    """What can be said of a path, a value a kept step.

    `entropy` is the Shannon entropy of the elements decided so far, in nats: 0 where all are alike; `volume` is in Å³
    an atom; `group` is the space group within 0.1 Å, 0 while an atom is undecided, with its `symbols`.
    """

    steps: tuple[int, ...]
    undecided: np.ndarray
    entropy: np.ndarray
    volume: np.ndarray
    group: np.ndarray
    symbols: tuple[str, ...]

    def says(self, at: int) -> list[str]:
        """The same in words, at one of the kept steps."""
        said = [
            f"step {self.steps[at]} of {self.steps[-1]}",
            f"{self.undecided[at]:.0%} of the atoms undecided",
            f"species entropy {self.entropy[at]:.2f}",
            f"{self.volume[at]:.1f} Å³ an atom",
        ]
        return [*said, f"space group {self.symbols[at]}"] if self.group[at] else said


def course(path: AnyPath) -> Course:
    """Read a path from its first kept step to its last."""
    frames = path.frames
    undecided = [float((frame.numbers == MASK).double().mean()) for frame in frames]
    groups = [("", 0) if unsure else _group(frame) for unsure, frame in zip(undecided, frames, strict=True)]
    return Course(
        steps=tuple(path.steps),
        undecided=np.array(undecided),
        entropy=np.array([species_entropy(frame) for frame in frames]),
        volume=np.array([_volume(frame) for frame in frames]),
        group=np.array([number for _, number in groups]),
        symbols=tuple(symbol for symbol, _ in groups),
    )


def species_entropy(frame: Crystals) -> float:
    """Shannon entropy of the elements of the decided atoms, in nats."""
    _, counts = np.unique(frame.numbers[frame.numbers != MASK].numpy(), return_counts=True)
    shares = counts / max(counts.sum(), 1)
    return float(-(shares * np.log(shares)).sum()) + 0.0


def _volume(frame: Crystals) -> float:
    return float(np.abs(np.linalg.det(frame.cell[0].double().numpy()))) / int(frame.n_atoms[0])


def _group(frame: Crystals) -> tuple[str, int]:
    from model.io import space_group, to_structures

    if not (np.isfinite(frame.frac.numpy()).all() and np.isfinite(frame.cell.numpy()).all()):
        return "", 0
    return space_group(to_structures(frame)[0])


def figure(found: Course) -> "Figure":
    """Four small curves under each other over the denoising steps."""
    import plotly.graph_objects as go

    rows: list[tuple[str, np.ndarray, str, Any]] = [
        ("undecided", found.undecided, style.DIM, None),
        ("entropy", found.entropy, style.ACCENT, None),
        ("Å³/atom", found.volume, style.WARN, None),
        ("group", np.where(found.group > 0, found.group, np.nan), style.GOOD, list(found.symbols)),
    ]
    traces, layout, notes, high = [], {}, [], 1.0
    for i, (name, values, colour, symbols) in enumerate(rows):
        low = 1 - (i + 1) / len(rows)
        suffix = "" if i == 0 else str(i + 1)
        traces.append(
            go.Scatter(
                x=found.steps, y=values, mode="lines", yaxis=f"y{suffix}", text=symbols, name=name,
                line={"color": colour, "width": 1.6, "shape": "hv" if symbols else "linear"}, connectgaps=False,
                hovertemplate=f"step %{{x}}: {name} " + ("%{text}" if symbols else "%{y:.2f}") + "<extra></extra>",
            )
        )
        layout[f"yaxis{suffix}"] = style.axis(
            domain=[low + 0.03, high - 0.03], nticks=2, showticklabels=symbols is None, showgrid=False,
            automargin=False, anchor="x", ticks="", rangemode="tozero", zeroline=False,
            tickfont={"size": 10, "color": style.DIM},
        )
        notes.append({
            "text": name, "x": 1, "y": (high + low) / 2 - 0.01, "xref": "paper", "yref": "paper", "xanchor": "left",
            "yanchor": "middle", "showarrow": False, "font": {"size": 10.5, "color": colour}, "xshift": 4,
        })
        high = low
    return style.figure(
        traces,
        **layout,
        xaxis=style.axis("", anchor=f"y{len(rows)}", tickfont={"size": 10, "color": style.DIM}, showgrid=False),
        annotations=notes,
        showlegend=False,
        margin={"l": 30, "r": 62, "t": 2, "b": 18},
        hovermode="x",
    )
