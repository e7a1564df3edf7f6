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
    headings = page.locator(".mgb-panel h2").all_inner_texts()
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

    # the run; the kernel stays free while it goes on
    page.get_by_role("button", name="Generate").click()
    page.wait_for_selector("tr[data-id]", timeout=60_000)
    page.wait_for_function("['Done', 'Stopped'].some((end) => document.querySelector('[data-said=phase]')?.textContent.startsWith(end))", timeout=120_000)
    view.keep("bench-generated")
    assert said(page, "phase") == "Done"
    assert said(page, "made") == f"{COUNT} of {COUNT} crystals"
    rows = page.locator("tr[data-id]")
    assert rows.count() == COUNT
    assert page.locator(".mgb-notice-line.error").count() == 0

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
    view.keep("bench-selected")

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
