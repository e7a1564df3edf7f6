"""References others bring: computed entries as JSON, MatterGen's database, and what neither may do."""

import gzip
import json
import pickle

import numpy as np
import pytest
from monty.serialization import dumpfn
from pymatgen.entries.computed_entries import (
    CompositionEnergyAdjustment,
    ComputedEntry,
    ComputedStructureEntry,
    ConstantEnergyAdjustment,
)

from model.evaluation.entries import BadEntryError, computed, formation_energies, structure_of, unpickle
from model.evaluation.matching import Matcher, nearest, probe
from model.evaluation.reference import BadReferenceError, Reference
from model.io import to_structures
from model.testing import famous

ENERGIES = {"bcc-Fe": -8.0, "rocksalt-NaCl": -7.0, "rutile-TiO2": -53.0}


def entries():
    """Three crystals with their elements, in eV; one correction of each kind."""
    made = [
        ComputedStructureEntry(
            to_structures(famous(name))[0].add_oxidation_state_by_guess(), energy, data={"material_id": f"mine-{name}"}
        )
        for name, energy in ENERGIES.items()
    ]
    made[1].energy_adjustments.append(ConstantEnergyAdjustment(-0.4))
    made[2].energy_adjustments.append(CompositionEnergyAdjustment(-0.5, 4, name="oxygen"))
    elements = [("Na", -1.3), ("Cl2", -3.6), ("Ti3", -23.1), ("O2", -9.8), ("O2", -9.0), ("Fe2", -15.0)]
    return made + [ComputedEntry(formula, energy) for formula, energy in elements]


WANTED = {"NaCl": (-7.0 - 0.4 + 1.3 + 1.8) / 2, "TiO2": (-53.0 - 2.0 + 2 * 7.7 + 4 * 4.9) / 6}


@pytest.fixture
def json_file(tmp_path):
    dumpfn(entries(), tmp_path / "entries.json.gz")
    return tmp_path / "entries.json.gz"


def database(folder, name="reference_MP2020correction", poison=None):
    """MatterGen's layout, written as its authors' serializer writes it."""
    lmdb = pytest.importorskip("lmdb")
    counts: dict[str, dict[str, int]] = {}
    plain = folder / name
    with lmdb.open(str(plain), subdir=False, map_size=2**24) as store, store.begin(write=True) as transaction:

        def put(key, value):
            transaction.put(key.encode("ascii"), pickle.dumps(value, protocol=-1))

        put("name", "MP2020correction")
        for entry in (with_structure(one) for one in entries()):
            system, formula = entry.composition.chemical_system, entry.composition.reduced_formula
            k = counts.setdefault(system, {}).setdefault(formula, 0)
            put(f"{system}.{formula}.{k}", entry.as_dict() | {"weight": np.float64(0.5)})
            counts[system][formula] += 1
        if poison is not None:
            transaction.put(b"Na-Cl.NaCl.9", poison)
        put("chemical_systems", list(counts))
        for system, formulas in counts.items():
            put(f"{system}.reduced_formulas", list(formulas))
            for formula, k in formulas.items():
                put(f"{system}.{formula}.length", k)
    packed = folder / f"{name}.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    return plain, packed


def with_structure(entry):
    """The entry itself, or with some structure of its element."""
    from pymatgen.core import Lattice, Structure

    if isinstance(entry, ComputedStructureEntry):
        return entry
    n = round(entry.composition.num_atoms)
    symbol = entry.composition.elements[0].symbol
    row = Structure(Lattice.orthorhombic(3, 3, 3 * n), [symbol] * n, [[0, 0, (i + 0.1) / n] for i in range(n)])
    return ComputedStructureEntry(row, entry.energy)


def check(reference):
    """What both forms of the same entries must give."""
    for formula, energy in WANTED.items():
        assert reference.hull.energy[reference.hull.formulas[formula]] == pytest.approx(energy)
    assert set(reference.hull.formula) == set(WANTED)  # it takes the shipped hull's place
    assert reference.has_structures
    assert reference.about["elements_without_energy"] == []
    found = nearest(probe(famous("rutile-TiO2")), reference.known, Matcher())
    assert (found.id, found.matches) == ("mine-rutile-TiO2", True)


def test_computed_entries_as_json_make_a_reference(json_file, tmp_path):
    check(Reference.build([json_file], tmp_path / "ref"))


@pytest.mark.parametrize("compressed", [0, 1])
def test_the_published_database_makes_the_same_reference(tmp_path, compressed):
    file = database(tmp_path)[compressed]
    built = Reference.build([file], tmp_path / "ref")
    check(built)
    assert built.about["computed_entries"] == [f"{file.name} (MP2020correction)"]
    assert not list(tmp_path.glob(".unpacked-*"))


def test_a_correction_is_read_from_its_sum_or_from_its_parts():
    told = entries()[2].as_dict()
    whole = computed(told, "x").energy
    assert whole == pytest.approx(-55.0)
    parts = {key: value for key, value in told.items() if key != "correction"}
    assert computed(parts, "x").energy == pytest.approx(whole)
    parts["energy_adjustments"] = [{"name": "mystery"}]
    with pytest.raises(BadEntryError, match="mystery"):
        computed(parts, "x")


def test_a_structure_comes_without_its_charges():
    found = structure_of(entries()[1].as_dict())
    assert found.composition.reduced_formula == "NaCl"
    assert found.is_ordered
    assert not hasattr(found[0].specie, "oxi_state") or found[0].specie.oxi_state is None


def test_an_element_nobody_computed_leaves_its_compounds_without_energy():
    told = [computed(e.as_dict(), "x") for e in entries() if e.composition.reduced_formula != "Na"]
    found, lacking = formation_energies(told)
    assert lacking == ["Na"]
    assert np.isnan(found[1])
    assert found[2] == pytest.approx(WANTED["TiO2"])


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_would_be_executed_is_refused(protocol, capsys):
    with pytest.raises(BadEntryError, match=r"(__builtin__|builtins)\.print.*only plain data is read"):
        unpickle(pickle.dumps({"energy": Evil()}, protocol=protocol))
    assert "executed" not in capsys.readouterr().out


PLAIN = {"energy": -1.5, "sites": [1, 2, {"x": None}], "name": "NaCl", "yes": True}


@pytest.mark.parametrize(
    ("value", "protocol"),
    [(PLAIN, 0), (PLAIN, 2), (PLAIN, 5), ([np.float64(2.5), np.int64(3)], 4), (np.float32(0.5), 5), (np.bool_(True), 5),
     (("a", b"b"), 4)],
)  # fmt: skip
def test_plain_data_comes_back(value, protocol):
    assert unpickle(pickle.dumps(value, protocol=protocol)) == value


@pytest.mark.parametrize("value", [np.array([1, object()], dtype=object), np.complex128(1j), set, json.dumps])
def test_no_objects_come_out_of_a_pickle(value):
    with pytest.raises(BadEntryError):
        unpickle(pickle.dumps(value))


def test_a_damaged_pickle_is_one_sentence():
    with pytest.raises(BadEntryError, match="damaged"):
        unpickle(pickle.dumps({"a": [1] * 50})[:-20])
    with pytest.raises(BadEntryError, match="no entry"):
        unpickle(None)


def test_a_poisoned_entry_is_passed_over_by_name_and_the_others_are_taken(tmp_path, capsys):
    plain, _ = database(tmp_path, poison=pickle.dumps(Evil()))
    built = Reference.build([plain], tmp_path / "ref")
    skipped = dict(built.about["skipped"])
    assert "would be executed" in skipped["Na-Cl.NaCl.9"]
    assert "executed" not in capsys.readouterr().out
    check(built)


@pytest.mark.parametrize("text", ["{", "{}", "[]", '["text"]', '[{"energy": "x", "composition": {"Na": 1}}]'])
def test_json_that_is_none_is_refused_in_a_sentence(tmp_path, text):
    file = tmp_path / "entries.json"
    file.write_text(text)
    with pytest.raises(BadReferenceError, match=r"JSON|no list|no readable"):
        Reference.build([file], tmp_path / "ref")
    assert not (tmp_path / "ref").exists()


def test_json_naming_classes_makes_none(tmp_path):
    told = [e.as_dict() for e in entries()]
    told[0] |= {"@module": "os", "@class": "system", "data": {"@module": "subprocess", "@class": "Popen", "args": ["ls"]}}
    (tmp_path / "entries.json").write_text(json.dumps(told))
    assert len(Reference.build([tmp_path / "entries.json"], tmp_path / "ref").known) == 3


def test_entries_without_structures_give_a_hull_alone(tmp_path):
    dumpfn([ComputedEntry(e.composition, e.uncorrected_energy, e.correction) for e in entries()], tmp_path / "hull.json")
    built = Reference.build([tmp_path / "hull.json"], tmp_path / "ref")
    assert len(built.known) == 0
    assert built.footing({"Ti": 1, "O": 2}).energy == pytest.approx(WANTED["TiO2"])
    assert len(Reference.load(tmp_path / "ref").known) == 0


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_database_cut_short_is_refused(tmp_path, share):
    plain, packed = database(tmp_path)
    whole = plain.read_bytes()
    plain.write_bytes(whole[: int(share * len(whole))])
    packed.write_bytes(packed.read_bytes()[: int(share * packed.stat().st_size)])
    for number, file in enumerate((plain, packed)):
        with pytest.raises(BadReferenceError, match=r"damaged|cut short"):
            Reference.build([file], tmp_path / f"ref{number}")


def test_elemental_energies_are_fitted_on_a_database_too(tmp_path):
    from model.evaluation.check import fit_elements
    from model.relax.potential import silence

    class Constant:
        """Every crystal has 2.0 eV/atom less than its formation energy would have it."""

        name = "constant"

        def __call__(self, crystals):
            reading = silence(crystals, "")
            energy = [len(s) * (WANTED.get(s.composition.reduced_formula, 0.0) - 2.0) for s in to_structures(crystals)]
            zeros = {name: getattr(reading, name).nan_to_num() for name in ("forces", "stress", "moments")}
            return type(reading)(energy=reading.energy.new_tensor(energy), **zeros)

    found = fit_elements([database(tmp_path)[1]], Constant())
    assert found.mean_error < 0.4  # iron lies above its own lowest entry here
    assert found.energies["Na"] == pytest.approx(-2.0, abs=0.01)
