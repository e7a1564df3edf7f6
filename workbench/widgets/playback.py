"""How one crystal lost its noise, played back: a small picture, a slider, and what was decided when."""

from typing import Any

import ipywidgets as W
import numpy as np

from model.crystals import MASK, Crystals
from workbench.state import Path
from workbench.views import structure as view
from workbench.widgets.progress import ProgressView


class Playback(W.HBox):
    """The kept steps of a denoising path; hidden while there is none to show."""

    def __init__(self) -> None:
        self.picture = ProgressView()
        self.play = W.Play(interval=150, tooltip="Play the path")
        self.slider = W.IntSlider(readout=False, description="Step", layout=W.Layout(width="auto", flex="1 1 auto"))
        W.jslink((self.play, "value"), (self.slider, "value"))
        controls = W.VBox([self.slider, self.play])
        controls.add_class("mgb-controls")
        super().__init__([self.picture, controls])
        self.add_class("mgb-playback")
        self._path: Path | None = None
        self.slider.observe(lambda _: self._draw(), "value")
        self.show(None)

    def show(self, path: Path | None) -> None:
        """Show a path from its beginning; None hides the playback."""
        self.layout.display = "none" if path is None else ""
        if path is self._path:
            return
        self._path = path
        last = 0 if path is None else len(path.frames) - 1
        for part in (self.play, self.slider):
            part.max, part.value = last, 0
        self._draw()

    def _draw(self) -> None:
        if self._path is None or not len(self._path.frames):
            self.picture.scene = {}
            return
        at = min(self.slider.value, len(self._path.frames) - 1)
        frame = self._path.frames[at]
        scene = view.preview(frame)
        if scene:
            scene["facts"] = [f"step {self._path.steps[at]} of {self._path.steps[-1]}", *facts(frame)]
        self.picture.scene = scene


def facts(frame: Crystals) -> list[str]:
    """What can be said of an unfinished crystal: volume, undecided atoms, and the entropy of its elements."""
    undecided = int((frame.numbers == MASK).sum())
    volume = float(np.abs(np.linalg.det(frame.cell[0].double().numpy())))
    total = int(frame.n_atoms[0])
    _, counts = np.unique(frame.numbers[frame.numbers != MASK].numpy(), return_counts=True)
    shares = counts / counts.sum() if counts.sum() else np.zeros(0)
    entropy = float(-(shares * np.log(shares)).sum()) + 0.0
    said: list[Any] = [f"{undecided} of {total} atoms undecided", f"species entropy {entropy:.2f}", f"{volume:.1f} Å³"]
    if not undecided:
        said.append(f"space group {_group(frame)}")
    return said


def _group(frame: Crystals) -> str:
    from model.io import space_group, to_structures

    return space_group(to_structures(frame)[0])[0]
