"""What transformers computes with masked language models and sentence encoders, for the tests.

    python scripts/reference/masked_lm.py [MINILM]        (after tiny_models.py)

writes
- `fixtures/training/masked_lm.json` and `masked_lm_final.safetensors`: 20 steps of `tiny-bert-mlm` on given masks,
  without dropout, so a second implementation can follow step by step;
- `fixtures/tiny-*-mlm/filling.json`: texts with a gap, their tokens, and the probabilities at the mask;
- `fixtures/tiny-bert/sentence_vectors.json`: mean and first-token pooling, as they are and normalised;
- with MINILM, the folder of all-MiniLM-L6-v2: `fixtures/minilm_vectors.json`, the normalised mean of a few sentences.
"""

import random
import sys
from dataclasses import asdict, dataclass

import torch
from fixture_files import FIXTURES, write_json, write_tensors
from tiny_models import ARCHITECTURES, EXAMPLES, IGNORED, encode, pad
from torch.nn.functional import normalize
from training_run import CLS, FIRST_WORD, SEP, VOCABULARY, decay_groups
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer, BertForMaskedLM, get_linear_schedule_with_warmup
from transformers.utils.logging import disable_progress_bar

MASK = 4
# (before, after, second sentence or None); the spaces are those of the text
GAPS = [
    ("the film is ", " .", None),
    ("", " film is not bad , but the story is dull !", None),
    ("a very slow story about the ", "", None),
    ("it's un", "able - never in a slow movie", None),
    ("the film is ", ".", "the film is good."),
    ("a ", " movie", "a great movie about the snow and the fun in it , and a good act"),
    (" the  Café is", " ,and  never", None),
]
LONG = ("the film is good and the plot is not bad , but the story is " * 3, " film", None)
SENTENCES = [
    "a good film .",
    "The plot is not bad , but the acting is dull !",
    "A gorgeous, witty, seductive movie.",
    "It's slow -- very, very slow.",
]


@dataclass
class Settings:
    steps: int = 20
    batch_size: int = 6
    learning_rate: float = 2e-3
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    warmup_steps: int = 3


def masked_sentences(count: int, rng: random.Random) -> list[dict]:
    """Random sentences with hidden tokens: places, what stood there, and what the model reads."""
    found = []
    for _ in range(count):
        words = [rng.randrange(FIRST_WORD, VOCABULARY) for _ in range(rng.randint(3, 14))]
        ids, places, targets = [CLS, *words, SEP], [], []
        for place in range(1, len(words) + 1):
            if rng.random() < 0.2 or (place == len(words) and not places):
                places.append(place)
                targets.append(ids[place])
                ids[place] = rng.choice([MASK] * 8 + [rng.randrange(FIRST_WORD, VOCABULARY), ids[place]])
        found.append({"ids": ids, "places": places, "targets": targets})
    return found


def follow(steps: list[list[dict]], settings: Settings, dtype: torch.dtype):
    model = BertForMaskedLM.from_pretrained(FIXTURES / "tiny-bert-mlm").to(dtype).train()
    optimizer = torch.optim.AdamW(
        decay_groups(model, settings.weight_decay),
        lr=settings.learning_rate, betas=settings.betas, eps=settings.epsilon, foreach=False,
    )  # fmt: skip
    schedule = get_linear_schedule_with_warmup(optimizer, settings.warmup_steps, settings.steps)
    losses, norms, rates = [], [], []
    for sentences in steps:
        batch = pad([s["ids"] for s in sentences], None, padding=0)
        labels = torch.full_like(batch.ids, IGNORED)
        for row, sentence in enumerate(sentences):
            labels[row, sentence["places"]] = torch.tensor(sentence["targets"])
        loss = model(**batch.inputs(), labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm).item())
        losses.append(loss.item())
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return losses, norms, rates, model


def training() -> None:
    settings, rng = Settings(), random.Random(5)
    steps = [masked_sentences(settings.batch_size, rng) for _ in range(settings.steps)]
    losses, norms, rates, model = follow(steps, settings, torch.float32)
    exact, exact_norms, _, _ = follow(steps, settings, torch.float64)
    worst = max(abs(a - b) / b for a, b in zip(losses, exact))
    print(f"masked_lm: loss {losses[0]:.4f} to {losses[-1]:.4f}, fp32 against fp64 {worst:.1e}")
    write_json(
        FIXTURES / "training/masked_lm.json",
        steps=steps,
        losses=losses,
        losses_f64=exact,
        gradient_norms_f64=exact_norms,
        learning_rates=rates,
        settings=asdict(settings),
    )
    write_tensors(FIXTURES / "training/masked_lm_final.safetensors", dict(model.named_parameters()))


def filling() -> None:
    for architecture in ARCHITECTURES:
        folder = FIXTURES / f"tiny-{architecture.name}-mlm"
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForMaskedLM.from_pretrained(folder).double().eval()
        # DistilBERT and MPNet have no segments; RoBERTa has a single one.
        with_segments = architecture.name == "bert"
        rows = []
        for before, after, second in [*GAPS, LONG]:
            text = before + tokenizer.mask_token + after
            encoded = tokenizer(text, second, truncation=True, max_length=36, return_token_type_ids=with_segments)
            ids = encoded["input_ids"]
            place = ids.index(tokenizer.mask_token_id) if tokenizer.mask_token_id in ids else None
            row = {"before": before, "after": after, "second": second, "ids": ids, "place": place}
            if place is not None:
                with torch.inference_mode():
                    logits = model(**{k: torch.tensor([v]) for k, v in encoded.items()}).logits[0, place]
                row["probabilities"] = [float(f"{p:.7g}") for p in logits.softmax(-1).tolist()]
            rows.append(row)
        words = ["film", "unwatchable", "Café", "storyness", ""]
        counts = {word: len(tokenizer(word, add_special_tokens=False)["input_ids"]) for word in words}
        write_json(folder / "filling.json", max_tokens=36, rows=rows, piece_counts=counts)


def pool(model, batch, kind: str) -> torch.Tensor:
    with torch.inference_mode():
        hidden = model(**batch.inputs()).last_hidden_state
    if kind == "first":
        return hidden[:, 0]
    weights = batch.mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1)


def vectors() -> None:
    folder = FIXTURES / "tiny-bert"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    texts = [first for first, _, _ in EXAMPLES]
    encoded = tokenizer(texts, truncation=True, max_length=12)
    batch = pad(encoded["input_ids"], encoded["token_type_ids"], padding=0)
    kinds = {kind: pool(model, batch, kind) for kind in ("mean", "first")}
    write_json(
        folder / "sentence_vectors.json",
        max_tokens=12,
        texts=texts,
        **{kind: found.tolist() for kind, found in kinds.items()},
        **{f"{kind}_normalised": normalize(found).tolist() for kind, found in kinds.items()},
    )


def minilm(folder: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    # One longer than the 256 tokens that the checkpoint reads.
    texts = [*SENTENCES, "a good film is a good film , " * 60]
    encoded = tokenizer(texts, truncation=True, max_length=256)
    batch = pad(encoded["input_ids"], encoded["token_type_ids"], padding=0)
    found = normalize(pool(model, batch, "mean"))
    write_json(
        FIXTURES / "minilm_vectors.json",
        texts=texts,
        vectors=[[float(f"{v:.7g}") for v in row] for row in found.tolist()],
    )


def main() -> None:
    torch.set_num_threads(1)
    disable_progress_bar()
    training()
    filling()
    vectors()
    if len(sys.argv) > 1:
        minilm(sys.argv[1])


if __name__ == "__main__":
    main()
