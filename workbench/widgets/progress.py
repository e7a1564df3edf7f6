"""Bars of a run and a small picture of a crystal; used by the generate panel and by the playback of a path."""

import traitlets

from workbench.widgets.base import Widget, module


class ProgressView(Widget):
    """`run` as the bars draw it, empty for none; `scene` as `views.structure.preview` gives it, empty for none."""

    _esm = module("progress.js")
    run = traitlets.Dict().tag(sync=True)
    scene = traitlets.Dict().tag(sync=True)
