"""AD², FreeLB and SMART on `fixtures/tiny-bert`, in fp64: writes `fixtures/adversarial/`.

    python scripts/reference/adversarial_steps.py        (after tiny_models.py and training_run.py)

`steps.json`: single steps on the first sentences of `training/data.json`, each with its settings as in a run file, losses,
and the norm of all gradients. `NAME.safetensors`: `delta`, the perturbation that the adversarial loss sees; `start_gradient`,
the gradient of each sentence's own loss with respect to it where it starts; and for some `grad.NAME` of each parameter.
`training.json`: losses and gradient norms of full-batch AdamW. No dropout; the teacher is `tiny-bert-teacher`.

Random starts are a function of (seed, step, example, place, column), as in limbeck: `draws` below.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy
import torch
from fixture_files import FIXTURES, write_json, write_tensors
from tiny_models import Batch
from torch.nn.functional import cross_entropy, kl_div, log_softmax, mse_loss, softmax
from training_run import CLS, Example, batch_of, decay_groups
from transformers import BertForSequenceClassification, PreTrainedModel, get_linear_schedule_with_warmup
from transformers.utils.logging import disable_progress_bar

FOLDER = FIXTURES / "adversarial"
SEED, STEP, SENTENCES, TRAINING_STEPS, LEARNING_RATE = 3, 5, 8, 10, 2e-3
MASK64 = 2**64 - 1


def mix64(value: int) -> int:
    z = (value + 0x9E3779B97F4A7C15) & MASK64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK64
    return z ^ (z >> 31)


def stream_key(seed: int, purpose: str) -> int:
    key = mix64(seed)
    for byte in purpose.encode():
        key = mix64(key ^ byte)
    return key


def unit(bits: int) -> float:
    return (bits >> 11) / 2**53


def draws(batch: Batch, width: int, step: int, draw: Callable[[int], float]) -> torch.Tensor:
    """`[B, T, width]`, zero at padding, in single precision."""
    key = mix64(stream_key(SEED, "perturbation") ^ mix64(step))
    found = torch.zeros(*batch.ids.shape, width, dtype=torch.float32)
    for example, length in enumerate(batch.lengths):
        for place in range(length):
            row = mix64(key ^ ((mix64(example) + place) & MASK64))
            found[example, place] = torch.tensor([draw(mix64(row ^ column)) for column in range(width)])
    return found.double()


def normal(bits: int) -> float:
    return math.sqrt(-2 * math.log(1 - unit(bits))) * math.cos(math.tau * unit(mix64(bits)))


@dataclass
class Task:
    """A batch with what is to be learnt from it."""

    batch: Batch
    labels: torch.Tensor
    teacher: torch.Tensor
    regression: bool = False

    def hard(self, logits: torch.Tensor) -> torch.Tensor:
        return mse_loss(logits[:, 0], self.labels) if self.regression else cross_entropy(logits, self.labels)

    def soft(self, logits: torch.Tensor, temperature: float) -> torch.Tensor:
        if self.regression:
            return mse_loss(logits, self.teacher)
        target = softmax(self.teacher / temperature, -1)
        return temperature**2 * kl_div(log_softmax(logits / temperature, -1), target, reduction="batchmean")

    def objectives(self, logits: torch.Tensor, settings: list[dict]) -> torch.Tensor:
        total = 0.0
        for objective in settings:
            if "hard-labels" in objective:
                total = total + objective["hard-labels"].get("weight", 1.0) * self.hard(logits)
            else:
                soft = objective["soft-targets"]
                total = total + soft.get("weight", 1.0) * self.soft(logits, soft.get("temperature", 1.0))
        return total

    def difference(self, first: torch.Tensor, second: torch.Tensor, fixed: bool) -> torch.Tensor:
        if self.regression:
            return mse_loss(first, second)
        p, q = softmax(first, -1), softmax(second, -1)
        log_p, log_q = log_softmax(first, -1), log_softmax(second, -1)
        if fixed:
            return kl_div(log_p, q.detach(), reduction="batchmean") + kl_div(log_q, p.detach(), reduction="batchmean")
        return kl_div(log_p, q, reduction="batchmean") + kl_div(log_q, p, reduction="batchmean")


def forward(model: PreTrainedModel, batch: Batch, delta: torch.Tensor | None) -> torch.Tensor:
    """Logits; positions and segments are added to the perturbed word embeddings, then norm: a perturbation of the sum."""
    words = model.get_input_embeddings()(batch.ids)
    given = {k: v for k, v in batch.inputs().items() if k != "input_ids"}
    return model(inputs_embeds=words if delta is None else words + delta, **given).logits


def norms(delta: torch.Tensor, over: str, norm: str = "l2") -> torch.Tensor:
    dims = -1 if over == "token" else (1, 2)
    if norm == "max":
        return delta.abs().amax(dims, keepdim=True)
    return delta.square().sum(dims, keepdim=True).sqrt()


def to_unit(delta: torch.Tensor, over: str, norm: str = "l2") -> torch.Tensor:
    sizes = norms(delta, over, norm)
    return delta / torch.where(sizes == 0, torch.ones_like(sizes), sizes)


def ball_step(delta: torch.Tensor, g: torch.Tensor, step: float, over: str, radius: float) -> torch.Tensor:
    delta = delta + step * to_unit(g, over)
    if radius == 0:
        return delta
    sizes = norms(delta, over)
    return torch.where(sizes > radius, delta * radius / sizes.clamp(min=1e-30), delta)


def gradient_of(phi: Callable[[torch.Tensor], torch.Tensor], delta: torch.Tensor, sentences: int) -> torch.Tensor:
    """For each sentence's own loss, where `phi` is the mean over sentences."""
    leaf = delta.clone().requires_grad_()
    return torch.autograd.grad(sentences * phi(leaf), leaf)[0]


@dataclass
class Result:
    loss: torch.Tensor
    delta: torch.Tensor
    start_gradient: torch.Tensor


def start(settings: dict | str, batch: Batch, width: int, step: int) -> torch.Tensor:
    if settings == "zero":
        return torch.zeros(*batch.ids.shape, width, dtype=torch.float64)
    if "normal" in settings:
        deviation = settings["normal"]["deviation"]
        return draws(batch, width, step, lambda bits: deviation * normal(bits))
    lengths = torch.tensor(batch.lengths, dtype=torch.float64)
    bounds = (settings["uniform"]["magnitude"] / (lengths * width).sqrt()).view(-1, 1, 1)
    return (draws(batch, width, step, lambda bits: 2 * unit(bits) - 1) * bounds).float().double()


def climb(delta: torch.Tensor, g: torch.Tensor, settings: dict | str) -> torch.Tensor:
    if settings == "none":
        return torch.zeros_like(delta)
    if settings == "as-printed":
        return ball_step(delta, g, 1e-3, "token", 1e-5)
    if "ball" in settings:
        ball = settings["ball"]
        return ball_step(delta, g, ball["step-size"], ball["over"], ball["radius"])
    if "unit" in settings:
        return to_unit(delta + settings["unit"].get("step-size", 1e-3) * g, "token", settings["unit"]["norm"])
    free = settings["free-lb"]
    return ball_step(delta, g, free["step-size"], "sentence", free["max-norm"])


def ad2(model: PreTrainedModel, task: Task, objectives: list[dict], settings: dict, step: int) -> Result:
    def phi(delta: torch.Tensor) -> torch.Tensor:
        logits = forward(model, task.batch, delta)
        if settings.get("target") == "labels":
            return task.hard(logits)
        return task.soft(logits, settings.get("temperature", 1.0))

    delta = start(settings.get("start", "zero"), task.batch, model.config.hidden_size, step)
    gradients = []
    for _ in range(settings.get("steps", 1)):
        gradients.append(gradient_of(phi, delta, len(task.labels)))
        delta = climb(delta, gradients[-1], settings["delta"])
    loss = task.objectives(forward(model, task.batch, None), objectives)
    return Result(loss + settings.get("weight", 1.0) * phi(delta), delta, gradients[0])


def free_lb(model: PreTrainedModel, task: Task, objectives: list[dict], settings: dict, step: int) -> Result:
    def phi(delta: torch.Tensor) -> torch.Tensor:
        return task.objectives(forward(model, task.batch, delta), objectives)

    magnitude = settings["start-magnitude"]
    begin = {"uniform": {"magnitude": magnitude}} if magnitude else "zero"
    delta, loss, gradients = start(begin, task.batch, model.config.hidden_size, step), 0.0, []
    for k in range(settings["steps"]):
        if k:
            delta = ball_step(delta, gradients[-1], settings["step-size"], "sentence", settings["max-norm"])
        loss = loss + phi(delta) / settings["steps"]
        gradients.append(gradient_of(phi, delta, len(task.labels)))
    return Result(loss, delta, gradients[0])


def smart(model: PreTrainedModel, task: Task, objectives: list[dict], settings: dict, step: int) -> Result:
    clean = forward(model, task.batch, None)

    def phi(delta: torch.Tensor) -> torch.Tensor:
        return task.difference(forward(model, task.batch, delta), clean.detach(), fixed=False)

    begin = {"normal": {"deviation": settings.get("deviation", 1e-5)}}
    delta, gradients = start(begin, task.batch, model.config.hidden_size, step), []
    for _ in range(settings.get("steps", 1)):
        gradients.append(gradient_of(phi, delta, len(task.labels)))
        moved = delta + settings.get("step-size", 1e-3) * gradients[-1]
        delta = to_unit(moved, "token", settings.get("norm", "l2"))
    fixed = settings.get("gradient") == "fixed-targets"
    regulariser = task.difference(forward(model, task.batch, delta), clean, fixed)
    loss = task.objectives(clean, objectives) + settings.get("weight", 1.0) * regulariser
    return Result(loss, delta, gradients[0])


STEPS = {"ad2": ad2, "free-lb": free_lb, "smart": smart}
HARD, SOFT = {"hard-labels": {}}, {"soft-targets": {}}
BOTH = [HARD, SOFT]
HOT = [{"hard-labels": {"weight": 0.5}}, {"soft-targets": {"weight": 0.7, "temperature": 2.0}}]
SENTENCE = {"ball": {"radius": 0.1, "step-size": 0.1, "over": "sentence"}}
TOKEN = {"ball": {"radius": 0.05, "step-size": 0.03, "over": "token"}}
UNIFORM = {"uniform": {"magnitude": 0.6}}
# name, objectives, step and settings, whether every gradient is kept
CASES = [
    ("as_printed", BOTH, {"ad2": {"delta": "as-printed"}}, False),
    ("sentence_ball", HOT, {"ad2": {"delta": SENTENCE, "weight": 0.5, "temperature": 2.0}}, True),
    ("unit_l2", BOTH, {"ad2": {"delta": {"unit": {"norm": "l2"}}}}, False),
    ("unit_max", BOTH, {"ad2": {"delta": {"unit": {"norm": "max"}}}}, False),
    ("free_lb_radii", BOTH, {"ad2": {"delta": {"free-lb": {"step-size": 0.1, "max-norm": 0.15}}, "steps": 3}}, False),
    ("random_start", BOTH, {"ad2": {"delta": TOKEN, "start": UNIFORM, "steps": 2}}, True),
    (
        "noise_start",
        BOTH,
        {"ad2": {"delta": {"unit": {"norm": "l2", "step-size": 0.01}}, "start": {"normal": {"deviation": 0.02}}}},
        False,
    ),
    ("none", BOTH, {"ad2": {"delta": "none"}}, False),
    ("without_teacher", [HARD], {"ad2": {"delta": SENTENCE, "target": "labels"}}, True),
    ("regression", BOTH, {"ad2": {"delta": SENTENCE}}, True),
    ("free_lb", BOTH, {"free-lb": {"steps": 3, "step-size": 0.1, "start-magnitude": 0.6, "max-norm": 0.4}}, True),
    ("free_lb_open", [HARD], {"free-lb": {"steps": 2, "step-size": 0.1, "start-magnitude": 0.0, "max-norm": 0.0}}, False),
    ("smart", BOTH, {"smart": {}}, True),
    (
        "smart_fixed",
        [HARD],
        {"smart": {"deviation": 0.05, "step-size": 1.0, "norm": "max", "steps": 2, "weight": 0.3,
                   "gradient": "fixed-targets"}},
        True,
    ),
    ("smart_regression", [HARD], {"smart": {"deviation": 0.05, "step-size": 0.1}}, False),
]  # fmt: skip
TRAININGS = ["sentence_ball", "random_start", "unit_l2", "without_teacher", "free_lb", "smart_fixed"]


def run_step(model: PreTrainedModel, task: Task, objectives: list[dict], step: dict, number: int) -> Result:
    ((name, settings),) = step.items()
    return STEPS[name](model, task, objectives, settings, number)


def student(regression: bool) -> PreTrainedModel:
    """With one output in a regression: the first of the classifier's."""
    model = BertForSequenceClassification.from_pretrained(FIXTURES / "tiny-bert").double()
    if regression:
        for name in ("weight", "bias"):
            parameter = getattr(model.classifier, name)
            setattr(model.classifier, name, torch.nn.Parameter(parameter[:1].detach().clone()))
    return model


def task_of(data: list[Example], teacher: PreTrainedModel, regression: bool = False) -> Task:
    batch = batch_of(data)
    with torch.no_grad():
        logits = forward(teacher, batch, None)
    labels = torch.tensor([e.label for e in data])
    if regression:
        return Task(batch, labels.double(), logits[:, :1], True)
    return Task(batch, labels, logits)


def train(task: Task, objectives: list[dict], step: dict) -> dict:
    model = student(False)
    optimizer = torch.optim.AdamW(decay_groups(model, 0.01), lr=LEARNING_RATE, eps=1e-8, foreach=False)
    schedule = get_linear_schedule_with_warmup(optimizer, 1, TRAINING_STEPS)
    losses, sizes = [], []
    for number in range(TRAINING_STEPS):
        result = run_step(model, task, objectives, step, number)
        optimizer.zero_grad()
        result.loss.backward()
        losses.append(result.loss.item())
        sizes.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item())
        optimizer.step()
        schedule.step()
    return {"losses": losses, "gradient_norms": sizes}


def main() -> None:
    torch.set_num_threads(1)
    disable_progress_bar()
    stored = json.loads((FIXTURES / "training/data.json").read_text())
    data = [Example(*row) for row in zip(stored["ids"], stored["segments"], stored["labels"])][:SENTENCES]
    assert all(example.ids[0] == CLS for example in data)
    teacher = BertForSequenceClassification.from_pretrained(FIXTURES / "tiny-bert-teacher").double().eval()
    rows, trainings = [], []
    for name, objectives, step, keep in CASES:
        regression = name.endswith("regression")
        model, task = student(regression), task_of(data, teacher, regression)
        result = run_step(model, task, objectives, step, STEP)
        result.loss.backward()
        gradients = {n: p.grad for n, p in model.named_parameters()}
        norm = numpy.sqrt(sum(g.square().sum().item() for g in gradients.values()))
        rows.append(dict(name=name, objective=objectives, step=step, loss=result.loss.item(), gradient_norm=norm))
        pack = task.batch.pack
        tensors = {"delta": pack(result.delta), "start_gradient": pack(result.start_gradient)}
        if keep:
            tensors |= {f"grad.{n}": g for n, g in gradients.items()}
        write_tensors(FOLDER / f"{name}.safetensors", {n: t.float() for n, t in tensors.items()})
        print(f"{name}: loss {result.loss.item():.4f}, norm {norm:.4f}, delta {result.delta.abs().max():.2e}")
        if name in TRAININGS:
            run = train(task, objectives, step)
            trainings.append(dict(name=name, objective=objectives, step=step, **run))
            print("  ", [round(loss, 3) for loss in run["losses"]])
    setting = dict(seed=SEED, step=STEP, sentences=SENTENCES)
    write_json(FOLDER / "steps.json", **setting, cases=rows)
    write_json(FOLDER / "training.json", **setting, learning_rate=LEARNING_RATE, steps=TRAINING_STEPS, cases=trainings)


if __name__ == "__main__":
    main()
