"""What the bench costs: importing, building, first paint in a browser, memory, a cancel amid a relaxation, many rows.

    python tests/benchmarks/bench.py [--browser]

Times are wall seconds on whatever else the machine does; the load is printed beside them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))


def fresh(code: str) -> dict:
    """What a fresh interpreter prints as JSON."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


MEMORY = """
def resident():
    return next(int(line.split()[1]) // 1024 for line in open('/proc/self/status') if line.startswith('VmRSS'))
"""


def importing() -> None:
    """`import workbench` alone, and the whole bench with its model and reference, at rest."""
    took = fresh("import time, json; t = time.perf_counter(); import workbench; print(json.dumps({'s': time.perf_counter() - t}))")
    print(f"import workbench                      {took['s']:.2f} s")
    code = MEMORY + """
import json, time
t = time.perf_counter()
from workbench import Workbench
bench = Workbench(sessions='/nonexistent/sessions')
built, spent = time.perf_counter() - t, time.process_time()
while bench.state.model is None or bench.state.reference is None:
    time.sleep(0.05)
ready = time.perf_counter() - t
time.sleep(3)
print(json.dumps({'built': built, 'spent': spent, 'ready': ready, 'memory': resident()}))
"""
    took = fresh(code)
    print(f"the bench built                       {took['built']:.2f} s, {took['spent']:.2f} s of a processor with the start of Python")
    print(f"its model and reference loaded        {took['ready']:.2f} s")
    print(f"memory of an idle bench               {took['memory']} MiB")


def rows(n: int = 5000) -> None:
    """Candidates in the table: sorting, filtering, brushing, scrolling, selecting, as the kernel answers."""
    import numpy as np
    import pandas as pd

    from model.candidates import Candidates
    from model.crystals import Crystals
    from model.testing import famous
    from workbench.state import State
    from workbench.widgets.candidates import CandidatesPanel
    from workbench.widgets.distributions import DistributionsPanel
    from workbench.widgets.hull import HullPanel

    chance = np.random.default_rng(0)
    table = pd.DataFrame({
        "id": [f"c{i:05d}" for i in range(n)], "formula": "NaCl", "chemical_system": "Cl-Na", "space_group": "Fm-3m",
        "n_atoms": 2, "energy_above_hull": chance.gamma(2, 0.1, n), "rmsd": chance.gamma(2, 0.2, n), "status": "judged",
    })  # fmt: skip
    state = State()
    panel, plots, hull = CandidatesPanel(state), DistributionsPanel(state), HullPanel(state)
    crystals = Crystals.join([famous("rocksalt-NaCl")] * n)

    def timed(what: str, act: object) -> None:
        start = time.perf_counter()
        act()
        print(f"{n} candidates: {what:25s} {time.perf_counter() - start:.3f} s")

    timed("all arrive", lambda: setattr(state, "candidates", Candidates(crystals=crystals, table=table)))
    timed("sorted", lambda: setattr(panel.table, "sort", ["energy_above_hull", True]))
    timed("filtered", lambda: setattr(panel.table, "filters", {"rmsd": "<0.3"}))
    timed("brushed", lambda: setattr(plots.plot, "brushed", [0.05, 0.2]))
    timed("scrolled", lambda: setattr(panel.table, "window", [600, 40]))
    timed("one selected", lambda: setattr(state, "selection", "c00042"))
    sent = len(json.dumps(panel.table.page))
    print(f"{n} candidates: a page is {sent / 1024:.1f} KiB, the hull's figure {len(hull.plot.figure) / 1024:.0f} KiB")


def cancelling(model: str, amid: str, times: int, **targets: float) -> None:
    """From pressing Cancel to the end of the run, amid what CHGNet does with crystals of up to 20 atoms."""
    from model.constraints import Constraints
    from workbench import judging, methods, wearing
    from workbench.state import State

    state = State(reference=judging.reference())
    state.model, state.steps = wearing.load(model), 16
    judging.potential()
    waits = []
    for seed in range(times):
        run = methods.begin(state, Constraints(count=8, seed=seed, n_atoms=(16, 20), targets=targets)).start()
        while amid not in state.run.judging and state.run.busy:
            time.sleep(0.02)
        time.sleep(0.3 * seed)
        start = time.perf_counter()
        run.cancel()
        run.wait(60)
        waits.append(time.perf_counter() - start)
        state.candidates = state.candidates.where(state.candidates.table["index"].to_numpy() < 0)
    print(f"cancel amid {amid}, n = {times}      longest {max(waits):.2f} s, median {sorted(waits)[times // 2]:.2f} s")


def painting() -> None:
    """From running the cell to the painted bench in Chromium."""
    sys.path.insert(0, str(ROOT / "tests"))
    from playwright.sync_api import sync_playwright
    from test_browser_bench import FLAGS, chromium

    from workbench import server

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR"):
            os.environ[name] = str(Path(place) / name.lower())
        os.environ["PYTHONPATH"] = str(ROOT)
        work = Path(place) / "work"
        notebook = server.notebook_in(work)
        lab = server.start(work, log=Path(place) / "log")
        try:
            lab.ask("/api/sessions", {"path": notebook.name, "name": notebook.name, "type": "notebook", "kernel": {"name": "python3"}})
            with sync_playwright() as driver:
                page = driver.chromium.launch(executable_path=chromium(), args=FLAGS).new_page(viewport={"width": 1500, "height": 1250})
                page.goto(lab.url(notebook.name))
                page.wait_for_selector("text=Python 3 (ipykernel) | Idle", timeout=90_000)
                page.wait_for_timeout(3000)
                start = time.perf_counter()
                page.locator(".jp-CodeCell .cm-content").first.click()
                page.keyboard.press("Shift+Enter")
                page.wait_for_selector(".mgb-element[data-el=Sr]", timeout=90_000)
                print(f"first paint after the cell is run     {time.perf_counter() - start:.2f} s")
                page.wait_for_function("document.querySelector('.mgb-generate button:not(:disabled)')", timeout=90_000)
                print(f"ready to generate                     {time.perf_counter() - start:.2f} s")
        finally:
            lab.stop()


def main() -> None:
    """Print every measurement."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--browser", action="store_true", help="measure the first paint too; needs Chromium and Playwright")
    told = asked.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    importing()
    rows()
    cancelling("base", "force reading", 5)
    cancelling("base-bulk-modulus", "bulk moduli", 3, ml_bulk_modulus=300.0)
    if told.browser:
        painting()


if __name__ == "__main__":
    main()
