"""Fine-tunes a BERT on SST-2 with transformers and prints the accuracy on dev after each epoch.

    python scripts/reference/finetune_sst2.py --model MINILM --train SST-2/train.tsv --dev SST-2/dev.tsv --seed 1

The other side of limbeck's accuracy comparison: same data, same settings, `finetune` instead. AdamW without decay
on biases and layer norms, clipping at 1, linear warm-up and decay. The last line is a JSON record.
"""

import argparse
import json
import time
from pathlib import Path

import torch
import transformers
from torch.nn.functional import cross_entropy
from transformers import AutoTokenizer, BertForSequenceClassification, get_linear_schedule_with_warmup

LABELS = 2
MEGA_BATCH = 50
EVALUATION_BATCH = 64
Encoded = list[tuple[list[int], int]]  # token ids and label of each sentence


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder of a BERT in Hugging Face form")
    parser.add_argument("--train", required=True, help="tab-separated, header `sentence<TAB>label`")
    parser.add_argument("--dev", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lr", type=float, default=5e-5)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--warmup", type=float, default=0.1, help="share of all steps")
    parser.add_argument("--weight-decay", type=float, default=0.01)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--limit", type=int, help="train on N rows, drawn by the seed")
    parser.add_argument("--group-by-length", action="store_true", help="batches of similar length, as Trainer's")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--save", help="folder for the model after the last epoch")
    return parser.parse_args()


def read(path: str, tokenizer: transformers.PreTrainedTokenizerBase, max_length: int) -> Encoded:
    lines = Path(path).read_text(encoding="utf-8").rstrip("\n").split("\n")[1:]
    sentences, labels = zip(*(line.rsplit("\t", 1) for line in lines))
    ids = tokenizer(list(sentences), truncation=True, max_length=max_length)["input_ids"]
    return list(zip(ids, map(int, labels)))


def collate(rows: Encoded) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    longest = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in rows])
    mask = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids, _ in rows])
    return {"input_ids": ids, "attention_mask": mask}, torch.tensor([label for _, label in rows])


def epoch_batches(data: Encoded, size: int, grouped: bool, generator: torch.Generator) -> list[Encoded]:
    order = torch.randperm(len(data), generator=generator).tolist()
    if grouped:
        span = MEGA_BATCH * size
        order = [
            row
            for start in range(0, len(order), span)
            for row in sorted(order[start : start + span], key=lambda row: -len(data[row][0]))
        ]
    batches = [[data[row] for row in order[i : i + size]] for i in range(0, len(order), size)]
    if grouped:
        batches = [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]
    return batches


def accuracy(model: BertForSequenceClassification, data: Encoded) -> float:
    model.eval()
    rows, right = sorted(data, key=lambda row: len(row[0])), 0
    with torch.inference_mode():
        for i in range(0, len(rows), EVALUATION_BATCH):
            inputs, labels = collate(rows[i : i + EVALUATION_BATCH])
            right += int((model(**inputs).logits.argmax(-1) == labels).sum())
    return right / len(rows)


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = BertForSequenceClassification.from_pretrained(args.model, num_labels=LABELS)
    generator = torch.Generator().manual_seed(args.seed)
    train = read(args.train, tokenizer, args.max_length)
    dev = read(args.dev, tokenizer, args.max_length)
    if args.limit:
        train = [train[i] for i in torch.randperm(len(train), generator=generator)[: args.limit].tolist()]

    free = [p for n, p in model.named_parameters() if n.endswith("bias") or "LayerNorm" in n]
    held = [p for n, p in model.named_parameters() if not (n.endswith("bias") or "LayerNorm" in n)]
    groups = [{"params": held, "weight_decay": args.weight_decay}, {"params": free, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=args.lr, fused=True)
    steps = args.epochs * -(-len(train) // args.batch_size)
    schedule = get_linear_schedule_with_warmup(optimizer, round(args.warmup * steps), steps)

    start, by_epoch = time.perf_counter(), []
    for epoch in range(args.epochs):
        model.train()
        total = 0.0
        for rows in epoch_batches(train, args.batch_size, args.group_by_length, generator):
            inputs, labels = collate(rows)
            loss = cross_entropy(model(**inputs).logits, labels)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            total += loss.item() * len(rows)
        by_epoch.append(accuracy(model, dev))
        spent, mean = time.perf_counter() - start, total / len(train)
        print(f"epoch {epoch + 1}: loss {mean:.4f}, dev accuracy {by_epoch[-1]:.4f}, {spent:.0f} s", flush=True)
    if args.save:
        model.save_pretrained(args.save)
        tokenizer.save_pretrained(args.save)
    record = {"dev_accuracy": by_epoch, "train_rows": len(train), "seconds": round(time.perf_counter() - start, 1)}
    print(json.dumps(record | vars(args) | {"torch": torch.__version__, "transformers": transformers.__version__}))


if __name__ == "__main__":
    main()
