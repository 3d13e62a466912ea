"""Compares limbeck's probabilities at a mask with transformers' on one masked language model and some texts.

Made with torch 2.15.0 and transformers 5.23.0 (`setup.sh` makes the environment):

    cargo build --release -p limbeck-train --example fill
    python scripts/reference/same_fillings.py MODEL TEXTS [--fill target/release/examples/fill]

MODEL is a folder that `limbeck pretrain mlm` or transformers wrote; TEXTS has one sentence per line, each with one
`[MASK]`. Prints the largest difference of a probability, and fails above 1e-5.
"""

import argparse
import json
import subprocess
import sys

import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("texts")
    parser.add_argument("--fill", default="target/release/examples/fill")
    arguments = parser.parse_args()
    with open(arguments.texts, encoding="utf-8") as file:
        texts = [line.strip() for line in file if "[MASK]" in line]
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model, report = AutoModelForMaskedLM.from_pretrained(arguments.model, output_loading_info=True)
    model.eval()
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    print(f"{type(model).__name__}, tied {tied}, missing {sorted(report['missing_keys'])}, unexpected {sorted(report['unexpected_keys'])}")
    command = [arguments.fill, arguments.model, "--all"]
    done = subprocess.run(command, input="\n".join(texts) + "\n", capture_output=True, text=True, check=True)
    worst = 0.0
    for text, line in zip(texts, done.stdout.splitlines(), strict=True):
        batch = tokenizer(text.replace("[MASK]", tokenizer.mask_token), truncation=True, return_tensors="pt")
        place = batch["input_ids"][0].tolist().index(tokenizer.mask_token_id)
        with torch.inference_mode():
            expected = model(**batch).logits[0, place].softmax(-1)
        found = torch.tensor(json.loads(line)["probabilities"])
        worst = max(worst, (found - expected).abs().max().item())
    print(f"{len(texts)} texts, largest difference of a probability {worst:.2e}")
    return 0 if worst < 1e-5 and tied and not report["missing_keys"] else 1


if __name__ == "__main__":
    sys.exit(main())
