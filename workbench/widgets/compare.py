"""The comparison panel: two sessions side by side; hidden while there is nothing to compare with."""

from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as W

from workbench.keeping import session_of
from workbench.sessions.session import Session
from workbench.state import State
from workbench.views import code, compare, style
from workbench.widgets.base import Code, Plot
from workbench.widgets.panel import Panel, button, guarded, offer

NONE = [("nothing in common", "")]


class ComparePanel(Panel):
    """What is on the bench beside another session: what was asked, what came out, one quantity of both."""

    name, heading = "compare", "Comparison"

    def __init__(self, state: State | None = None) -> None:
        super().__init__(state)
        self.add_class("mgb-flush")
        self.text = W.HTML()
        self.text.add_class("mgb-comparison")
        self.plot = Plot(inks=style.INKS, label="One quantity in both sessions")
        self.quantity = W.Dropdown(options=NONE, layout=W.Layout(width="190px"), tooltip="Quantity that is compared")
        both = W.HBox([self.text, self.plot])
        both.add_class("mgb-both")
        self.code = Code(label="Python that draws this figure")
        self.lay_out([both], [
            self.quantity,
            button("Code", "Show the Python that draws this figure again", self._code),
            button("Match", "Count the crystals that are in both, by structure", self._match),
            button("Close", "Put the comparison away", self._close),
        ], [self.code])  # fmt: skip
        self._same: int | None = None
        self.quantity.observe(lambda _: self._draw(), "value")
        self.state.observe(lambda _: self._forget(), ["other", "candidates"])
        self.state.watch(self.refresh, "other", "candidates", "run")

    def here(self) -> Session:
        """What is on the bench now, as a session."""
        folder = self.state.session[0].rstrip("/").split("/")[-1]
        return session_of(self.state, folder or "on the bench")

    def _forget(self) -> None:
        self._same = None

    @guarded
    def refresh(self) -> None:
        """Compare again."""
        other = self.state.other
        self.layout.display = "none" if other is None else ""
        if other is None:
            return
        here = self.here()
        self.set_aside(f"{here.name} and {other.name}")
        self.text.value = self._table(here, other)
        names = compare.quantities(here, other)
        offer(self.quantity, [(style.title(name).split(" (")[0], name) for name in names] or NONE)
        self._draw()

    @guarded
    def _draw(self) -> None:
        if self.state.other is not None and self.quantity.value:
            figure = compare.figure([self.here(), self.state.other], self.quantity.value)
        else:
            figure = style.says("Nothing to compare yet", "No quantity is known in both.")
        self.plot.figure = style.to_widget(figure)

    def _table(self, here: Session, other: Session) -> str:
        lines = compare.lines(here, other)
        if self._same is not None:
            said = f"{self._same} of {len(here.candidates)}"
            lines.insert(1, compare.Line("Crystals that match one of the other", said, "", outcome=True))
        rows = "".join(
            f'<tr class="{"differs" if line.differs else ""}"><th scope="row">{escape(line.about)}</th>'
            f"<td>{escape(line.first)}</td><td>{escape(line.second)}</td></tr>"
            for line in lines
            if line.outcome or line.differs
        )
        alike = [f"{line.about} {line.first}" for line in lines if not (line.outcome or line.differs)]
        rows += f'<tr><th scope="row">Asked of both</th><td colspan="2">{escape("; ".join(alike))}</td></tr>'
        head = f"<tr><td></td><th scope='col'>{escape(here.name)}</th><th scope='col'>{escape(other.name)}</th></tr>"
        return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"

    @guarded
    def _code(self, _button: Any) -> None:
        if self.state.other is None or not self.quantity.value:
            raise ValueError("Choose a session and a quantity first; then their figure has code.")
        there = str(Path(self.kept_in()).parent / self.state.other.name)
        call = f"other = store.load(Path({there!r})).session\nfigure([session, other], {self.quantity.value!r})"
        view = "from workbench.views.compare import figure"
        self.show_code(self.code, code.picture(self.kept_in(), view, call))

    @guarded
    def _match(self, _button: Any) -> None:
        if self.state.other is None:
            raise ValueError("Choose a session to compare with first.")
        here, other = self.here(), self.state.other

        def count() -> str:
            same = compare.shared(here, other)
            if self.state.other is other:
                self._same = same
                self.refresh()
            return f"{same} of {len(here.candidates)} crystals match one of {other.name}."

        self.work("Matching the structures of both …", count)

    @guarded
    def _close(self, _button: Any) -> None:
        self.state.other = None
        self.say("")
