"""Writes a fixed sample of SST-2's training rows, for comparisons that fit an evening.

    python scripts/bench/sst2_subset.py SST-2/train.tsv OUT.tsv [--rows 20000] [--seed 0]
"""

import argparse
import random


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--rows", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with open(arguments.source, encoding="utf-8") as file:
        header, *rows = file.readlines()
    with open(arguments.target, "w", encoding="utf-8") as file:
        file.write(header)
        file.writelines(random.Random(arguments.seed).sample(rows, arguments.rows))


if __name__ == "__main__":
    main()
