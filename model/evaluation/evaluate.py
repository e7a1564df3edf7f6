"""From crystals to verdicts: relaxed, above the hull, unique, novel, and why not. Edge: pandas, pymatgen."""

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from model.candidates import Candidates
from model.constraints import Constraints
from model.crystals import Crystals
from model.elements import NUMBERS
from model.evaluation.environments import KnownEnvironments
from model.evaluation.hull import STABLE
from model.evaluation.matching import Earlier, Matcher, Nearest, Probe, families, nearest, probe
from model.evaluation.metrics import displacement, geometry_valid, paired_displacement
from model.evaluation.obedience import learn_obedience
from model.evaluation.reasons import why_not_new, why_unstable
from model.evaluation.reference import Reference
from model.evaluation.scorecard import Scorecard, score
from model.evaluation.stages import Stages
from model.execution import INLINE, Progress, Watch, silent
from model.properties.composition import balanced
from model.properties.magnetism import magnetic_density
from model.properties.supply_risk import hhi
from model.relax.potential import Potential
from model.relax.reading import read
from model.relax.relaxer import Memory, Relaxation, Relaxed, gather, relaxing, remembering
from model.shapes import Float

_NAMES = [
    "id", "formula", "status", "reason", "energy_above_hull", "stable", "unique", "novel", "novelty", "sun", "rmsd",
    "structure_valid", "composition_valid", "relaxed_converged", "space_group_number", "relaxed_space_group_number",
    "chemical_system",
]  # fmt: skip
_FLAGS = ("stable", "unique", "novel", "sun", "relaxed_converged", "structure_valid", "composition_valid")
TIGHT = 0.01  # Å, the stricter of the two tolerances at which symmetry is told
_BATCH = 32  # crystals read at once where nothing is relaxed


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was learned of one crystal: its row in the set, its columns of the table, and where it came to rest."""

    row: int
    columns: Mapping[str, Any]
    relaxed: Relaxed
    probe: Probe


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Judged crystals in the order given: the table, how they relaxed, and the scorecard."""

    candidates: Candidates
    relaxation: Relaxation
    scorecard: Scorecard
    others: Mapping[str, Float[np.ndarray, " batch"]] = field(default_factory=dict)  # above further hulls, eV/atom


@dataclass(frozen=True)
class Judge:
    """Judges crystals one after another against one reference with one energy model."""

    reference: Reference
    potential: Potential
    matcher: Matcher = field(default_factory=Matcher)
    environments: KnownEnvironments = field(default_factory=KnownEnvironments.shipped)
    stages: Stages = field(default_factory=Stages, compare=False)

    def describe(self, crystal: Crystals, name: str) -> dict[str, Any]:
        """What is seen without any energy."""
        from model.io import space_group, to_structures

        structure = to_structures(crystal)[0]
        symbol, number = space_group(structure)
        composition = structure.composition
        amounts = composition.get_el_amt_dict()
        decided = set(amounts) <= set(NUMBERS)
        return {
            "id": name,
            "formula": composition.reduced_formula,
            "chemical_system": composition.chemical_system,
            "n_atoms": len(structure),
            "space_group": symbol,
            "space_group_number": number,
            "space_group_tight": space_group(structure, TIGHT)[1],
            "volume": float(structure.volume),
            "density": float(structure.density) if decided and structure.volume > 0 else float("nan"),
            "structure_valid": geometry_valid(crystal),
            "novel_system": not self.reference.hull.knows_system(amounts),
            "composition_valid": balanced(amounts),
            "hhi_score": _number(hhi(amounts) if decided else None),
            "hhi_production": _number(hhi(amounts, of="production") if decided else None),
        }

    def verdict(self, crystal: Crystals, relaxed: Relaxed, name: str, *, was_relaxed: bool = True) -> Verdict:
        """All but uniqueness, which needs the others."""
        with self.stages("description"):
            columns = self.describe(crystal, name)
        failed = not np.isfinite(relaxed.energy)
        final = crystal if failed else relaxed.crystal
        with self.stages("matching"):
            ready = probe(final, name)
        columns |= {
            "status": "failed" if failed else "judged",
            "relaxed_converged": bool(relaxed.converged) if was_relaxed else None,
            "relaxation_steps": relaxed.steps if was_relaxed else None,
        }
        reasons = [f"Not judged: {relaxed.reason}."] if failed else [relaxed.reason]
        with self.stages("displacement and symmetry"):
            columns |= self._geometry(crystal, final, relaxed, was_relaxed and not failed)
        with self.stages("surroundings"):
            columns |= self._surroundings(final)
        with self.stages("hull"):
            columns |= self._energies(ready, relaxed, reasons)
        with self.stages("matching"):
            columns |= self._novelty(ready, reasons)
        columns["reason"] = " ".join(reason for reason in reasons if reason)
        if failed:  # what it never came to rest as is neither new nor known
            columns |= {"novelty": "", "novel": None, "nearest_known": None, "nearest_distance": float("nan")}
        return Verdict(row=relaxed.row, columns=columns, relaxed=relaxed, probe=ready)

    def _geometry(self, crystal: Crystals, final: Crystals, relaxed: Relaxed, moved: bool) -> dict[str, Any]:
        from model.io import space_group, to_structures

        magnetic = float(magnetic_density(final, relaxed.moments)[0])
        if not moved:
            nan = float("nan")
            return {"rmsd": nan, "rmsd_paired": nan, "relaxed_space_group": None, "relaxed_space_group_number": None,
                    "relaxed_space_group_tight": None, "relaxed_volume": nan, "ml_mag_density": magnetic}  # fmt: skip
        before, after = to_structures(crystal)[0], to_structures(final)[0]
        symbol, number = space_group(after)
        return {
            "rmsd": displacement(before, after),
            "rmsd_paired": paired_displacement(crystal, final),
            "relaxed_space_group": symbol,
            "relaxed_space_group_number": number,
            "relaxed_space_group_tight": space_group(after, TIGHT)[1],
            "relaxed_volume": float(after.volume),
            "ml_mag_density": magnetic,
        }

    def _surroundings(self, final: Crystals) -> dict[str, Any]:
        try:
            found = self.environments.judge(final)
        except ValueError:  # a cell that is no cell
            return {"known_environments": 0.0, "odd_environments": "no cell"}
        return {"known_environments": found.known, "odd_environments": "; ".join(found.odd[:3])}

    def _energies(self, ready: Probe, relaxed: Relaxed, reasons: list[str]) -> dict[str, Any]:
        footing = self.reference.footing(ready.composition)
        n = sum(ready.composition.values())
        formation = self.reference.formation_energy(ready.composition, relaxed.energy, self.potential.name)
        above = formation - footing.energy
        reasons.append(why_unstable(above, formation, footing, failed=not np.isfinite(relaxed.energy)))
        return {
            "energy": relaxed.energy / n,
            "formation_energy": formation,
            "energy_above_hull": above,
            "hull_coverage": footing.known,
            "stable": bool(above <= STABLE) if np.isfinite(above) else None,
        }

    def _novelty(self, ready: Probe, reasons: list[str]) -> dict[str, Any]:
        near = nearest(ready, self.reference.known, self.matcher)
        verdict = _novelty(
            near, formula_known=self.reference.knows_formula(ready.formula), element=len(ready.composition) == 1
        )
        reasons.append(why_not_new(verdict, near, ready, has_structures=self.reference.has_structures))
        return {
            "novelty": verdict,
            "novel": None if verdict == "undecided" else verdict == "novel",
            "nearest_known": near.id if near else None,
            "nearest_distance": near.distance if near else float("nan"),
        }


def evaluate(
    candidates: Candidates | Crystals,
    *,
    potential: Potential | None = None,
    reference: Reference | None = None,
    ids: Sequence[str] | None = None,
    relax: bool = True,
    fmax: float = 0.05,
    steps: int = 500,
    made: int | None = None,
    missing: Mapping[str, str] | None = None,
    earlier: Earlier | None = None,
    matcher: Matcher | None = None,
    constraints: Constraints | None = None,
    others: Sequence[Reference] = (),
    memory: Memory | None = None,
    stages: Stages | None = None,
    executor: Executor = INLINE,
    watch: Watch = silent,
) -> Evaluation:
    """Judge crystals: relax them, measure them against the hull, and tell which are unique and novel.

    `potential` is CHGNet and `reference` the shipped one unless given. `made` and `missing` account for crystals that
    were generated but are not here. `earlier` are crystals of the same set judged before, for uniqueness. `constraints`
    are what was asked, where that is known; `others` are further references whose hulls are told of too. With a
    `memory`, what came to rest in an interrupted evaluation is not relaxed again. `stages` is told where the time
    goes. `watch` hears of every crystal as soon as it is judged, as a `Verdict`.
    """
    crystals, names = _names(candidates, ids)
    judge = replace(make_judge(potential, reference, matcher), stages=Stages() if stages is None else stages)
    start = time.perf_counter() - judge.stages.total
    found: list[Verdict | None] = [None] * len(crystals)
    for verdict in judging(
        judge, crystals, names, relax=relax, fmax=fmax, steps=steps, memory=memory, executor=executor, watch=watch
    ):
        found[verdict.row] = verdict
    judge.stages.add("relaxation" if relax else "energies", time.perf_counter() - start - judge.stages.total)
    with judge.stages("matching"):
        verdicts = settle([v for v in found if v is not None], earlier or Earlier(judge.matcher))
    with judge.stages("the set as a whole"):
        energies = np.array([verdict.columns["formation_energy"] for verdict in verdicts], dtype=float)
        probes = [verdict.probe for verdict in verdicts]
        of_all = set_columns(probes, energies, judge.reference, families(probes))
        table = tabulate(verdicts, candidates).assign(**of_all)
    table = table if constraints is None else learn_obedience(table, constraints)
    above = {other.name: _above(verdicts, other, judge.potential.name) for other in others}
    card = score(
        table, made=len(table) + len(missing or {}) if made is None else made, missing=missing or {},
        reference=judge.reference.name, energy_model=judge.potential.name, matcher=matcher_name(judge),
        relaxed=relax, constraints=constraints, known=len(judge.reference.known), others=above,
    )  # fmt: skip
    return Evaluation(
        candidates=Candidates(crystals=crystals, table=table),
        relaxation=gather([v.relaxed for v in verdicts], judge.potential.name),
        scorecard=card, others=above,
    )  # fmt: skip


def scored_again(
    evaluation: Evaluation, missing: Mapping[str, str], constraints: Constraints | None, *, known: int
) -> Evaluation:
    """The evaluation with the scorecard of its table as it is now, after more was measured; its notes stay."""
    card = evaluation.scorecard
    again = score(
        evaluation.candidates.table, made=card.made, missing=missing, reference=card.reference,
        energy_model=card.energy_model, matcher=card.matcher, relaxed=card.relaxed, notes=card.notes,
        constraints=constraints, known=known, others=evaluation.others,
    )  # fmt: skip
    return replace(evaluation, scorecard=again)


def set_columns(
    probes: Sequence[Probe], formation: Float[np.ndarray, " crystals"], reference: Reference,
    groups: Sequence[Sequence[str]],
) -> dict[str, Any]:
    """What only the whole set tells: energies above the hull it makes itself, and who may share a disordered parent.

    `groups` are names of crystals that may, as `matching.families` finds them.
    """
    parents = {name: group[0] for group in groups if len(group) > 1 for name in group}
    return {
        "own_hull": reference.hull.own([one.composition for one in probes], formation),
        "disordered_parent": np.array([parents.get(one.id) for one in probes], dtype=object),
    }


def _above(verdicts: Sequence[Verdict], reference: Reference, energy_model: str) -> Float[np.ndarray, " batch"]:
    """Energies above the hull of another reference, in eV/atom."""
    return np.array([
        reference.formation_energy(verdict.probe.composition, verdict.relaxed.energy, energy_model)
        - reference.footing(verdict.probe.composition).energy
        for verdict in verdicts
    ], dtype=float)  # fmt: skip


def make_judge(
    potential: Potential | None = None, reference: Reference | None = None, matcher: Matcher | None = None
) -> Judge:
    """A judge with CHGNet, the shipped reference and the ordered matcher, unless others are given.

    Raises BadReferenceError at once where the reference has no elemental energies for the energy model.
    """
    if potential is None:
        from model.relax.chgnet import CHGNetPotential

        potential = CHGNetPotential()
    reference = reference or Reference.shipped()
    reference.elemental(potential.name)
    return Judge(reference, potential, matcher or Matcher())


def judging(
    judge: Judge,
    crystals: Crystals,
    names: Sequence[str],
    *,
    relax: bool = True,
    fmax: float = 0.05,
    steps: int = 500,
    memory: Memory | None = None,
    executor: Executor = INLINE,
    watch: Watch = silent,
) -> Iterator[Verdict]:
    """Verdicts as crystals come to rest, in whatever order they do, still without uniqueness."""

    def standing(some: Crystals) -> Iterator[Relaxed]:
        return _standing(some, judge.potential)

    if relax:
        stream = relaxing(crystals, judge.potential, fmax=fmax, steps=steps, executor=executor, memory=memory)
    else:
        stream = standing(crystals) if memory is None else remembering(crystals, standing, memory)
    for done, one in enumerate(stream, start=1):
        verdict = judge.verdict(crystals[one.row], one, names[one.row], was_relaxed=relax)
        watch(Progress(stage="judge", done=done, total=len(crystals), payload=verdict))
        yield verdict


def settle(verdicts: Sequence[Verdict], earlier: Earlier) -> list[Verdict]:
    """Tell uniqueness in the order given, against `earlier` crystals and one another, and with it S.U.N.

    `earlier` remembers them, so the next batch of a run is settled against this one.
    """
    return [
        _no_one(verdict)
        if verdict.columns["status"] == "failed"
        else _settled(verdict, earlier.first_like(verdict.probe))
        for verdict in verdicts
    ]


def _no_one(verdict: Verdict) -> Verdict:
    """A crystal that could not be judged is neither unique nor a twin, and no other is compared with it."""
    return replace(verdict, columns={**verdict.columns, "unique": None, "sun": None})


def _settled(verdict: Verdict, twin: str | None) -> Verdict:
    columns = dict(verdict.columns)
    columns["unique"] = twin is None
    columns["sun"] = _all_true(columns["stable"], twin is None, columns["novel"])
    if twin is not None:
        columns["reason"] = f"{columns['reason']} Not unique: the same as {twin}.".strip()
    return Verdict(row=verdict.row, columns=columns, relaxed=verdict.relaxed, probe=verdict.probe)


def tabulate(verdicts: Sequence[Verdict], candidates: Candidates | Crystals) -> Any:
    """The table of judged crystals; what was known of candidates before stays."""
    import pandas as pd

    rows = [dict(verdict.columns) for verdict in verdicts]
    table = pd.DataFrame(rows, columns=None if rows else _NAMES)
    for column in _FLAGS:
        if column in table:
            table[column] = table[column].astype("boolean")
    if isinstance(candidates, Candidates):
        before = candidates.table.reset_index(drop=True)
        table = table[["id"]].join(before.drop(columns=[c for c in before.columns if c in table.columns])).join(
            table.drop(columns="id"))  # fmt: skip
    return table


def _standing(crystals: Crystals, potential: Potential) -> Iterator[Relaxed]:
    """Crystals read where they stand, for energies at the geometries given."""
    for start in range(0, len(crystals), _BATCH):
        batch = crystals[start : start + _BATCH]
        reading = read(potential, batch)
        strongest = torch.zeros(len(batch), dtype=torch.float64).scatter_reduce_(
            0, batch.owner, reading.forces.norm(dim=1), "amax"
        )
        for row in range(len(batch)):
            yield Relaxed(
                row=start + row, crystal=batch[row], energy=float(reading.energy[row]), force=float(strongest[row]),
                converged=False, steps=0, reason=reading.declined.get(row, ""),
                moments=reading.moments[batch.owner == row],
            )  # fmt: skip


def _names(candidates: Candidates | Crystals, ids: Sequence[str] | None) -> tuple[Crystals, list[str]]:
    crystals = candidates.crystals if isinstance(candidates, Candidates) else candidates
    if ids is None and isinstance(candidates, Candidates) and "id" in candidates.table:
        ids = candidates.table["id"].astype(str).tolist()
    names = [str(i) for i in range(len(crystals))] if ids is None else [str(name) for name in ids]
    if len(names) != len(crystals):
        raise ValueError(f"{len(crystals)} crystals need as many ids; found {len(names)}.")
    return crystals, names


def matcher_name(judge: Judge) -> str:
    """How sameness is told, for a scorecard: novelty is told otherwise where the reference keeps no structures."""
    if judge.reference.has_structures:
        return judge.matcher.name
    return f"{judge.matcher.name} for uniqueness; formula and fingerprint for novelty (a reference without structures)"


def _novelty(near: Nearest | None, *, formula_known: bool, element: bool = False) -> str:
    """An element is never called novel: references hold some of its structures, and often lack the usual one."""
    if near is None or (element and near.matches is False):
        return "undecided" if formula_known or element else "novel"
    return {True: "known", False: "novel", None: "undecided"}[near.matches]


def _all_true(*values: bool | None) -> bool | None:
    """Three-valued and: false if any is false, undecided if any is undecided."""
    if any(value is False for value in values):
        return False
    return None if any(value is None for value in values) else True


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
