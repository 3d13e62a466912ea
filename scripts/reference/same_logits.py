"""Compares limbeck's logits with transformers' on one checkpoint and some texts.

Made with torch 2.15.0 and transformers 5.23.0 (`setup.sh` makes the environment):

    python scripts/reference/same_logits.py MODEL TEXTS [--limbeck target/release/limbeck] [--head SEED]

MODEL is a folder that either program may have written; TEXTS has one sentence per line. With `--head`, a checkpoint
without a classifier first gets a random one, saved in Hugging Face's form to a temporary folder.
Prints the largest difference of a logit, relative to the largest logit, and fails above 1e-4.
"""

import argparse
import json
import subprocess
import sys
import tempfile

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer


def reference(model, tokenizer, texts):
    logits = []
    with torch.inference_mode():
        for text in texts:
            batch = tokenizer(text, truncation=True, max_length=128, return_tensors="pt")
            logits.append(model(**batch).logits[0].tolist())
    return logits


def ours(limbeck, folder, texts):
    command = [limbeck, "predict", folder, "--logits", "--quiet"]
    done = subprocess.run(command, input="\n".join(texts) + "\n", capture_output=True, text=True, check=True)
    return [json.loads(line)["logits"] for line in done.stdout.splitlines()]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("texts")
    parser.add_argument("--limbeck", default="target/release/limbeck")
    parser.add_argument("--head", type=int)
    parser.add_argument("--limit", type=int, default=200)
    arguments = parser.parse_args()
    with open(arguments.texts, encoding="utf-8") as file:
        texts = [line.strip() for line in file if line.strip()][: arguments.limit]
    with tempfile.TemporaryDirectory() as folder:
        if arguments.head is None:
            folder = arguments.model
        else:
            torch.manual_seed(arguments.head)
            model = AutoModelForSequenceClassification.from_pretrained(arguments.model, num_labels=3)
            for parameter in model.classifier.parameters():
                torch.nn.init.normal_(parameter, std=0.2)
            model.save_pretrained(folder)
            AutoTokenizer.from_pretrained(arguments.model).save_pretrained(folder)
        model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
        expected = reference(model, AutoTokenizer.from_pretrained(folder), texts)
        found = ours(arguments.limbeck, folder, texts)
    size = max(abs(value) for row in expected for value in row)
    worst = max(abs(a - b) for left, right in zip(expected, found, strict=True) for a, b in zip(left, right, strict=True))
    print(f"{len(texts)} texts, largest logit {size:.4f}, largest difference {worst:.2e}, relative {worst / size:.2e}")
    return 0 if worst / size < 1e-4 else 1


if __name__ == "__main__":
    sys.exit(main())
