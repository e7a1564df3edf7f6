"""The candidates panel: table, filters, selection, export. Only the rows in view are sent."""

from pathlib import Path
from typing import Any

import ipywidgets as W
import numpy as np
import traitlets

from model.evaluation.obedience import told_by
from workbench import export
from workbench.state import State
from workbench.views import table as view
from workbench.widgets.base import Code, Widget, module
from workbench.widgets.panel import Panel, button, guarded


class Table(Widget):
    """Rows of candidates in view; `window` is [first, count] of what the page wants to see."""

    _esm = module("table.js")
    told = ("chosen",)
    columns = traitlets.List().tag(sync=True)
    page = traitlets.Dict({"first": 0, "rows": [], "ids": []}).tag(sync=True)
    total = traitlets.Int(0).tag(sync=True)
    all = traitlets.Int(0).tag(sync=True)
    window = traitlets.List([0, 40]).tag(sync=True)
    sort = traitlets.List(["", False]).tag(sync=True)
    filters = traitlets.Dict().tag(sync=True)
    chips = traitlets.List().tag(sync=True)
    selected = traitlets.Unicode("").tag(sync=True)
    position = traitlets.Int(-1).tag(sync=True)
    chosen = traitlets.List().tag(sync=True)
    summary = traitlets.Unicode("").tag(sync=True)
    complaint = traitlets.Unicode("").tag(sync=True)


class CandidatesPanel(Panel):
    """Every candidate a row; sort, filter by any column, choose many, take them away."""

    name, heading = "candidates", "Candidates"

    def __init__(self, state: State | None = None) -> None:
        super().__init__(state)
        self.add_class("mgb-flush")
        self.table = Table()
        self._at = np.zeros(0, dtype=int)
        self.files = Code(label="Files")
        self.card = Code(label="Scorecard")
        self.into = W.Text(
            value="export",
            placeholder="folder",
            layout=W.Layout(width="96px"),
            tooltip="Folder the export is written to",
        )
        self.vasp = W.ToggleButton(
            description="VASP", tooltip="Put inputs for VASP with the Materials Project's settings into the export too",
            layout=W.Layout(width="auto"),
        )
        self.lay_out(
            [self.table],
            [
                self.vasp,
                W.HTML("to"),
                self.into,
                button(
                    "Export",
                    "Write CIF, CSV, extxyz, POSCAR and an ASE database of the chosen rows, or of all, to the folder",
                    self._export,
                    primary=True,
                ),
                button("Scorecard", "Rates with definition, reference, n and 95 % interval", self._toggle_card),
                button("Zip", "The same files as one zip for the browser", self._download),
            ],
            [self.card, self.files],
        )
        self.remember("sort", self.table, "sort")
        self.remember("filters", self.table, "filters")
        self.table.observe(lambda _: self.refresh(), ["sort", "filters"])
        self.table.observe(lambda _: self._send_page(), "window")
        self.table.observe(self._selected, "selected")
        self.table.observe(self._chosen, "chosen")
        self.table.on_msg(self._told)
        self.state.watch(self.refresh, "candidates", "narrowed", "constraints", "scorecard")
        self.state.watch(self._show_selection, "selection")
        self.state.watch(self._show_chosen, "chosen")

    @guarded
    def refresh(self) -> None:
        """Filter and sort again, and send the rows in view."""
        data, sheet = self.state.candidates.table, self.table
        complaint = ""
        try:
            keep = view.mask(data, sheet.filters, self.state.narrowed)
        except view.FilterError as error:
            complaint, keep = str(error), np.ones(len(data), dtype=bool)
        self._at = view.order(data, keep, str(sheet.sort[0]), bool(sheet.sort[1]))
        columns = view.columns(data, list(self.state.constraints.targets))
        self._drop_unseen({column["name"] for column in columns})
        with sheet.hold_sync():
            if sheet.columns != columns:
                sheet.columns = columns
            sheet.complaint, sheet.total, sheet.all, sheet.summary = (
                complaint,
                len(self._at),
                len(data),
                self._summary(),
            )
            sheet.chips = [
                [name, f"{view.COLUMNS[name].label} {low:.3g} to {high:.3g}"]
                for name, (low, high) in self.state.narrowed.items()
                if name in view.COLUMNS
            ]
            self._send_page()
            self._show_selection()
        if self.card.text:
            self.card.text = str(self.state.scorecard or "")

    def _drop_unseen(self, shown: set[str]) -> None:
        """A filter goes with its column, or moves to the one that now tells the same: none hides rows unseen."""
        data, before = self.state.candidates.table, self.table.filters
        told = {told_by(data, name): text for name, text in before.items()}
        kept = {name: text for name, text in told.items() if name in shown}
        if kept != before:
            self.table.filters = kept

    def _send_page(self) -> None:
        first, count = (max(0, int(n)) for n in self.table.window)
        page = view.page(
            self.state.candidates.table, self._at, [c["name"] for c in self.table.columns], first, min(count, 400)
        )
        self.table.page = {"first": page.first, "rows": page.rows, "ids": page.ids}

    def _summary(self) -> str:
        data = self.state.candidates.table
        judged = data[data["sun"].notna()] if "sun" in data else data.head(0)
        return (
            f"stable, unique and novel: {int(judged['sun'].astype(bool).sum())} of {len(judged)} judged"
            if len(judged)
            else ""
        )

    @guarded
    def _show_selection(self) -> None:
        row = self.state.position(self.state.selection)
        places = np.flatnonzero(self._at == row)
        self.table.selected, self.table.position = self.state.selection, int(places[0]) if len(places) else -1

    @guarded
    def _show_chosen(self) -> None:
        self.table.chosen = list(self.state.chosen)

    @guarded
    def _selected(self, change: dict) -> None:
        if change["new"] and self.state.position(change["new"]) >= 0:
            self.state.selection = change["new"]

    @guarded
    def _chosen(self, change: dict) -> None:
        self.state.chosen = tuple(str(name) for name in change["new"])

    @guarded
    def _told(self, _widget: Any, message: Any, _buffers: Any) -> None:
        kind = message.get("kind") if isinstance(message, dict) else None
        ids = self.state.candidates.table["id"]
        if kind == "choose":
            self.state.chosen = tuple(ids.iloc[self._at].astype(str)) if message.get("all") else ()
        elif kind == "unbrush":
            self.state.narrowed = {
                name: pair for name, pair in self.state.narrowed.items() if name != message.get("name")
            }
        elif kind == "step" and len(self._at):
            here = max(self.table.position, 0) if self.table.position >= 0 else -1
            there = min(max(here + int(message.get("by", 0)), 0), len(self._at) - 1)
            self.state.selection = str(ids.iloc[self._at[there]])

    def _wanted(self) -> export.Selection:
        return export.select(self.state.candidates, self.state.chosen, self.state.relaxed)

    def _origin(self) -> export.Origin:
        """What these candidates were asked, which the constraints panel may have left behind."""
        state, asked = self.state, self.state.asked
        return export.Origin(
            constraints=asked.constraints if asked else state.constraints,
            method=asked.method if asked else state.method,
            model=asked.model_name if asked else state.model_name,
            model_hash=asked.model_hash if asked else "",
            steps=asked.steps if asked else state.steps,
            corrections=asked.corrections if asked else state.corrections,
            told=asked.told if asked else state.told,
            reference=str(getattr(state.reference, "name", "")),
            scorecard=str(state.scorecard or ""),
        )

    @guarded
    def _toggle_card(self, _button: Any) -> None:
        card = self.state.scorecard
        if card is None:
            raise ValueError("There are no rates yet; they appear with the first judged batch.")
        self.card.text = "" if self.card.text else str(card)

    @guarded
    def _export(self, _button: Any) -> None:
        wanted, origin = self._wanted(), self._origin()
        folder = export.free_name(Path(self.into.value.strip() or "export"))
        said = _crystals(len(wanted.candidates))
        formats = self._formats()
        self.work(
            f"Writing {said} …", lambda: f"Wrote {said} to {export.write(wanted, folder, formats, origin)}."
        )

    def _formats(self) -> tuple[str, ...]:
        return (*export.FORMATS, *([export.VASP] if self.vasp.value else []))

    @guarded
    def _download(self, _button: Any) -> None:
        wanted, origin = self._wanted(), self._origin()
        said, formats = _crystals(len(wanted.candidates)), self._formats()

        def pack() -> str:
            self.files.download("crystals.zip", export.archive(wanted, formats, origin), "application/zip")
            return f"Handed {said} to the browser as crystals.zip."

        self.work(f"Packing {said} …", pack)


def _crystals(n: int) -> str:
    return f"{n} crystal" if n == 1 else f"{n} crystals"
