"""Time and memory of one network evaluation: ours against the plain form, over batch sizes and widths.

Run: python tests/benchmarks/network.py [--widths 512] [--batches 16] [--repeats 3] [--precision medium]
The crystals are those of the parity fixtures (bench16.npz), or random ones of their size where these are absent.
Each form runs in a process of its own, so that peak memory is its own. The third form is ours with the ordinary matrix
products of PyTorch, as the plain form has them: what the formulas alone are worth.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))

FIXTURES = Path(os.environ.get("PARITY_DIR", Path(__file__).resolve().parents[3] / "shared" / "parity"))


def crystals(count, device):
    import numpy as np

    from model.crystals import Crystals

    path = FIXTURES / "bench16.npz"
    if path.exists():
        told = np.load(path)
        one = Crystals(
            frac=torch.from_numpy(told["frac_coords"]), cell=torch.from_numpy(told["lattice"]),
            numbers=torch.from_numpy(told["atomic_numbers"]), n_atoms=torch.from_numpy(told["num_atoms"]),
        )
    else:
        from model.diffusion.crystal import CrystalDiffusion
        from model.randomness import Streams

        n = torch.tensor([4, 20, 8, 12, 6, 10, 16, 12, 8, 10, 14, 6, 12, 8, 10, 10])
        one = CrystalDiffusion().prior(n, Streams(0, torch.arange(16)))
    whole = Crystals.join([one] * -(-count // len(one)))
    return whole[slice(0, count)].to(device)


def measure(form, width, count, repeats, device, precision):
    """Seconds of the fastest of some evaluations (of the processor where one thread works), and MiB of memory above what stood before the first."""
    from plain_gemnet import plain

    from model.network import products
    from model.network.denoiser import GemNetDenoiser

    if form == "ordinary":
        products._LINEAR = None
    torch.manual_seed(0)
    torch.set_float32_matmul_precision(precision)
    denoiser = GemNetDenoiser(hidden=width, energy=True).eval().to(device)
    noisy, t = crystals(count, device), torch.full((count,), 0.5, device=device)
    with torch.no_grad():
        def evaluate():
            return plain(denoiser, noisy, t) if form == "plain" else denoiser(noisy, t)

        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        answer = evaluate()
        clock = time.process_time if device == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
        seconds = []
        for _ in range(repeats):
            begin = clock()
            evaluate()
            if device == "cuda":
                torch.cuda.synchronize()
            seconds.append(clock() - begin)
    peak = torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    ) / 1024
    return {"seconds": min(seconds), "MiB": peak, "check": float(answer.logits.double().pow(2).sum())}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--widths", type=int, nargs="+", default=[512])
    parser.add_argument("--batches", type=int, nargs="+", default=[16])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", choices=["highest", "high", "medium"], default="highest",
                        help="of matrix products, for both forms: torch.set_float32_matmul_precision")
    parser.add_argument("--form", help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.form:
        print(json.dumps(measure(told.form, told.widths[0], told.batches[0], told.repeats, told.device,
                                 told.precision)))
        return
    print(f"device {told.device}, {torch.get_num_threads()} threads, torch {torch.__version__}, {told.precision} precision")
    print(f"{'width':>6} {'crystals':>9} {'plain s':>9} {'ours s':>9} {'faster':>8} {'plain MiB':>10} {'ours MiB':>9} {'memory':>7} {'ordinary products s':>20}")
    for width in told.widths:
        for batch in told.batches:
            found = {}
            for form in ("plain", "ours", "ordinary"):
                command = [sys.executable, __file__, "--form", form, "--widths", str(width), "--batches", str(batch),
                           "--repeats", str(told.repeats), "--device", told.device, "--precision", told.precision]
                found[form] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            plain, ours = found["plain"], found["ours"]
            if abs(plain["check"] / ours["check"] - 1) > 1e-3:
                raise SystemExit("The two forms do not agree.")
            print(f"{width:>6} {batch:>9} {plain['seconds']:>9.3f} {ours['seconds']:>9.3f} "
                  f"{plain['seconds'] / ours['seconds']:>7.2f}x {plain['MiB']:>10.0f} {ours['MiB']:>9.0f} "
                  f"{ours['MiB'] / plain['MiB']:>6.2f}x {found['ordinary']['seconds']:>10.3f} "
                  f"{plain['seconds'] / found['ordinary']['seconds']:>8.2f}x")


if __name__ == "__main__":
    main()
