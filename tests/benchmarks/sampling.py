"""How long a thousand crystals take: extrapolated from some evaluations of the full batch.

Run: python tests/benchmarks/sampling.py [--crystals 1000] [--evaluations 50] [--model published|base]
The published figure to compare with is 2,639 s for 1,000 crystals of 2,000 evaluations each on one H100.
"""

import argparse
import time

import torch

import model
from model.network.denoiser import GemNetDenoiser
from model.randomness import Streams
from model.sampling import requests

PUBLISHED_SECONDS, PUBLISHED_EVALUATIONS = 2639.0, 2000


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crystals", type=int, default=1000)
    parser.add_argument("--evaluations", type=int, default=50)
    parser.add_argument("--batch-size", type=int, default=0, help="0: all at once")
    parser.add_argument("--model", choices=["published", "base"], default="published")
    parser.add_argument("--precision", choices=["highest", "high"], default="high", help="high: TF32, as published")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    told = parser.parse_args()
    torch.set_float32_matmul_precision(told.precision)
    base = model.load("base")
    denoiser = (GemNetDenoiser() if told.model == "published" else base.denoiser).eval().to(told.device)
    streams = Streams(0, torch.arange(told.crystals))
    n_atoms = requests.sizes(model.Constraints(count=told.crystals), base, streams).to(told.device)
    batch = told.batch_size or told.crystals
    noisy = base.diffusion.prior(n_atoms[:batch], Streams(0, torch.arange(min(batch, told.crystals), device=told.device)))
    times = torch.linspace(1, 1e-3, told.evaluations, device=told.device)

    def evaluate(t):
        with torch.no_grad(), torch.autocast(torch.device(told.device).type, torch.bfloat16, enabled=told.bf16):
            denoiser(noisy, t.expand(len(noisy)))

    evaluate(times[0])
    if told.device == "cuda":
        torch.cuda.synchronize()
    begin = time.perf_counter()
    for t in times:
        evaluate(t)
    if told.device == "cuda":
        torch.cuda.synchronize()
    each = (time.perf_counter() - begin) / told.evaluations * told.crystals / len(noisy)
    whole = each * PUBLISHED_EVALUATIONS
    memory = f", {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB" if told.device == "cuda" else ""
    print(f"{told.device}: {told.crystals} crystals ({int(n_atoms.sum())} atoms), {each:.3f} s an evaluation{memory}")
    print(f"extrapolated from {told.evaluations} evaluations: {whole:.0f} s for {PUBLISHED_EVALUATIONS}, "
          f"{3600 * told.crystals / whole:.0f} crystals an hour")
    if told.crystals == 1000 and told.model == "published":
        print(f"published, on one H100: {PUBLISHED_SECONDS:.0f} s, {PUBLISHED_SECONDS / whole:.2f} times as long")


if __name__ == "__main__":
    main()
