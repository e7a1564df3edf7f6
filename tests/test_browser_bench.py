"""The bench as a person meets it: a real JupyterLab, a real Chromium, from the periodic table to a CIF on disk.

Few pages and many assertions, for most of the time goes into loading JupyterLab. Screenshots stay in `artefacts/`.
"""

import io
import json
import os
import shutil
from pathlib import Path

import pytest

from workbench import server

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[1]
ELEMENTS = {"Sr", "Ti", "O"}
COUNT = 2
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]


def chromium():
    """Where Chromium is, if it is installed."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("CHROMIUM") or next((found for name in names if (found := shutil.which(name))), None)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The shipped model; where none is shipped, a small untaught one: it too must come through every panel."""
    from model.checkpoints import available, save

    if available():
        return available()[0]
    folder = tmp_path_factory.mktemp("model") / "untaught"
    save(untaught(), folder)
    return str(folder)


def untaught():
    import torch

    from model.crystals import Crystals
    from model.diffusion.crystal import CrystalDiffusion
    from model.network.denoiser import GemNetDenoiser
    from model.sampling.model import CrystalModel
    from model.statistics import Statistics
    from model.testing import famous, famous_names

    torch.manual_seed(0)
    denoiser = GemNetDenoiser(hidden=16, num_blocks=1, num_radial=16, cutoff=4.0, max_neighbors=12).eval()
    known = Crystals.join([famous(name) for name in famous_names()])
    statistics = Statistics.of(known.cell.numpy(), known.numbers.numpy(), known.n_atoms.numpy(), {})
    return CrystalModel(name="untaught", denoiser=denoiser, diffusion=CrystalDiffusion(), statistics=statistics)


@pytest.fixture(scope="module")
def bench(tmp_path_factory, model):
    """A JupyterLab of its own with the bench running in the notebook; its settings are nobody's."""
    here = tmp_path_factory.mktemp("bench")
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(installed(here)))
        for name in names:
            patch.setenv(name, str(here / name.lower()))
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("OMP_NUM_THREADS", "1")
        work = here / "work"
        notebook = server.notebook_in(work)
        content = json.loads(notebook.read_text(encoding="utf-8"))
        content["cells"][0]["source"] = f"from workbench import State, Workbench\n\nbench = Workbench(State(model_name={model!r}))\nbench"
        content["cells"].append({"cell_type": "code", "id": "other", "metadata": {}, "execution_count": None, "outputs": [], "source": ""})
        notebook.write_text(json.dumps(content), encoding="utf-8")
        lab = server.start(work, log=here / "jupyter.log")
        try:
            server.run_notebook(lab, notebook)
            yield lab, work
        finally:
            lab.stop()


def installed(here):
    """The files that the wheel puts beside JupyterLab's own, laid out as it does."""
    import tomllib

    files = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["data-files"]
    for place, names in files.items():
        (here / place).mkdir(parents=True, exist_ok=True)
        for name in names:
            shutil.copy(ROOT / name, here / place)
    return here / "share" / "jupyter"


@pytest.fixture(scope="module")
def browser():
    found = chromium()
    if found is None:
        pytest.skip("no Chromium here; install one with: apt-get install chromium (or set CHROMIUM to its path)")
    playwright = pytest.importorskip("playwright.sync_api", reason="install Playwright with: pip install playwright")
    with playwright.sync_playwright() as driver:
        window = driver.chromium.launch(executable_path=found, args=FLAGS)
        yield window
        window.close()


class Page:
    """A page that remembers what it asked of the network and what it complained of."""

    def __init__(self, browser, width=1500, height=1250):
        self.page = browser.new_page(viewport={"width": width, "height": height}, accept_downloads=True)
        self.complaints, self.strangers = [], []
        self.page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._note)

    def _note(self, request):
        if not request.url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:")):
            self.strangers.append(request.url)

    def colours(self, selector):
        """How many colours a part of the page shows: an empty canvas is visible too, but it is one colour."""
        from PIL import Image

        image = Image.open(io.BytesIO(self.page.locator(selector).first.screenshot())).convert("RGB")
        return len(image.quantize(64).getcolors()), image

    def keep(self, name):
        folder = ROOT / "artefacts"
        folder.mkdir(exist_ok=True)
        self.page.screenshot(path=str(folder / f"{name}.png"))


def said(page, what):
    return page.locator(f"[data-said={what}]").first.inner_text()


def differing(before, after):
    """Share of pixels that changed between two pictures of one size."""
    import numpy as np

    a, b = np.asarray(before, dtype=int), np.asarray(after.resize(before.size), dtype=int)
    return float((np.abs(a - b).max(axis=2) > 24).mean())


def test_from_the_periodic_table_to_a_cif_on_disk(bench, browser):
    lab, work = bench
    view = Page(browser)
    page = view.page
    page.goto(lab.url("workbench.ipynb"))

    # the bench stands without a click, every panel with its name
    page.wait_for_selector(".mgb-element[data-el=Sr]", timeout=60_000)
    headings = page.locator(".mgb-panel h2:visible").all_inner_texts()
    assert sorted(headings) == ["Candidates", "Constraints", "Distributions", "Generate", "Hull", "Sessions", "Structure"]
    page.wait_for_function("document.querySelector('.mgb-generate button:not(:disabled)')", timeout=30_000)
    assert page.locator(".mgb-element").count() > 90
    assert page.get_by_label("Sr: any").get_attribute("aria-pressed") == "false"

    # constraints: by mouse, by keyboard, and a contradiction is said at once
    for symbol in ("Sr", "Ti"):
        page.click(f".mgb-element[data-el={symbol}]")
    page.focus(".mgb-element[data-el=N]")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    assert page.get_by_label("O: exactly").get_attribute("aria-pressed") == "true"
    for label, value in (("Crystals", str(COUNT)), ("Denoising steps", "16"), ("Atoms in the cell", "2")):
        page.get_by_label(label, exact=True).fill(value)
        page.get_by_label(label, exact=True).press("Enter")
    page.wait_for_function("document.querySelector('.mgb-constraints .mgb-notice-line')?.textContent.includes('at least 3 atoms')")
    assert page.get_by_role("button", name="Generate").is_disabled()
    page.get_by_label("Atoms in the cell").fill("5")
    page.get_by_label("Atoms in the cell").press("Enter")
    page.wait_for_function("!document.querySelector('.mgb-constraints .mgb-notice-line')")
    page.get_by_role("button", name="Copy as code").click()
    page.wait_for_selector("text=chemical_system='O-Sr-Ti'")
    page.get_by_role("button", name="Copy as code").click()
    page.wait_for_selector(".mgb-hull:has-text('known phases')")

    # the run; the kernel stays free while it goes on, and nothing jumps
    places = """[...document.querySelectorAll('.mgb-panel')].filter((one) => one.clientHeight).map((one) => [one.className, one.clientHeight,
        one.getBoundingClientRect().top - document.querySelector('.mgb-bench').getBoundingClientRect().top])"""
    page.wait_for_selector("text=chemical_system='O-Sr-Ti'", state="hidden")
    before_run = page.evaluate(places)
    page.get_by_role("button", name="Generate").click()
    page.wait_for_selector("tr[data-id]", timeout=60_000)
    page.wait_for_function("['Done', 'Stopped'].some((end) => document.querySelector('[data-said=phase]')?.textContent.startsWith(end))", timeout=120_000)
    view.keep("bench-generated")
    assert said(page, "phase") == "Done"
    assert said(page, "made") == f"{COUNT} of {COUNT} crystals"
    rows = page.locator("tr[data-id]")
    assert rows.count() == COUNT
    assert page.locator(".mgb-notice-line.error").count() == 0
    assert page.evaluate(places) == before_run

    # selecting draws
    _, before = view.colours(".mgb-structure .mgb-body")
    rows.first.click()
    page.wait_for_selector(".mgb-scene canvas", timeout=60_000)
    page.wait_for_timeout(1500)
    many, after = view.colours(".mgb-structure .mgb-body")
    assert many > 20, "a drawn crystal has shades"
    assert differing(before, after) > 0.01
    assert rows.first.get_attribute("aria-selected") == "true"
    page.keyboard.press("ArrowDown")
    page.wait_for_function("document.querySelectorAll('tr[data-id]')[1].getAttribute('aria-selected') === 'true'")
    cells = page.locator(".jp-Cell").count()
    for key in ("a", "b", "x", "m"):  # which JupyterLab takes for commands of the cell
        page.keyboard.press(key)
    page.wait_for_timeout(300)
    assert (page.locator(".jp-Cell").count(), rows.count()) == (cells, COUNT)
    view.keep("bench-selected")
    page.get_by_role("button", name="Labels", exact=True).click()
    page.wait_for_function("document.querySelectorAll('.mgb-scene .tooltip').length > 4")
    page.wait_for_timeout(500)
    view.keep("bench-labels")
    assert set(page.locator(".mgb-scene .tooltip").all_inner_texts()) == ELEMENTS
    page.get_by_role("button", name="Labels", exact=True).click()
    page.wait_for_function("document.querySelectorAll('.mgb-scene .tooltip').length === 0")

    # filtering, choosing, exporting
    page.get_by_label("Filter Atoms").fill(">5")
    page.get_by_label("Filter Atoms").press("Enter")
    page.wait_for_selector(f"text=0 of {COUNT} candidates")
    page.get_by_label("Filter Atoms").fill("")
    page.get_by_label("Filter Atoms").press("Enter")
    page.wait_for_selector(f"tr[data-id] >> nth={COUNT - 1}")
    first = rows.first.get_attribute("data-id")
    page.get_by_label(f"Choose {first}", exact=True).check()
    page.wait_for_selector(f"text={COUNT} candidates, 1 chosen")
    page.get_by_role("button", name="Export").click()
    page.wait_for_selector(".mgb-candidates .mgb-notice-line:has-text('Wrote 1 crystal to')")
    cif = work / "export" / "cif" / f"{first}.cif"
    from model.io import parse_cif

    crystal = parse_cif(cif.read_text(encoding="utf-8"))[0]
    assert {site.specie.symbol for site in crystal} == ELEMENTS
    with page.expect_download() as caught:
        page.get_by_role("button", name="Zip").click()
    assert caught.value.suggested_filename == "crystals.zip"

    # closing the tab and opening it again finds everything where it was
    again = Page(browser, width=1100, height=1250)
    again.page.goto(lab.url("workbench.ipynb"))
    again.page.wait_for_selector("tr[data-id]", timeout=60_000)
    assert again.page.locator("tr[data-id]").count() == COUNT
    again.page.wait_for_selector(".mgb-scene canvas", timeout=60_000)
    again.keep("bench-narrow")
    wide = again.page.evaluate("[...document.querySelectorAll('.mgb-panel')].every((p) => p.getBoundingClientRect().right <= innerWidth)")
    assert wide, "no panel sticks out of a window of 1100 pixels"

    for one in (view, again):
        assert one.strangers == [], "no request leaves this machine"
        assert one.complaints == [], "no error in the console"


def test_the_launchers_tile_opens_the_bench(bench, browser):
    lab, work = bench
    (work / "new").mkdir()
    view = Page(browser, width=1400, height=1000)
    page = view.page
    page.goto(f"{lab.address}/lab/tree/new?token={lab.token}")
    page.click(".jp-LauncherCard:has-text('Design workbench')", timeout=60_000)
    page.wait_for_selector(".mgb-element[data-el=Sr]", timeout=60_000)
    view.keep("bench-launched")
    assert (work / "new" / "workbench.ipynb").is_file()
    assert view.strangers == []
    assert view.complaints == []


# --- when things go wrong, and when there is much ------------------------------------------------------------------------

TROUBLE = """
from pathlib import Path
from model.crystals import Crystals
from model.testing import famous, famous_names
from workbench import State, Workbench
from workbench.testing import Freezing, begin

crystals = Crystals.join([famous(name) for name in famous_names()[:4]])
broken = Freezing(crystals, batch_size=1, breaks_at=2, pause=0.02)
bench = Workbench(State(model_name="no such model"), lambda state, wish: begin(state, wish, broken))
bench
"""
MANY = """
import numpy as np
import pandas as pd
from model.candidates import Candidates
from model.crystals import Crystals
from model.testing import famous
from workbench import State, Workbench

n = 5000
table = pd.DataFrame({"id": [f"c{i:05d}" for i in range(n)], "formula": "NaCl", "chemical_system": "Cl-Na", "space_group": "Fm-3m", "n_atoms": 2,
    "energy_above_hull": np.linspace(0, 0.5, n), "status": "judged"})
bench = Workbench(State(), sessions="workbench.ipynb/sessions")
bench.state.candidates = Candidates(crystals=Crystals.join([famous("rocksalt-NaCl")] * n), table=table)
bench
"""


def notebook_of(lab, work, name, source):
    """A notebook of one cell, run in a kernel of its own."""
    notebook = work / f"{name}.ipynb"
    content = json.loads(server.NOTEBOOK.read_text(encoding="utf-8"))
    content["cells"] = [content["cells"][0] | {"source": source.strip()}]
    notebook.write_text(json.dumps(content), encoding="utf-8")
    server.run_notebook(lab, notebook)
    return notebook.name


@pytest.mark.slow
def test_whatever_goes_wrong_is_a_sentence_and_no_panel_dies(bench, browser):
    lab, work = bench
    kept = work / "sessions" / "damaged"
    shutil.copytree(ROOT / "tests" / "golden" / "session-format-1", kept)
    (kept / "candidates.csv").write_bytes(b"\x00\xff{")
    (kept / "relaxed.extxyz").unlink()
    view = Page(browser, width=1400, height=1500)
    page = view.page
    page.goto(lab.url(notebook_of(lab, work, "trouble", TROUBLE)))

    # a model that is not there
    page.wait_for_selector(".mgb-constraints .mgb-notice-line.error:has-text('There is no model')", timeout=60_000)
    assert page.get_by_role("button", name="Generate", exact=True).is_disabled()

    # a session that is damaged opens as far as it can
    listed = page.locator(".mgb-sessions select option").all_inner_texts()
    page.locator(".mgb-sessions select").select_option(index=next(i for i, text in enumerate(listed) if text.startswith("first-format")))
    page.locator(".mgb-sessions").get_by_role("button", name="Open").click()
    page.wait_for_selector(".mgb-sessions .mgb-notice-line.warning:has-text('cannot be read')")
    page.wait_for_selector("tr[data-id=s3-0001]")

    # a run that fails at its third batch: two crystals stay, and the traceback is one click away
    page.get_by_label("Model", exact=True).fill("base")
    page.get_by_label("Model", exact=True).press("Enter")
    page.wait_for_function("document.querySelector('.mgb-generate .mod-primary:not(:disabled)')", timeout=60_000)
    page.get_by_role("button", name="Generate", exact=True).click()
    failed = page.locator(".mgb-generate .mgb-notice-line.error")
    failed.wait_for(timeout=30_000)
    assert "Batch 2 broke" in failed.inner_text()
    assert "RuntimeError" not in failed.inner_text()
    failed.locator("summary").click()
    assert "RuntimeError" in failed.inner_text()
    assert page.locator("tr[data-id]").count() == 2
    view.keep("bench-trouble")
    page.get_by_role("button", name="Resume").click()
    page.wait_for_function("document.querySelectorAll('tr[data-id]').length === 4", timeout=30_000)

    # the other panels are alive
    page.locator("tr[data-id]").first.click()
    page.wait_for_selector(".mgb-scene canvas", timeout=60_000)
    assert view.strangers == []
    assert view.complaints == []


@pytest.mark.slow
def test_five_thousand_candidates_in_the_dark_by_keyboard(bench, browser):
    lab, work = bench
    view = Page(browser, width=1400, height=1500)
    page = view.page
    page.goto(lab.url(notebook_of(lab, work, "many", MANY)))
    page.wait_for_selector("text=5000 candidates", timeout=60_000)
    assert page.locator("tr[data-id]").count() < 100, "only what is looked at is drawn"

    # a folder that cannot be written is said in the panel that keeps
    page.wait_for_selector(".mgb-sessions .mgb-notice-line.error:has-text('cannot be kept')", timeout=30_000)

    # scrolling to the end, and the last row can be clicked
    grid = page.locator(".mgb-grid")
    for share in (0.2, 0.5, 0.8, 1.0):
        grid.evaluate("(grid, share) => { grid.scrollTop = grid.scrollHeight * share; }", share)
        page.wait_for_timeout(150)
    page.locator("tr[data-id=c04999]").click(timeout=60_000)
    page.wait_for_selector("tr[data-id=c04999][aria-selected=true]")
    page.wait_for_selector(".mgb-scene canvas", timeout=60_000)

    # by keyboard: up and page up from there; sort by pressing Enter on a header
    page.keyboard.press("ArrowUp")
    page.wait_for_selector("tr[data-id=c04998][aria-selected=true]")
    page.keyboard.press("PageUp")
    page.wait_for_selector("tr[data-id=c04988][aria-selected=true]")
    page.keyboard.press("Space")
    page.wait_for_selector("text=5000 candidates, 1 chosen")
    page.locator("[data-sort=energy_above_hull]").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("th[aria-sort=ascending] [data-sort=energy_above_hull]")

    # every input and button says what it is
    nameless = page.evaluate("""[...document.querySelectorAll('.mgb-bench :is(button, input, select, [role=slider])')].filter((one) => one.offsetParent
        && !(one.getAttribute('aria-label') || one.title || one.textContent.trim() || one.labels?.length || one.getAttribute('placeholder'))).map((one) => one.outerHTML.slice(0, 120))""")
    assert nameless == []

    # the dark theme: text stands out from its ground, and the structure is drawn again without an error
    page.click("text=Settings")
    page.hover("text=Theme")
    page.click("li[data-command='apputils:change-theme']:has-text('JupyterLab Dark')")
    page.wait_for_function("document.body.dataset.jpThemeLight === 'false'")
    page.wait_for_timeout(1500)
    view.keep("bench-dark")
    contrast = page.evaluate("""(() => {
        const light = (colour) => { const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
        const ground = light(getComputedStyle(document.querySelector('.mgb-candidates')).backgroundColor);
        return [...document.querySelectorAll('.mgb-grid td:not(.pending), .mgb-title h2, .mgb-field > label')].slice(0, 200).map((one) => light(getComputedStyle(one).color))
            .map((ink) => (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05)).reduce((a, b) => Math.min(a, b)); })()""")
    assert contrast > 3
    assert view.strangers == []
    assert view.complaints == []


def phase(page, *wanted, seconds=180):
    page.wait_for_function(
        "(wanted) => wanted.some((one) => document.querySelector('[data-said=phase]')?.textContent.startsWith(one))", arg=list(wanted), timeout=seconds * 1000)


@pytest.mark.slow
def test_cancelled_resumed_brushed_played_back_and_compared(bench, browser, model):
    import time

    lab, work = bench
    view = Page(browser, width=1400, height=1900)
    page = view.page
    source = f"from workbench import State, Workbench\n\nbench = Workbench(State(model_name={model!r}))\nbench"
    page.goto(lab.url(notebook_of(lab, work, "long", source)))
    page.wait_for_function("document.querySelector('.mgb-generate .mod-primary:not(:disabled)')", timeout=60_000)
    for symbol in ("Li", "O"):
        page.click(f".mgb-element[data-el={symbol}]")
    for label, value in (("Crystals", "10"), ("Denoising steps", "60"), ("Atoms in the cell", "3")):
        page.get_by_label(label, exact=True).fill(value)
        page.get_by_label(label, exact=True).press("Enter")

    # watched: the running batch is seen, and the cancel answers at once
    page.get_by_role("button", name="Generate", exact=True).click()
    page.wait_for_selector("text=undecided", timeout=60_000)
    page.wait_for_selector("tr[data-id]", timeout=60_000)
    pressed = time.monotonic()
    page.get_by_role("button", name="Cancel", exact=True).click()
    phase(page, "Cancelled", seconds=20)
    waited = time.monotonic() - pressed
    print(f"cancelled after {waited:.2f} s")
    made = page.locator("tr[data-id]").count()
    assert 0 < made < 10
    page.get_by_role("button", name="Resume", exact=True).click()
    phase(page, "Done")
    page.wait_for_selector("text=10 candidates")

    # brushing the histogram narrows the table, and its chip takes it back
    plot = page.locator(".mgb-distributions .nsewdrag").first
    box = plot.bounding_box()
    page.mouse.move(box["x"] + 4, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] / 2, steps=8)
    page.mouse.up()
    page.wait_for_selector(".mgb-chip:has-text('Energy above hull')")
    view.keep("bench-brushed")
    page.locator(".mgb-chip button").click()
    page.wait_for_selector(".mgb-chip", state="detached")

    # the path of a crystal is played back with its curves
    page.locator("tr[data-id]").nth(1).click()
    page.wait_for_selector(".mgb-scene canvas", timeout=60_000)
    page.get_by_role("button", name="Path").click()
    page.wait_for_selector(".mgb-path .mgb-plot .scatterlayer")
    before = page.locator(".mgb-playback .facts").inner_text()
    page.locator(".mgb-playback .widget-play button, .mgb-playback .jupyter-widget-play button").first.click()
    page.wait_for_function("(before) => document.querySelector('.mgb-playback .facts').innerText !== before", arg=before)

    # another run, and the first beside it
    page.get_by_label("Seed", exact=True).fill("5")
    page.get_by_label("Seed", exact=True).press("Enter")
    page.get_by_label("Crystals", exact=True).fill("2")
    page.get_by_label("Crystals", exact=True).press("Enter")
    page.get_by_role("button", name="Generate", exact=True).click()
    page.wait_for_selector("text=2 candidates", timeout=60_000)
    phase(page, "Done")
    page.wait_for_timeout(3000)
    listed = page.locator(".mgb-sessions select option").all_inner_texts()
    page.locator(".mgb-sessions select").select_option(index=next(i for i, text in enumerate(listed) if "10/10" in text))
    page.get_by_role("button", name="Compare", exact=True).click()
    page.wait_for_selector(".mgb-comparison tr:has-text('Stable')")
    view.keep("bench-compared")

    # the first opens again, with its paths
    page.get_by_role("button", name="Open", exact=True).click()
    page.wait_for_selector("text=10 candidates")
    page.locator("tr[data-id]").nth(2).click()
    page.wait_for_selector(".mgb-path .mgb-plot .scatterlayer")
    view.keep("bench-reopened")
    assert view.strangers == []
    assert view.complaints == []
