"""Judging on the bench: CHGNet relaxes, the reference judges, asked properties are measured, while a run goes on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from model.candidates import Candidates
from model.constraints import Constraints
from model.crystals import Crystals
from model.execution import Progress, Watch
from workbench.runs import Verdict, unsettled
from workbench.state import State

if TYPE_CHECKING:
    from model.evaluation.evaluate import Judge
    from model.evaluation.matching import Earlier, Families, Probe
    from model.evaluation.reference import Reference
    from model.relax.potential import Potential, Reading

# relaxed together: few enough that one step of CHGNet stays well below the two seconds a cancel may take
ATOMS_AT_ONCE = 160
MEASURED = frozenset({"ml_bulk_modulus", "dft_bulk_modulus", "bulk_modulus"})  # take an equation of state


def reference(folder: str = "") -> "Reference":
    """A reference of one's own from its folder, or the one that the package ships.

    Raises BadReferenceError where the folder holds none.
    """
    from model.evaluation.reference import Reference

    return Reference.load(Path(folder).expanduser()) if folder else Reference.shipped()


@cache
def potential() -> "Potential":
    """CHGNet, loaded once."""
    from model.relax.chgnet import CHGNetPotential

    return CHGNetPotential()


@dataclass
class _Watched:
    """A potential that tells a watch of every reading, which may cancel the work there."""

    inner: "Potential"
    tell: Any

    @property
    def name(self) -> str:
        """Name of the energy model."""
        return self.inner.name

    def __call__(self, crystals: Crystals) -> "Reading":
        """Read the crystals, unless cancelled."""
        self.tell()
        return self.inner(crystals)


@dataclass
class Judging:
    """Relaxes candidates many at once and tells of each as soon as it has come to rest; then what takes them all.

    That is uniqueness, the hull the set makes itself, who may share a disordered parent, and the properties asked for.
    What was judged before is remembered from batch to batch, and the reference stays the one it began with.
    """

    state: State
    constraints: Constraints | None = None  # what was asked, where a run asked it
    _probes: "dict[str, Probe]" = field(default_factory=dict, init=False)
    _memory: "Earlier | None" = field(default=None, init=False)
    _families: "Families | None" = field(default=None, init=False)
    _judge: "Judge | None" = field(default=None, init=False)
    _notes: tuple[str, ...] = field(default=(), init=False)

    def __call__(self, new: Candidates, earlier: Verdict, watch: Watch) -> Verdict:
        """All candidates judged so far with all that was learned, their relaxed crystals, and the rates."""
        from model.evaluation.evaluate import make_judge, settle, tabulate
        from model.relax.relaxer import relaxing

        before = earlier.candidates.where(~earlier.candidates.table["id"].isin(set(new.table["id"])).to_numpy())
        at_rest: list[Any] = []
        readings = 0
        doing = "relaxed"

        def tell() -> None:
            nonlocal readings
            readings += 1
            watch(Progress(stage=f"force reading {readings}; {doing}", done=len(at_rest), total=len(new)))

        watched = _Watched(potential(), tell)
        if self._judge is None:
            self._judge = make_judge(watched, self.state.reference or reference())
        judge = self._judge = replace(self._judge, potential=watched)
        names = new.table["id"].astype(str).tolist()
        for one in relaxing(new.crystals, watched, atoms_at_once=ATOMS_AT_ONCE):
            at_rest.append(judge.verdict(new.crystals[one.row], one, names[one.row]))
            row = new.where(np.arange(len(new)) == one.row)
            found = _verdict(tabulate(at_rest[-1:], row), row, at_rest[-1:])
            watch(Progress(stage="relaxing", done=len(at_rest), total=len(new), payload=found))
        self._remember(before, earlier.relaxed, judge)
        settled = settle(sorted(at_rest, key=lambda verdict: verdict.row), self._memory)
        self._probes |= {verdict.columns["id"]: verdict.probe for verdict in settled}
        found = _verdict(tabulate(settled, new), new, settled)
        doing = "relaxed; bulk moduli of all"
        columns, notes = self._properties(found, watched)
        judged = found.candidates.learn(**columns)
        for verdict in settled:
            watch(Progress(stage="disordered parents; relaxed", done=len(at_rest), total=len(new)))
            self._families.add(verdict.probe)
        whole = self._learn_of_the_set(Candidates.join([before, judged]) if len(before) else judged, judge)
        self._notes = tuple(notes)
        return Verdict(candidates=whole, relaxed=found.relaxed, scorecard=self.account(whole))

    def _remember(self, before: Candidates, relaxed: Mapping[str, Crystals], judge: "Judge") -> None:
        """Candidates judged by another run, as those of a session that goes on, made ready for matching once."""
        from model.evaluation.matching import Earlier, Families, probe

        if self._memory is None or self._families is None:
            self._memory, self._families = Earlier(judge.matcher), Families()
        for row, name in enumerate(before.table["id"]):
            if name not in self._probes:
                self._probes[name] = probe(relaxed.get(name, before.crystals[row]), name)
                self._memory.first_like(self._probes[name])
                self._families.add(self._probes[name])

    def _properties(self, found: Verdict, watched: "Potential") -> tuple[dict[str, Any], list[str]]:
        """Columns of what readouts predict and of what was asked and must be measured, with a note on each."""
        from model.evaluation.moduli import CURVE, NOTES
        from model.properties.bulk_modulus import bulk_moduli
        from model.properties.readouts import PREDICTED, predict, shipped

        asked = set(self.constraints.targets) if self.constraints else set()
        ids = found.candidates.table["id"].tolist()
        rows = [row for row, name in enumerate(ids) if name in found.relaxed]
        columns: dict[str, Any] = {}
        notes = [report.note for _, report in shipped().values()]
        if not rows:
            return columns, notes
        relaxed = Crystals.join([found.relaxed[ids[row]] for row in rows])
        for label, (readout, _) in shipped().items():
            columns[PREDICTED[label]] = _spread(predict(readout, relaxed).numpy(), rows, len(ids))
        if asked & MEASURED:
            states = bulk_moduli(relaxed, watched, atoms_at_once=ATOMS_AT_ONCE)
            columns["ml_bulk_modulus"] = _spread([state.modulus for state in states], rows, len(ids))
            columns["bulk_modulus_misfit"] = _spread([state.misfit for state in states], rows, len(ids))
            notes.append(NOTES[CURVE].format(name=watched.name))
        return columns, notes

    def _learn_of_the_set(self, judged: Candidates, judge: "Judge") -> Candidates:
        from model.evaluation.evaluate import set_columns
        from model.evaluation.obedience import learn_obedience

        good = judged.table["status"].eq("judged").to_numpy()
        probes = [self._probes[name] for name in judged.table["id"][good]]
        energies = judged.table["formation_energy"][good].to_numpy(dtype=float)
        learned = set_columns(probes, energies, judge.reference, self._families.groups if self._families else [])
        columns = {name: _spread(values, np.flatnonzero(good), len(good)) for name, values in learned.items()}
        table = judged.table.assign(**columns)
        table = table if self.constraints is None else learn_obedience(table, self.constraints)
        return Candidates(crystals=judged.crystals, table=table)

    def account(self, candidates: Candidates) -> Any:
        """Rates over all that is judged, with every other crystal accounted for by name; None before any is judged."""
        from model.evaluation.evaluate import matcher_name
        from model.evaluation.scorecard import score

        judge, table = self._judge, candidates.table
        if judge is None or "unique" not in table:
            return None
        bad = table[table["status"] == "bad"]  # walks that ended in no crystal: made, but with nothing to judge
        waiting = unsettled(candidates).table["id"]
        missing = dict.fromkeys(waiting, "not judged before the run ended")
        missing |= dict(zip(bad["id"], bad["reason"], strict=True))
        card = score(
            table[~table["id"].isin(missing)], made=len(table), missing=missing, reference=judge.reference.name,
            energy_model=judge.potential.name, matcher=matcher_name(judge), constraints=self.constraints,
            known=len(judge.reference.known),
        )  # fmt: skip
        return replace(card, notes=(*card.notes, *self._notes))


def _verdict(table: Any, part: Candidates, verdicts: Sequence[Any]) -> Verdict:
    relaxed = {
        verdict.columns["id"]: verdict.relaxed.crystal
        for verdict in verdicts
        if verdict.columns["status"] == "judged"
    }
    return Verdict(candidates=Candidates(crystals=part.crystals, table=table), relaxed=relaxed)


def _spread(values: Sequence[Any], rows: Sequence[int], length: int) -> np.ndarray:
    """Values of some rows in a column that is empty elsewhere."""
    values = np.asarray(values)
    empty = np.nan if values.dtype.kind == "f" else None
    column = np.full(length, empty, dtype=object if empty is None else float)
    column[list(rows)] = values
    return column
