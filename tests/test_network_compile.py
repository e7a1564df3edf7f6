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
