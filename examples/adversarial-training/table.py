"""The tables of `run.sh`, beside the paper's: `python3 table.py RUNS`, in Markdown.

The paper's numbers are those of DistilBERT, recomputed from its authors' logs of 872 dev sentences; its own table has other ones for the
model without augmentation. Only the standard library is needed.
"""

import json
import math
import sys
from pathlib import Path

RECIPES = {"deep-word-bug": "DeepWordBug", "text-fooler": "TextFooler", "bae": "BAE", "pruthi": "Pruthi"}
# Accuracy; then per recipe, in the order above: accuracy under attack, success rate, changed words (all in %), queries.
PAPER = {
    "plain": (90.25, (15.71, 82.59, 18.47, 34.16), (4.82, 94.66, 17.02, 92.09), (37.39, 58.58, 12.95, 62.00), (51.15, 43.33, 8.29, 323.80)),
    "with-embedding": (89.33, (12.50, 86.01, 19.72, 34.13), (4.36, 95.12, 18.45, 98.97), (36.93, 58.66, 12.89, 60.27), (49.77, 44.29, 8.53, 324.42)),
    "with-wordnet": (87.84, (13.88, 84.20, 20.44, 34.72), (5.73, 93.47, 17.49, 96.36), (36.35, 58.62, 12.90, 62.04), (55.85, 36.42, 8.35, 324.22)),
    "with-synonym-insertion": (89.22, (14.91, 83.29, 20.32, 35.06), (5.05, 94.34, 16.81, 93.11), (35.89, 59.77, 13.01, 59.53), (54.24, 39.20, 8.29, 323.43)),
    "only-embedding": (89.22, (11.93, 86.63, 20.42, 33.91), (3.78, 95.76, 18.66, 96.04), (36.12, 59.51, 13.46, 60.95), (52.98, 40.62, 8.71, 322.41)),
    "only-wordnet": (88.65, (11.93, 86.55, 21.09, 34.20), (2.98, 96.64, 17.61, 91.61), (38.30, 56.79, 13.73, 60.25), (57.68, 34.93, 8.34, 323.37)),
    "only-synonym-insertion": (88.65, (11.47, 87.06, 20.47, 33.68), (2.98, 96.64, 17.52, 91.54), (36.35, 58.99, 13.05, 60.33), (56.42, 36.35, 8.38, 325.22)),
}


def percent(share):
    low, high = share["interval"]["low"], share["interval"]["high"]
    return f"{100 * share['value']:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def row(*cells):
    print("| " + " | ".join(map(str, cells)) + " |")


def head(*names):
    row(*names)
    row(*["---"] * len(names))


def standing(folder):
    """Whether each example is right in the end, by its number."""
    lines = (folder / "attack.jsonl").read_text(encoding="utf-8").splitlines()
    return {found["id"]: found["outcome"] == "failed" for found in map(json.loads, lines)}


def sign_test(wins, losses):
    """The exact two-sided probability of a split at least as uneven, if either side were as likely (McNemar's test)."""
    count = wins + losses
    tail = sum(math.comb(count, k) for k in range(min(wins, losses) + 1)) / 2**count
    return min(1.0, 2 * tail)


def accuracy_table(runs):
    head("model", "rows learnt from", "dev accuracy, % [95 % interval]", "paper")
    for model, paper in PAPER.items():
        metrics = json.loads((runs / model / "metrics.json").read_text())
        accuracy = next(split for split in metrics["splits"] if split["split"] == "dev")["metrics"]["accuracy"]
        name = model.removeprefix("with-").removeprefix("only-")
        rows = runs / "rows" / (f"{name}.tsv" if model.startswith("only-") else f"{model}.tsv")
        count = len(rows.read_text(encoding="utf-8").splitlines()) - 1
        row(model, f"{count:,}", percent(accuracy), paper[0])


def attack_table(runs, place, recipe):
    head("model", "accuracy under attack, %", "paper", "success rate, %", "paper", "changed words, %", "paper", "queries", "paper", "won, lost, p")
    plain = standing(runs / "attacks/plain" / recipe)
    for model, paper in PAPER.items():
        folder = runs / "attacks" / model / recipe
        if not (folder / "metrics.json").is_file():
            continue
        found = json.loads((folder / "metrics.json").read_text())["summary"]
        under, rate, words, queries = paper[1 + place]
        against = "–"
        if model != "plain":
            mine = standing(folder)
            wins = sum(mine[example] > stood for example, stood in plain.items())
            losses = sum(mine[example] < stood for example, stood in plain.items())
            against = f"{wins}, {losses}, {sign_test(wins, losses):.2g}"
        row(
            model,
            percent(found["accuracy-under-attack"]),
            under,
            percent(found["attack-success-rate"]),
            rate,
            f"{100 * found['perturbed-word-fraction']:.1f}",
            words,
            f"{found['queries-per-attack']:.1f}",
            queries,
            against,
        )


def main():
    runs = Path(sys.argv[1])
    accuracy_table(runs)
    for place, (recipe, name) in enumerate(RECIPES.items()):
        first = runs / "attacks/plain" / recipe / "metrics.json"
        if not first.is_file():
            continue
        count = json.loads(first.read_text())["summary"]["examples"]
        print(f"\n{name}, {count} dev sentences:\n")
        attack_table(runs, place, recipe)
    masked = runs / "masked-lm/metrics.json"
    if masked.is_file():
        split = json.loads(masked.read_text())["splits"][0]
        found = ", ".join(f"{name} {value['value']:.3f}" for name, value in split["metrics"].items())
        print(f"\nBAE's language model on all {split['examples']} dev sentences: {found}")


if __name__ == "__main__":
    main()
