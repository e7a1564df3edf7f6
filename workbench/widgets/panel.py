"""Panel: a title, a body, and the Notice line where what went wrong is said."""

import contextlib
import functools
import threading
import traceback
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import ipywidgets as W
from traitlets import TraitError

from workbench.state import State
from workbench.widgets.base import Code, Notice


class Panel(W.VBox):
    """One region of the bench over the shared state, usable alone in a notebook cell."""

    name = "panel"
    heading = "Panel"

    def __init__(self, state: State | None = None) -> None:
        self.state = state if state is not None else State()
        self._title = W.HTML(layout=W.Layout(flex="1 1 auto"))
        self._title.add_class("mgb-title")
        self.notice = Notice()
        self.notice.add_class("mgb-notice")
        super().__init__()
        for name in ("mgb", "mgb-panel", f"mgb-{self.name}"):
            self.add_class(name)
        self.set_aside("")

    def lay_out(self, body: Sequence[W.Widget], tools: Sequence[W.Widget] = (), below: Sequence[W.Widget] = ()) -> None:
        """Put the parts in their places: title and tools, body, what stands below it, the notice."""
        bar = W.HBox([self._title, *tools])
        bar.add_class("mgb-bar")
        self.body = W.VBox(list(body))
        self.body.add_class("mgb-body")
        self.children = [bar, self.body, *below, self.notice]

    def set_aside(self, text: str) -> None:
        """A few words beside the title."""
        aside = f'<span class="mgb-aside">{escape(text)}</span>' if text else ""
        self._title.value = f"<h2>{self.heading}</h2>{aside}"

    def say(self, sentence: str, kind: str = "info", details: str = "") -> None:
        """Put a sentence on the notice line; an empty one clears it. Kinds: info, warning, error."""
        with self.notice.hold_sync():
            self.notice.kind, self.notice.details, self.notice.sentence = kind, details, sentence

    def remember(self, key: str, widget: W.Widget, trait: str = "value") -> None:
        """Keep what an input is set to with the work, and set it again, or as it was at first, when work is opened."""
        name, usual = f"{self.name}.{key}", getattr(widget, trait)

        def note(change: dict) -> None:
            with self.state.lock:
                if self.state.figures.get(name) != change["new"]:
                    self.state.figures = self.state.figures | {name: change["new"]}

        def recall(_change: dict) -> None:
            value = self.state.figures.get(name, usual)
            if value != getattr(widget, trait):
                with contextlib.suppress(TraitError):  # what was chosen then cannot be chosen now
                    setattr(widget, trait, value)

        widget.observe(note, trait)
        self.state.observe(recall, "figures")

    def show_code(self, shown: Code, text: str) -> None:
        """Show a cell of Python under the panel, or put it away where it is shown."""
        shown.text = "" if shown.text else text

    def kept_in(self) -> str:
        """The folder that keeps what is on the bench. Raises ValueError where there is none yet."""
        folder, trouble, _ = self.state.session
        if not folder or trouble:
            raise ValueError(trouble or "Nothing is kept yet; the code of a figure appears with the first crystals.")
        return folder

    def work(self, sentence: str, job: Callable[[], str]) -> threading.Thread:
        """Do a long job in a thread of its own: say the sentence now, and what the job gives when it is done."""
        self.say(sentence)

        def run() -> None:
            try:
                self.say(job())
            except Exception as error:  # noqa: BLE001 - whatever it was, a person must see it
                self.fail(error)

        thread = threading.Thread(target=run, daemon=True, name=f"bench-{self.name}")
        thread.start()
        return thread

    def fail(self, error: BaseException) -> None:
        """Say what went wrong in one sentence, with the traceback one click away."""
        said = str(error).strip().splitlines()
        self.say(said[0] if said else type(error).__name__, "error", "".join(traceback.format_exception(error)))


def guarded(method: Callable[..., Any]) -> Callable[..., Any]:
    """A callback of a panel: its errors appear on the panel's notice line, and it never runs beside another one.

    Callbacks come from the page, from the publishing thread of a run and from loaders; one at a time they see a form
    and a state that agree.
    """

    @functools.wraps(method)
    def call(self: Panel, *args: Any, **kwargs: Any) -> Any:
        try:
            with self.state.lock:
                return method(self, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - whatever it was, a person must see it
            self.fail(error)
            return None

    return call


def button(text: str, about: str, action: Callable[[Any], Any], *, primary: bool = False) -> W.Button:
    """A button that says in its tooltip what it does."""
    made = W.Button(description=text, tooltip=about, button_style="primary" if primary else "")
    made.on_click(action)
    return made


def field(title: str, widget: W.DOMWidget, about: str = "") -> W.DOMWidget:
    """The input with its label above it; the label is the input's own, so that screen readers say it."""
    widget.description = title
    widget.layout.width = "auto"
    widget.tooltip = about or title
    widget.add_class("mgb-field")
    return widget


def offer(choice: W.Dropdown, options: Sequence[tuple[str, Any]]) -> None:
    """Exchange the options of a choice and keep what was chosen, if it is still there."""
    if list(choice.options) == list(options):
        return
    kept = choice.value
    choice.options = list(options)  # the first one is chosen by this
    if kept in [value for _, value in options] and choice.value != kept:
        choice.value = kept
