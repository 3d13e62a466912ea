"""limbeck and TextAttack in turn on the same model and sentences, with what both found.

    python scripts/bench/attack_speed.py --textattack VENV/bin/python --model MODEL --sst2 DIR --wordnet DIR --tagger DIR \
        --stop-words FILE --vectors STORE --encoder MINILM [--examples 200] [--rival-examples 200] [--padded-examples 10] [--rounds 3]

TextAttack runs in two settings: every query padded to 512 tokens, as its wrapper does and people run it, on the first
`--padded-examples` (it takes seconds for each), and to 64 tokens, its best for these sentences, on the first `--rival-examples`.
Ratios are of queries per second, repeated ones counted, because sentences differ in the queries that they take: on equal examples
with equal results that is the ratio of examples per second. Of the work alone: neither program's start is counted for attacks; for
augmentation limbeck's whole process is, TextAttack's import is not. TextFooler has no randomness, so there both have to find the
same texts with the same number of queries. Run it on a quiet machine; all programs use the same number of threads. On one that is
not, `--clock processor --threads 1` counts processor time instead of seconds, limbeck's start included.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
ATTACKS = ("deep-word-bug", "pruthi", "text-fooler")
AUGMENTERS = ("augment-wordnet", "augment-embedding", "augment-char-swap")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("textattack", "model", "sst2", "wordnet", "tagger", "stop-words", "vectors", "encoder"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--limbeck", default=str(ROOT / "target/release/limbeck"))
    parser.add_argument("--examples", type=int, default=200)
    parser.add_argument("--rival-examples", type=int, help="of TextAttack's best setting; default: as many as limbeck's")
    parser.add_argument("--padded-examples", type=int, default=10)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--rival-rows", type=int, help="rows that TextAttack augments; default: as many as limbeck")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall")
    parser.add_argument("--threshold", type=float, default=0.8175, help="of TextFooler's sentence similarity, for both")
    parser.add_argument("--work", nargs="*", default=list(ATTACKS + AUGMENTERS))
    return parser.parse_args()


def processor_seconds():
    """Of all programs that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run(command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr[-2000:]}")
    return done.stdout


class Bench:
    def __init__(self, args):
        self.args = args
        self.folder = Path(tempfile.mkdtemp(prefix="attack-speed-"))
        self.sst2 = Path(args.sst2)
        self.run_file = self.folder / "data.toml"
        self.run_file.write_text(
            'task = "sst-2"\n[data]\nlabels = ["negative", "positive"]\n'
            f'dev = {{ path = "{(self.sst2 / "dev.tsv").resolve()}", format = "glue", glue-task = "sst-2" }}\n'
        )
        # The same vectors and neighbours for both.
        run([args.limbeck, "vectors", "export", "--vectors", args.vectors, "--out", self.folder / "vectors"])
        self.rows = self.folder / "rows.tsv"
        lines = (self.sst2 / "train.tsv").read_text(encoding="utf-8").splitlines(keepends=True)
        self.rows.write_text("".join(lines[: args.rows + 1]), encoding="utf-8")
        self.count = 0

    def limbeck(self, work):
        self.count += 1
        out = self.folder / f"limbeck-{self.count}"
        threads = ["--threads", self.args.threads, "--quiet"]
        clock = processor_seconds if self.args.clock == "processor" else time.perf_counter
        begun = clock()
        if work in ATTACKS:
            run(
                [self.args.limbeck, *threads, "attack", self.args.model, "--data", self.run_file, "--recipe", work]
                + ["--limit", self.args.examples, "--word-vectors", self.args.vectors, "--tagger", self.args.tagger]
                + ["--sentence-encoder", self.args.encoder, "--out", out]
            )
            metrics = json.loads((out / "metrics.json").read_text())
            found = [json.loads(line) for line in (out / "attack.jsonl").read_text().splitlines()]
            summary = metrics["summary"]
            seconds = metrics["wall-time-s"] if self.args.clock == "wall" else clock() - begun
            return {
                "per_second": len(found) / seconds,
                "speed": sum(row["queries"] for row in found) / seconds,
                "succeeded": summary["succeeded"],
                "failed": summary["failed"],
                "skipped": summary["skipped"],
                "found": [(row["outcome"], row["perturbed"]["columns"][0][1], row["queries"]) for row in found],
            }
        recipe = work.removeprefix("augment-")
        run(
            [self.args.limbeck, *threads, "augment", "--recipe", recipe, "--input", self.rows, "--count", 2]
            + ["--word-fraction", 0.2, "--set", f"resources.word-vectors={self.args.vectors}", "--exclude-original"]
            + ["--out", out.with_suffix(".tsv")]
        )
        seconds = clock() - begun
        outputs = len(out.with_suffix(".tsv").read_text(encoding="utf-8").splitlines()) - 1
        return {"per_second": self.args.rows / seconds, "speed": self.args.rows / seconds, "outputs": outputs}

    def textattack(self, work, max_length, examples):
        data = self.rows if work in AUGMENTERS else self.sst2 / "dev.tsv"
        out = run(
            [self.args.textattack, HERE / "textattack_bench.py", "--work", work, "--model", self.args.model, "--data", data]
            + ["--examples", examples, "--wordnet", self.args.wordnet, "--tagger", self.args.tagger]
            + ["--stop-words", self.args.stop_words, "--vectors", self.folder / "vectors", "--encoder", self.args.encoder]
            + ["--threshold", self.args.threshold, "--max-length", max_length, "--threads", self.args.threads]
            + ["--clock", self.args.clock]
        )
        record = json.loads(out.strip().splitlines()[-1])
        return record | {"speed": record["queries"] / record["seconds"] if "queries" in record else record["per_second"]}


def spread(values):
    return f"{statistics.median(values):.4g} [{min(values):.4g}..{max(values):.4g}]"


def agreement(ours, theirs):
    """How many results are the same in outcome, text and queries."""
    pairs = [(mine, (row["outcome"], row["text"], row["queries"])) for mine, row in zip(ours, theirs)]
    same = sum(mine[0] == other[0] and mine[1].strip() == other[1].strip() and mine[2] == other[2] for mine, other in pairs)
    return f"{same} of {len(pairs)} results the same"


def main():
    args = arguments()
    rival_examples = args.rival_examples or args.examples
    rival_rows = args.rival_rows or args.rows
    bench = Bench(args)
    print("| work | limbeck /s | TextAttack, 512 tokens /s | ratio | 64 tokens /s | ratio | limbeck, TextAttack |")
    print("|---|---|---|---|---|---|---|")
    for work in args.work:
        mine, padded, short, note = [], [], [], ""
        for _ in range(args.rounds):
            ours = bench.limbeck(work)
            mine.append(ours)
            if work in ATTACKS:
                padded.append(bench.textattack(work, 512, args.padded_examples))
                theirs = bench.textattack(work, 64, rival_examples)
                kinds = ("succeeded", "failed", "skipped")
                note = "; ".join("/".join(str(result[kind]) for kind in kinds) for result in (ours, theirs))
                if work == "text-fooler":
                    note += "; " + agreement(ours["found"], theirs["found"])
            else:
                theirs = bench.textattack(work, 512, rival_rows)
                note = f"{ours['outputs']} of {args.rows} rows, {theirs['outputs']} of {rival_rows}"
            short.append(theirs)
            print(f"  {work}: " + ", ".join(f"{result[-1]['speed']:.4g}" for result in (mine, padded, short) if result), file=sys.stderr)

        def rate(results):
            return spread([result["per_second"] for result in results]) if results else ""

        def ratio(rivals):
            return spread([a["speed"] / b["speed"] for a, b in zip(mine, rivals)]) if rivals else ""

        print(f"| {work} | {rate(mine)} | {rate(padded)} | {ratio(padded)} | {rate(short)} | {ratio(short)} | {note} |")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
