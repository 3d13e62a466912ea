"""limbeck and transformers in turn on the same sentences, with medians, spread and ratios.

    python scripts/bench/paired.py --model MINILM --sst2 DIR [--rounds 5] [--seconds 10] [--threads 2]

DIR holds GLUE's SST-2 (`train.tsv`, `dev.tsv`). Run it with the Python of `scripts/reference/setup.sh` on a quiet
machine, after `cargo bench -p limbeck-train --bench throughput --no-run`. In each round every program runs once, the
rival in both of its settings, so a machine whose speed drifts slows all alike. Each ratio is taken within a round.
"""

import argparse
import glob
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def newest_bench():
    built = [path for path in glob.glob(str(ROOT / "target/release/deps/throughput-*")) if "." not in Path(path).name]
    if not built:
        sys.exit("no benchmark built; run: cargo bench -p limbeck-train --bench throughput --no-run")
    return max(built, key=os.path.getmtime)


def run(command, env=None):
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def rate(result):
    return result.get("per_second") or result["samples_per_s"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--sst2", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", nargs="*", default=["train", "predict", "predict-train", "kd", "train-fixed32", "predict-fixed32"])
    arguments = parser.parse_args()
    bench, threads = newest_bench(), str(arguments.threads)
    sst2 = Path(arguments.sst2)
    head = tempfile.NamedTemporaryFile("w", suffix=".tsv", delete=False, encoding="utf-8")
    with head, open(sst2 / "train.tsv", encoding="utf-8") as train:
        head.writelines(line for _, line in zip(range(8001), train))
    logits = tempfile.NamedTemporaryFile(suffix=".npy", delete=False).name
    import numpy

    numpy.save(logits, numpy.random.default_rng(0).normal(size=(8000, 2)).astype("float32"))
    data = {"train": head.name, "kd": head.name, "predict": str(sst2 / "dev.tsv"), "predict-train": head.name}

    def ours(work):
        kind, _, variant = work.partition("-")
        command = [bench, "--work", kind, "--model", arguments.model, "--threads", threads, "--seconds", str(arguments.seconds)]
        if variant == "fixed32":
            return rate_and_memory(command + ["--setting", "fixed32"])
        return rate_and_memory(command + ["--data", data[work]])

    def theirs(work, setting):
        kind, _, variant = work.partition("-")
        command = [sys.executable, str(HERE / "transformers_bench.py"), "--model", arguments.model, "--work", kind]
        command += ["--setting", "fixed32" if variant == "fixed32" else setting, "--threads", threads]
        command += ["--seconds", str(arguments.seconds)]
        if variant != "fixed32":
            command += ["--data", data[work]]
        if kind == "kd" and variant != "fixed32":
            command += ["--teacher-logits", logits]
        return rate_and_memory(command)

    def rate_and_memory(command):
        result = run(command)
        return rate(result), result.get("peak_rss_mb", 0)

    peaks = [run([bench, "--work", "gemm", "--threads", threads])["per_second"] for _ in range(3)]
    print(f"matrix product, 1024 x 1024 x 1024, {threads} threads: {statistics.median(peaks):.0f} GFLOP/s")
    print("| work | limbeck /s | transformers /s | best setting /s | ratio | ratio to best | peak MB, limbeck / transformers |")
    print("|---|---|---|---|---|---|---|")
    for work in arguments.work:
        rows = []
        for _ in range(arguments.rounds):
            mine, plain = ours(work), theirs(work, "dynamic")
            best = plain if work.endswith("fixed32") else theirs(work, "grouped")
            rows.append((mine, plain, best))
        show = lambda values: f"{statistics.median(values):.0f} [{min(values):.0f}..{max(values):.0f}]"
        ratio = lambda values: f"{statistics.median(values):.2f} [{min(values):.2f}..{max(values):.2f}]"
        print(
            f"| {work} | {show([m[0] for m, _, _ in rows])} | {show([p[0] for _, p, _ in rows])} | {show([b[0] for _, _, b in rows])} "
            f"| {ratio([m[0] / p[0] for m, p, _ in rows])} | {ratio([m[0] / b[0] for m, _, b in rows])} "
            f"| {max(m[1] for m, _, _ in rows):.0f} / {min(b[1] for _, _, b in rows):.0f} |",
            flush=True,
        )
    os.unlink(head.name)
    os.unlink(logits)


if __name__ == "__main__":
    main()
