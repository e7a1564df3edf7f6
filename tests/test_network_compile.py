"""torch.compile takes the network: only the neighbour search, whose sizes depend on the data, stays outside.

In an interpreter of its own, for the shape checks of the tests are not to be compiled.
"""

import json
import shutil
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler on a CPU"),
]

SCRIPT = """
import json, pathlib, torch
from model.crystals import Crystals
from model.network.denoiser import GemNetDenoiser
from model.testing import famous

torch.manual_seed(0)
denoiser = GemNetDenoiser(hidden=16, num_blocks=1, num_radial=16, emb_size_trip=8, emb_size_bil_trip=8, num_atom=1,
                          max_neighbors=12).eval()
small = Crystals.join([famous(n) for n in ("perovskite-SrTiO3", "rutile-TiO2")])
large = Crystals.join([famous(n) for n in ("perovskite-SrTiO3", "rocksalt-NaCl", "spinel-MgAl2O4")])
compiled, apart = torch.compile(denoiser, dynamic=True), []
with torch.no_grad():
    for crystals in (small, large):
        t = torch.linspace(0.2, 0.6, len(crystals))
        ours, plain = compiled(crystals, t), denoiser(crystals, t)
        for name in ("frac", "cell", "logits"):
            exact = getattr(plain, name)
            apart.append(float((getattr(ours, name) - exact).abs().max() / exact.abs().max()))
    torch.compiler.reset()
    told = torch._dynamo.explain(denoiser)(small, torch.tensor([0.3, 0.4]))
breaks = sorted({pathlib.Path(reason.user_stack[-1].filename).name for reason in told.break_reasons})
print(json.dumps({"apart": apart, "breaks": breaks}))
"""


def test_a_compiled_network_answers_as_an_ordinary_one(tight):
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert len(told["apart"]) == 6
    assert max(told["apart"]) < 20 * tight
    assert told["breaks"] == ["graph.py"]


FUSED = """
import json, torch
from torch._dynamo.utils import counters
from model.crystals import Crystals
from model.network.denoiser import GemNetDenoiser
from model.network.fusing import fuse
from model.testing import famous

def taught(denoiser, crystals):
    denoiser.zero_grad()
    answer = denoiser(crystals, torch.linspace(0.2, 0.6, len(crystals)))
    (answer.frac.square().sum() + answer.cell.square().sum() + answer.logits.square().mean()).backward()
    return torch.cat([p.grad.flatten() for p in denoiser.parameters() if p.grad is not None])

torch.manual_seed(0)
denoiser = GemNetDenoiser(hidden=16, num_blocks=2, num_radial=16, emb_size_trip=8, emb_size_bil_trip=8, num_atom=1,
                          max_neighbors=12)
sets = [Crystals.join([famous(n) for n in names]) for names in (
    ("perovskite-SrTiO3", "rutile-TiO2"), ("perovskite-SrTiO3", "rocksalt-NaCl", "spinel-MgAl2O4"), ("fcc-Cu", "quartz-SiO2"))]
plain = [taught(denoiser, crystals) for crystals in sets]
names = list(denoiser.state_dict())
fuse(denoiser)
apart, graphs = [], []
for crystals, exact in zip(sets, plain):
    apart.append(float((taught(denoiser, crystals) - exact).abs().max() / exact.abs().max()))
    graphs.append(counters["stats"]["unique_graphs"])
print(json.dumps({"apart": apart, "graphs": graphs, "names": names == list(denoiser.state_dict())}))
"""


def test_fused_blocks_teach_as_ordinary_ones_and_are_compiled_once_for_all_sizes(tight):
    done = subprocess.run([sys.executable, "-c", FUSED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert max(told["apart"]) < 20 * tight
    assert told["graphs"][0] == told["graphs"][-1] > 0, "another batch size compiles nothing anew"
    assert told["names"]
