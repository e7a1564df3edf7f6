"""The constraints panel: edits state.constraints, and says at once what contradicts itself."""

import threading
from collections.abc import Mapping
from functools import cache
from typing import Any

import ipywidgets as W

from model.candidates import COLUMNS
from model.constraints import ConstraintError, Constraints, Target
from model.elements import UnknownElementError
from model.statistics import Statistics
from workbench import dial
from workbench.state import DIFFUSION, State
from workbench.views import code
from workbench.widgets.base import Code
from workbench.widgets.model_picker import ModelPicker, at_once
from workbench.widgets.panel import Panel, button, field, guarded, offer
from workbench.widgets.periodic_table import PeriodicTable
from workbench.widgets.targets import Targets, reach, row

SYSTEMS = (
    ("triclinic", 1, 2),
    ("monoclinic", 3, 15),
    ("orthorhombic", 16, 74),
    ("tetragonal", 75, 142),
    ("trigonal", 143, 167),
    ("hexagonal", 168, 194),
    ("cubic", 195, 230),
)
USUAL = Constraints().guidance  # strength of guidance
NOT_SCALAR = frozenset({"chemical_system", "space_group"})


@cache
def space_groups() -> dict[int, str]:
    """Short international symbol of each of the 230 groups."""
    import moyopy

    symbols: dict[int, str] = {}
    for hall in range(1, 531):  # the settings of the International Tables, the standard one of each group first
        setting = moyopy.HallSymbolEntry(hall)
        symbols.setdefault(setting.number, setting.hm_short.replace(" ", ""))
    return symbols


class ConstraintsPanel(Panel):
    """What is wanted: model, elements, formula, symmetry, properties, how many."""

    name, heading = "constraints", "Constraints"

    def __init__(self, state: State | None = None, *, load: bool = True) -> None:
        super().__init__(state)
        self._filling = False
        self._make()
        self.code = Code(label="Python and command line that do the same")
        self._code_button = button(
            "Copy as code", "Show the Python cell and the command line that do the same", self._toggle_code
        )
        self.lay_out([self._form()], [self._code_button], [self.code])
        self._fill(self.state.constraints)
        inputs = [self.formula, self.atoms, self.group, self.count, self.steps, self.corrections, self.seed,
                  self.guidance]  # fmt: skip
        for one in inputs:
            one.observe(self._changed, "value")
        self.elements.observe(self._changed, "choices")
        self.targets.observe(self._changed, ["targets", "strengths"])
        self.guidance.observe(lambda change: setattr(self.targets, "strength", change["new"]), "value")
        self.crystal_system.observe(lambda _: self._offer_groups(), "value")
        self.state.watch(self._show_model, "model", "method")
        self.state.watch(self._show_measured, "model", "method", "steps", "corrections")
        self.state.observe(lambda _: self._fill(self.state.constraints), ["constraints", "steps", "corrections"])
        self.state.observe(lambda change: None if change["new"] else self._fill(self.state.constraints), "complaint")
        if load:
            self._offer_models()

    # --- the form ---------------------------------------------------------------------------------------------------

    def _make(self) -> None:
        late = {"continuous_update": False}
        self.picker = ModelPicker(self.state, self.fail, self._loaded)
        self.model, self.about = self.picker.model, self.picker.about
        self.elements = PeriodicTable()
        self.formula = W.Text(placeholder="any, or CaTiO3", **late)
        self.atoms = W.Text(placeholder="as in the data", **late)
        self.crystal_system = W.Dropdown(options=[("any", ""), *((name, name) for name, _, _ in SYSTEMS)])
        self.group = W.Dropdown(options=[("any", 0)])
        self.targets = Targets()
        self.count = W.BoundedIntText(min=1, max=100_000, **late)
        self.steps = W.BoundedIntText(min=1, max=1000, **late)
        self.corrections = W.BoundedIntText(min=0, max=10, **late)
        self.seed = W.BoundedIntText(min=0, max=2**31 - 1, **late)
        self.measured = W.HTML()
        self.measured.add_class("mgb-hint")
        self.guidance = W.BoundedFloatText(min=0, max=20, step=0.5, **late)

    def _form(self) -> W.VBox:
        composition = self._pair(
            field("Formula", self.formula, "Exactly this composition, times a whole number"),
            field(
                "Atoms in the cell",
                self.atoms,
                "A number, a range like 4-12, or empty: as often as in the training data",
            ),
        )
        symmetry = self._pair(
            field("Crystal system", self.crystal_system, "Narrows the list of space groups"),
            field("Space group", self.group, "Asked of models that listen to it"),
        )
        numbers = self._pair(
            field("Crystals", self.count, "How many to generate"),
            field("Seed", self.seed, "The same seed gives the same crystals"),
            field("Denoising steps", self.steps, "Fewer is faster, more is better; each asks the network once or more"),
            field(
                "Corrections a step", self.corrections,
                "How often the corrector moves the crystals before each step: each asks the network once more",
            ),
            field("Guidance", self.guidance, "Strength of the conditions; 0 leaves them out, 2 is the paper's"),
        )
        self.targets.add_class("mgb-section")
        numbers.add_class("mgb-section")
        form = W.VBox([self.picker, self.elements, composition, symmetry, self.targets, numbers, self.measured])
        form.add_class("mgb-stack")
        return form

    @staticmethod
    def _pair(*widgets: W.Widget) -> W.Box:
        box = W.Box(list(widgets))
        box.add_class("mgb-pair")
        return box

    @guarded
    def _fill(self, constraints: Constraints) -> None:
        """Show constraints in the form, as when a session is opened; the form's own changes pass by."""
        if self._filling:
            return
        self._filling = True
        try:
            paint = dict.fromkeys(constraints.chemical_system or (), "exactly")
            paint |= {s: "allow" for s in constraints.allowed or () if s not in paint} | dict.fromkeys(
                constraints.excluded, "forbid"
            )
            self.elements.choices = paint
            self.formula.value = constraints.formula or ""
            low_high = constraints.atom_range if constraints.n_atoms is not None else None
            self.atoms.value = "" if low_high is None else "-".join(str(n) for n in dict.fromkeys(low_high))
            system = next((name for name, low, high in SYSTEMS if low <= (constraints.space_group or 0) <= high), "")
            self.crystal_system.value = system or self.crystal_system.value
            self._offer_groups()
            self.group.value = constraints.space_group or 0
            self.targets.targets = {name: [t.low, t.high] for name, t in constraints.targets.items()}
            self.guidance.value, self.targets.strengths = strengths(constraints)
            self.count.value, self.seed.value = constraints.count, constraints.seed
            self.steps.value, self.corrections.value = self.state.steps, self.state.corrections
            self.state.complaint = ""
        finally:
            self._filling = False
        self._warn()

    def _offer_groups(self) -> None:
        span = next(((low, high) for name, low, high in SYSTEMS if name == self.crystal_system.value), (1, 230))
        options = [
            ("any", 0),
            *((f"{n}  {symbol}", n) for n, symbol in space_groups().items() if span[0] <= n <= span[1]),
        ]
        offer(self.group, options)

    # --- reading it -------------------------------------------------------------------------------------------------

    @guarded
    def _changed(self, _change: Any = None) -> None:
        if self._filling:
            return
        try:
            wanted = self.read()
        except (ConstraintError, UnknownElementError) as error:
            self.state.complaint = str(error)
            self.say(str(error), "warning")
            return
        self._filling = True  # what the form says itself need not be written back into it
        try:
            self.state.complaint = ""
            self.state.steps, self.state.corrections = self.steps.value, self.corrections.value
            self.state.constraints = wanted
        finally:
            self._filling = False
        self._warn()

    def read(self) -> Constraints:
        """Constraints out of the form. Raises ConstraintError where they contradict each other."""
        exactly, allow = self.elements.of("exactly"), self.elements.of("allow")
        return Constraints(
            chemical_system=exactly or None,
            allowed=(allow | exactly) if allow else None,
            excluded=self.elements.of("forbid"),
            formula=self.formula.value.strip() or None,
            space_group=self.group.value or None,
            targets={name: Target.of(tuple(pair)) for name, pair in self.targets.targets.items()},
            n_atoms=parse_atoms(self.atoms.value),
            count=self.count.value,
            guidance=self._guidance(exactly),
            seed=self.seed.value,
        )

    def _guidance(self, exactly: frozenset[str]) -> float | dict[str, float]:
        """One strength for all, or one for each condition where a target was given a strength of its own."""
        asked, every = list(self.targets.targets), float(self.guidance.value)
        own = {name: float(value) for name, value in self.targets.strengths.items() if name in asked}
        if not own:
            return every
        hears = self.state.model.properties if self.state.model is not None else ()
        if self.group.value:
            asked.append("space_group")
        if "chemical_system" in hears and (exactly or self.formula.value.strip()):
            asked.append("chemical_system")
        return {name: own.get(name, every) for name in asked}

    @guarded
    def _warn(self) -> None:
        """Say what can be asked but hardly answered; show the code again."""
        constraints, model = self.state.constraints, self.state.model
        labels = model.statistics.labels if model is not None else {}
        warnings = {
            name: reach(target, labels[name], COLUMNS[name].unit if name in COLUMNS else "")
            for name, target in constraints.targets.items()
            if name in labels
        }
        self.targets.warnings = {name: text for name, text in warnings.items() if text}
        text = rare_size(constraints, model.statistics) if model is not None else ""
        if not text and self.elements.of("exactly") and self.elements.of("allow"):
            text = "Elements asked for exactly leave nothing else; Allow has no effect beside them."
        self.say(text, "warning")
        if self.code.text:
            self._write_code()

    # --- the model --------------------------------------------------------------------------------------------------

    @guarded
    def _show_measured(self) -> None:
        """What was measured of the base's steps; nothing of models that were not, and of other ways."""
        model = self.state.model if self.state.method == DIFFUSION else None
        runs = dial.measured(getattr(model, "base", None) or model.hash) if model is not None else None
        self.measured.value = "" if runs is None else dial.hint(runs, self.state.steps, self.state.corrections)

    @guarded
    def _offer_models(self) -> None:
        if not self.picker.offer():
            self.say("No model is shipped here; give the folder of your own.", "warning")

    def load(self, name: str) -> threading.Thread:
        """Load a model in the background; its sentence or its properties appear when it is there."""
        return self.picker.load(name)

    @guarded
    def _show_model(self) -> None:
        """Show the rows of what the model, or the other way of making crystals, listens to, and no others."""
        model, state = self.state.model, self.state
        self.picker.show_model()
        ours = state.method == DIFFUSION
        for one in (self.steps, self.corrections, self.guidance):
            one.layout.display = "" if ours else "none"
        if model is None and ours:
            self.targets.rows = []
            return
        labels = model.statistics.labels if model is not None else {}
        hears = [p for p in model.properties if p not in NOT_SCALAR] if ours else []
        if not ours and self.picker.follows("targets"):
            hears = list(labels)
        self.targets.rows = [row(name, labels[name]) for name in hears if name in labels]
        self.targets.targets = {name: pair for name, pair in self.targets.targets.items() if name in hears}
        listens = "space_group" in model.properties if ours else self.picker.follows("space_group")
        for choice in (self.group, self.crystal_system):
            choice.disabled = not listens
        if not listens:
            self.group.value = 0
        if not state.complaint:
            self._warn()  # the form itself is as it was: writing it again could undo what was just set in code

    def _loaded(self) -> None:
        if self.notice.kind == "error":
            self.say("")

    # --- code -------------------------------------------------------------------------------------------------------

    @guarded
    def _toggle_code(self, _button: Any) -> None:
        if self.code.text:
            self.code.text = ""
        else:
            self._write_code()

    def _write_code(self) -> None:
        state = self.state
        said = (state.constraints, state.model_name or "base", state.steps)
        how = {
            "corrections": state.corrections, "way": state.method, "told": state.told, "at_once": at_once(state.model),
        }  # fmt: skip
        self.code.text = f"{code.python(*said, **how)}\n\n# in a terminal\n{code.command(*said, **how)}"


def parse_atoms(text: str) -> int | tuple[int, int] | None:
    """Numbers of atoms written as "", "8" or "4-12". Raises ConstraintError for anything else."""
    text = text.strip().replace("–", "-").replace("to", "-")
    if not text:
        return None
    parts = [part.strip() for part in text.split("-")]
    if len(parts) > 2 or not all(part.isdigit() for part in parts):
        raise ConstraintError(f"Atoms in the cell are a number like 8 or a range like 4-12; found {text!r}.")
    return int(parts[0]) if len(parts) == 1 else (int(parts[0]), int(parts[1]))


def strengths(constraints: Constraints) -> tuple[float, dict[str, float]]:
    """The strength of guidance that holds where no other is said, and those of single targets."""
    told = constraints.guidance
    if not isinstance(told, Mapping):
        return float(told), {}
    every = told.get("space_group", told.get("chemical_system", USUAL))
    return float(every), {name: float(value) for name, value in told.items() if name in constraints.targets}


def rare_size(constraints: Constraints, taught: Statistics) -> str:
    """A warning where no training crystal, of the space group where one is asked, is of the asked size; else empty."""
    group, groups = constraints.space_group, taught.n_atoms_by_space_group
    sizes = set(groups.get(group, {})) if group is not None and groups else set(taught.n_atoms)
    of = f" of space group {group}" if group is not None and groups else ""
    if not sizes:
        return f"There is no training crystal{of}." if of else ""
    low, high = constraints.atom_range if constraints.n_atoms is not None else (1, max(taught.n_atoms, default=1))
    unit = formula_unit(constraints)
    if any(low <= size <= high and size % unit == 0 for size in sizes):
        return ""
    asked = [str(low) if low == high else f"{low} to {high}"] if constraints.n_atoms is not None else []
    asked += [f"a multiple of {unit}"] if unit > 1 and low != high else []
    have = ", ".join(str(n) for n in sorted(sizes)[:12])
    return f"No training crystal{of} has {', '.join(asked)} atoms in its primitive cell; those there have {have}."


def formula_unit(constraints: Constraints) -> int:
    """How many atoms one unit of the asked formula has; 1 where none is asked."""
    if not constraints.formula:
        return 1
    from pymatgen.core import Composition

    return int(Composition(constraints.formula).reduced_composition.num_atoms)
