"""What all of the bench's own widgets have in common: shipped JavaScript and CSS, and libraries sent once a page."""

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import anywidget
import traitlets

STATIC = Path(__file__).with_name("static")


@cache
def module(name: str) -> str:
    """Text of a widget's JavaScript module, with what all share in front."""
    return "\n".join((STATIC / part).read_text(encoding="utf-8") for part in ("shared.js", name))


@cache
def stylesheet() -> str:
    """Text of the one stylesheet."""
    return (STATIC / "workbench.css").read_text(encoding="utf-8")


def _package(name: str) -> Path:
    """Folder of an installed package, without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"The viewer needs the package {name}: pip install {name.replace('_', '-')}.")
    return Path(next(iter(spec.submodule_search_locations)))


def _newest(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern), key=lambda file: [int(n) for n in file.name.split("@")[1].split(".")[:3]])
    if not found:
        raise FileNotFoundError(f"The viewer needs {pattern} in {folder}; reinstall dash.")
    return found[-1]


@cache
def library_files(name: str) -> tuple[Path, ...]:
    """Files of a browser library that an installed package ships, in the order they are run.

    Raises FileNotFoundError where a package or a file in it is missing.
    """
    if name == "plotly":
        return (_existing(_package("plotly") / "package_data" / "plotly.min.js"),)
    if name == "crystal-toolkit":
        deps = _package("dash") / "deps"
        return (
            _newest(deps, "react@18*.min.js"),
            _newest(deps, "react-dom@18*.min.js"),
            _newest(deps, "prop-types@*.min.js"),
            _existing(_package("dash_mp_components") / "dash_mp_components.min.js"),
        )
    raise FileNotFoundError(f"No browser library is called {name!r}; there are plotly and crystal-toolkit.")


def _existing(file: Path) -> Path:
    if not file.is_file():
        raise FileNotFoundError(f"The viewer needs {file}; reinstall the package it belongs to.")
    return file


class Widget(anywidget.AnyWidget):
    """A widget with the bench's stylesheet that answers when its page asks for a library."""

    told: ClassVar[tuple[str, ...]] = ()  # traits that the page may set by message as well

    _css = traitlets.Unicode(stylesheet()).tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self.on_msg(self._serve)

    def _serve(self, _widget: Any, message: Any, _buffers: Any) -> None:
        kind = message.get("kind") if isinstance(message, dict) else None
        if kind == "set":  # the same values also come as state; see `tell` in shared.js
            told = {name: value for name, value in message["values"].items() if name in self.told}
            # locked as state that comes from the page is: sent back, it would undo what was clicked since
            with self._lock_property(**told), self.hold_trait_notifications():
                for name, value in told.items():
                    self.set_trait(name, value)
        if kind != "library":
            return
        files = library_files(str(message.get("name")))
        self.send({"kind": "library", "name": message["name"]}, buffers=[file.read_bytes() for file in files])


class Notice(Widget):
    """One sentence under a panel, with a traceback one click away."""

    _esm = module("notice.js")
    sentence = traitlets.Unicode("").tag(sync=True)
    kind = traitlets.Unicode("info").tag(sync=True)
    details = traitlets.Unicode("").tag(sync=True)


class Code(Widget):
    """Python or shell text with a copy button; hands files to the browser as well."""

    _esm = module("code.js")
    text = traitlets.Unicode("").tag(sync=True)
    label = traitlets.Unicode("Code").tag(sync=True)

    def download(self, name: str, data: bytes, mime: str) -> None:
        """Give the browser a file to save."""
        self.send({"kind": "download", "name": name, "mime": mime}, buffers=[data])


class Plot(Widget):
    """One plotly figure; all plots of a page share one plotly.js.

    `clicked` is {"id": custom data of the point, "n": a growing number}; `brushed` is [low, high] of a selection along
    the x axis, or empty; `cursor` is [x] of an upright line, or empty. `inks` are the figure's own colours that are
    exchanged for the theme's.
    """

    _esm = module("plot.js")
    figure = traitlets.Unicode("").tag(sync=True)
    label = traitlets.Unicode("Figure").tag(sync=True)
    inks = traitlets.Dict().tag(sync=True)
    clicked = traitlets.Dict().tag(sync=True)
    brushed = traitlets.List().tag(sync=True)
    cursor = traitlets.List().tag(sync=True)
