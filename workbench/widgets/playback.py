"""How one crystal lost its noise, played back: a small picture, curves along the path, and a slider over both."""

import ipywidgets as W

from workbench.paths import AnyPath
from workbench.views import path as along
from workbench.views import structure as view
from workbench.views import style
from workbench.widgets.base import Plot
from workbench.widgets.progress import ProgressView


class Playback(W.VBox):
    """The kept steps of a denoising path; hidden while there is none to show."""

    def __init__(self) -> None:
        self.picture = ProgressView()
        self.curves = Plot(inks=style.INKS, label="Undecided atoms, species entropy, volume and space group by step")
        self.play = W.Play(interval=150, tooltip="Play the path", description="Play the path")
        self.slider = W.IntSlider(readout=False, description="Step", layout=W.Layout(width="auto", flex="1 1 auto"))
        W.jslink((self.play, "value"), (self.slider, "value"))
        pictures, controls = W.HBox([self.picture, self.curves]), W.HBox([self.play, self.slider])
        pictures.add_class("mgb-path")
        controls.add_class("mgb-controls")
        super().__init__([pictures, controls])
        self.add_class("mgb-playback")
        self._path: AnyPath | None = None
        self._course: along.Course | None = None
        self.slider.observe(lambda _: self._draw(), "value")
        self.show(None)

    def show(self, path: AnyPath | None) -> None:
        """Show a path from its beginning; None hides the playback. Raises PathError where it cannot be read."""
        if path is not None and path is not self._path:
            self._path, self._course = None, None
            found = along.course(path)
            self._path, self._frames, self._course = path, path.frames, found
            self.curves.figure = style.to_widget(along.figure(found))
            for part in (self.play, self.slider):
                part.max, part.value = len(found.steps) - 1, 0
            self._draw()
        self.layout.display = "none" if path is None else ""

    def _draw(self) -> None:
        if self._course is None:
            self.picture.scene, self.curves.cursor = {}, []
            return
        at = min(self.slider.value, len(self._frames) - 1)
        scene = view.preview(self._frames[at])
        if scene:
            scene["facts"] = self._course.says(at)
        self.picture.scene = scene
        self.curves.cursor = [self._course.steps[at]]
