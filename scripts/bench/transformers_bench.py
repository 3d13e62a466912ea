"""The rival's side of the benchmark: transformers + PyTorch on the CPU, one JSON line per run.

    python scripts/bench/transformers_bench.py --model MINILM --data SST-2/train.tsv --work train --setting dynamic

work      train    fine-tuning: cross-entropy, dropout on, fused AdamW, clipping
          predict  logits in evaluation mode
          kd       a student cut from the model, on labels and on stored teacher logits
setting   dynamic  file order, each batch padded to its longest sentence: as people run it
          grouped  similar lengths together (Trainer's length grouping; prediction: sorted by length): its best
          fixed32  random ids, 32 tokens in every row: no padding for anyone

Loading, tokenising and warm-up are not in the rate. Batches are built by a few lines of numpy, which is
quicker than the library's collator, so the rival is not slowed down by it.
"""

import argparse
import itertools
import json
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import transformers
from torch.nn.functional import cross_entropy, kl_div, log_softmax, softmax
from transformers import AutoTokenizer, BertForSequenceClassification

LABELS = 2
MEGA_BATCH = 50  # Trainer sorts by length within 50 shuffled batches at a time
WARM_UP = 3


@dataclass
class Data:
    ids: list[list[int]]
    labels: np.ndarray
    teacher_logits: np.ndarray | None
    tokenise_s: float


@dataclass
class Batch:
    ids: torch.Tensor
    mask: torch.Tensor
    labels: torch.Tensor
    teacher_logits: torch.Tensor | None

    def inputs(self) -> dict[str, torch.Tensor]:
        return {"input_ids": self.ids, "attention_mask": self.mask}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder of a BERT in Hugging Face form")
    parser.add_argument("--data", help="tab-separated, header `sentence<TAB>label` (not needed by fixed32)")
    parser.add_argument("--limit", type=int, help="use the first N rows only")
    parser.add_argument("--work", choices=["train", "predict", "kd"], required=True)
    parser.add_argument("--setting", choices=["dynamic", "grouped", "fixed32"], default="dynamic")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, help="stop after N batches (default: one pass over the data)")
    parser.add_argument("--seconds", type=float, help="stop after this time")
    parser.add_argument("--learning-rate", type=float, default=2e-5)
    parser.add_argument("--teacher-logits", help="kd: .npy of [rows, 2], rows as in the data")
    parser.add_argument("--student-layers", default="0,2,4", help="kd: layers of the model that the student keeps")
    parser.add_argument("--temperature", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def read(args: argparse.Namespace) -> Data:
    """Rows of the file as token ids; for fixed32, random ones."""
    if args.setting == "fixed32":
        rng, rows = np.random.default_rng(args.seed), 64 * args.batch_size
        ids = rng.integers(1000, 30000, size=(rows, 32)).tolist()
        logits = rng.normal(size=(rows, LABELS)).astype(np.float32)
        return Data(ids, rng.integers(LABELS, size=rows), logits, 0.0)
    lines = Path(args.data).read_text(encoding="utf-8").rstrip("\n").split("\n")[1:][: args.limit]
    sentences, labels = zip(*(line.rsplit("\t", 1) for line in lines))
    logits = np.load(args.teacher_logits)[: len(lines)].astype(np.float32) if args.teacher_logits else None
    if args.work == "kd" and logits is None:
        raise SystemExit("--work kd needs --teacher-logits")
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    start = time.perf_counter()
    ids = tokenizer(list(sentences), truncation=True, max_length=args.max_length)["input_ids"]
    return Data(ids, np.array(labels, dtype=np.int64), logits, time.perf_counter() - start)


def plan(data: Data, args: argparse.Namespace) -> list[np.ndarray]:
    """The rows of each batch of one pass."""
    size, rows = args.batch_size, np.arange(len(data.ids))
    if args.setting != "grouped":
        return np.split(rows, range(size, len(rows), size))
    rng, lengths = np.random.default_rng(args.seed), np.array([len(ids) for ids in data.ids])
    if args.work == "predict":
        groups = [rows]
    else:
        rng.shuffle(rows)
        groups = np.split(rows, range(MEGA_BATCH * size, len(rows), MEGA_BATCH * size))
    rows = np.concatenate([group[np.argsort(-lengths[group], kind="stable")] for group in groups])
    batches = np.split(rows, range(size, len(rows), size))
    rng.shuffle(batches := list(batches))  # so that a short run meets long and short sentences alike
    return batches


def collate(data: Data, rows: np.ndarray) -> Batch:
    longest = max(len(data.ids[row]) for row in rows)
    ids, mask = np.zeros((2, len(rows), longest), dtype=np.int64)
    for i, row in enumerate(rows):
        length = len(data.ids[row])
        ids[i, :length], mask[i, :length] = data.ids[row], 1
    logits = None if data.teacher_logits is None else torch.from_numpy(data.teacher_logits[rows])
    return Batch(torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(data.labels[rows]), logits)


def load(args: argparse.Namespace) -> BertForSequenceClassification:
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    model = BertForSequenceClassification.from_pretrained(args.model, num_labels=LABELS)
    if args.work == "kd":
        kept = [int(layer) for layer in args.student_layers.split(",")]
        model.bert.encoder.layer = torch.nn.ModuleList(model.bert.encoder.layer[layer] for layer in kept)
        model.config.num_hidden_layers = len(kept)
    return model.train(args.work != "predict")


def predictor(model: BertForSequenceClassification) -> Callable[[Batch], None]:
    def step(batch: Batch) -> None:
        with torch.inference_mode():
            model(**batch.inputs()).logits.numpy()

    return step


def trainer(model: BertForSequenceClassification, args: argparse.Namespace) -> Callable[[Batch], None]:
    free = [p for n, p in model.named_parameters() if n.endswith("bias") or "LayerNorm" in n]
    held = [p for n, p in model.named_parameters() if not (n.endswith("bias") or "LayerNorm" in n)]
    groups = [{"params": held, "weight_decay": 0.01}, {"params": free, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=args.learning_rate, fused=True)
    t = args.temperature

    def step(batch: Batch) -> None:
        logits = model(**batch.inputs()).logits
        loss = cross_entropy(logits, batch.labels)
        if args.work == "kd":
            target = softmax(batch.teacher_logits / t, -1)
            loss = loss + t**2 * kl_div(log_softmax(logits / t, -1), target, reduction="batchmean")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def measure(step: Callable[[Batch], None], data: Data, args: argparse.Namespace) -> dict:
    batches = plan(data, args)
    for rows in batches[:WARM_UP]:
        step(collate(data, rows))
    order: Iterator[np.ndarray] = itertools.islice(itertools.cycle(batches), args.steps or len(batches))
    samples = tokens = padded = steps = 0
    start = time.perf_counter()
    for rows in order:
        batch = collate(data, rows)
        step(batch)
        samples += len(rows)
        tokens += int(batch.mask.sum())
        padded += batch.mask.numel()
        steps += 1
        if args.seconds and time.perf_counter() - start >= args.seconds:
            break
    seconds = time.perf_counter() - start
    return {
        "samples_per_s": round(samples / seconds, 2),
        "samples": samples,
        "steps": steps,
        "seconds": round(seconds, 3),
        "tokens_per_sample": round(tokens / samples, 2),
        "padded_tokens_per_sample": round(padded / samples, 2),
    }


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    data, model = read(args), load(args)
    result = measure(predictor(model) if args.work == "predict" else trainer(model, args), data, args)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    kept = {"work": args.work, "setting": args.setting, "batch_size": args.batch_size, "threads": args.threads}
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    other = {"tokenise_s": round(data.tokenise_s, 3), "peak_rss_mb": round(peak_mb, 1)}
    print(json.dumps(kept | result | other | versions))


if __name__ == "__main__":
    main()
