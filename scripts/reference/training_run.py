"""Trains `fixtures/tiny-bert` for 50 steps, once on labels and once with a teacher, and keeps every loss.

    python scripts/reference/training_run.py        (after tiny_models.py)

writes `fixtures/training/`. No dropout, so a second implementation can follow step by step. The runs are
repeated in fp64; the difference printed at the end is what rounding alone does in 50 steps.
"""

import random
from dataclasses import asdict, dataclass

import torch
from fixture_files import FIXTURES, write_json, write_tensors
from tiny_models import Batch, pad
from torch.nn.functional import cross_entropy, kl_div, log_softmax, softmax
from transformers import BertForSequenceClassification, PreTrainedModel, get_linear_schedule_with_warmup
from transformers.utils.logging import disable_progress_bar

FOLDER = FIXTURES / "training"
CLS, SEP, FIRST_WORD, VOCABULARY = 2, 3, 5, 60


@dataclass
class Settings:
    """Everything the two runs share."""

    steps: int = 50
    batch_size: int = 8
    learning_rate: float = 2e-3
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    warmup_steps: int = 5
    hard_weight: float = 0.5
    soft_weight: float = 0.5
    temperature: float = 2.0


@dataclass
class Example:
    ids: list[int]
    segments: list[int]
    label: int


def examples(count: int, rng: random.Random) -> list[Example]:
    """Random sentences, a third of them pairs. The label is learnable: the third in which most words lie."""
    found = []
    for _ in range(count):
        label = rng.randrange(3)
        span = (VOCABULARY - FIRST_WORD) // 3

        def words() -> list[int]:
            own = [FIRST_WORD + span * label + rng.randrange(span) for _ in range(rng.randint(2, 6))]
            noise = [rng.randrange(FIRST_WORD, VOCABULARY) for _ in range(rng.randint(0, 4))]
            return rng.sample(own + noise, len(own) + len(noise))

        first = [CLS, *words(), SEP]
        second = [*words(), SEP] if rng.random() < 1 / 3 else []
        found.append(Example(first + second, [0] * len(first) + [1] * len(second), label))
    return found


def batch_of(rows: list[Example]) -> Batch:
    return pad([r.ids for r in rows], [r.segments for r in rows], padding=0)


def decay_groups(model: PreTrainedModel, decay: float) -> list[dict]:
    """Biases and layer norms are not decayed."""
    free = [p for n, p in model.named_parameters() if n.endswith("bias") or "LayerNorm" in n]
    held = [p for n, p in model.named_parameters() if not (n.endswith("bias") or "LayerNorm" in n)]
    return [{"params": held, "weight_decay": decay}, {"params": free, "weight_decay": 0.0}]


@dataclass
class Run:
    losses: list[float]
    gradient_norms: list[float]
    learning_rates: list[float]
    model: PreTrainedModel


def train(
    data: list[Example],
    order: list[list[int]],
    settings: Settings,
    dtype: torch.dtype,
    teacher_logits: torch.Tensor | None,
) -> Run:
    model = BertForSequenceClassification.from_pretrained(FIXTURES / "tiny-bert").to(dtype).train()
    optimizer = torch.optim.AdamW(
        decay_groups(model, settings.weight_decay),
        lr=settings.learning_rate, betas=settings.betas, eps=settings.epsilon, foreach=False,
    )  # fmt: skip
    schedule = get_linear_schedule_with_warmup(optimizer, settings.warmup_steps, settings.steps)
    run = Run([], [], [], model)
    for rows in order:
        chosen = [data[i] for i in rows]
        logits = model(**batch_of(chosen).inputs()).logits
        loss = cross_entropy(logits, torch.tensor([r.label for r in chosen]))
        if teacher_logits is not None:
            t = settings.temperature
            target = softmax(teacher_logits[rows].to(dtype) / t, -1)
            soft = t**2 * kl_div(log_softmax(logits / t, -1), target, reduction="batchmean")
            loss = settings.hard_weight * loss + settings.soft_weight * soft
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
        run.losses.append(loss.item())
        run.gradient_norms.append(norm.item())
        run.learning_rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return run


def main() -> None:
    torch.set_num_threads(1)
    disable_progress_bar()
    settings, rng = Settings(), random.Random(7)
    data = examples(40, rng)
    order: list[list[int]] = []
    while len(order) < settings.steps:
        shuffled = rng.sample(range(len(data)), len(data))
        order += [shuffled[i : i + settings.batch_size] for i in range(0, len(data), settings.batch_size)]
    order = order[: settings.steps]

    teacher = BertForSequenceClassification.from_pretrained(FIXTURES / "tiny-bert-teacher").eval()
    with torch.no_grad():
        teacher_logits = teacher(**batch_of(data).inputs()).logits

    write_json(
        FOLDER / "data.json",
        ids=[e.ids for e in data],
        segments=[e.segments for e in data],
        labels=[e.label for e in data],
        order=order,
        teacher_logits=teacher_logits.tolist(),
        settings=asdict(settings),
    )
    for name, targets in (("fine_tuning", None), ("distillation", teacher_logits)):
        run = train(data, order, settings, torch.float32, targets)
        exact = train(data, order, settings, torch.float64, targets)
        worst = max(abs(a - b) / abs(b) for a, b in zip(run.losses, exact.losses))
        print(f"{name}: loss {run.losses[0]:.4f} to {run.losses[-1]:.4f}, fp32 against fp64 {worst:.1e}")
        print("  norms", [round(n, 2) for n in run.gradient_norms[::5]])
        write_json(
            FOLDER / f"{name}.json",
            losses=run.losses,
            losses_f64=exact.losses,
            gradient_norms=run.gradient_norms,
            gradient_norms_f64=exact.gradient_norms,
            learning_rates=run.learning_rates,
        )
        write_tensors(FOLDER / f"{name}_final.safetensors", dict(run.model.named_parameters()))


if __name__ == "__main__":
    main()
