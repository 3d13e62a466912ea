"""Values and gradients of the objectives, in fp64: writes `fixtures/losses.json`.

    python scripts/reference/losses.py

Teacher T, student S, temperature t, batch B, classes C:

    cross_entropy        mean over B of CE(S, label)
    soft_batch_mean      t² / B     · sum KL(T||S)      (as DistilBERT)
    soft_element_mean    t² / (B·C) · sum KL(T||S)      (as PKD)
    soft_cross_entropy   1 / B      · sum H(T, S)       (as TextBrewer; no t²)
    mse_class_sum        1 / B      · sum (S - T)²
    mse_element_mean     1 / (B·C)  · sum (S - T)²
    regression           1 / B      · sum (S - target)²   (one output)
"""

from collections.abc import Callable

import torch
from fixture_files import FIXTURES, write_json
from torch.nn.functional import cross_entropy, kl_div, log_softmax, mse_loss, softmax


def soft(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    scaled, target = log_softmax(student / temperature, -1), softmax(teacher / temperature, -1)
    return temperature**2 * kl_div(scaled, target, reduction="batchmean")


def soft_cross_entropy(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    return cross_entropy(student / temperature, softmax(teacher / temperature, -1))


def measured(student: torch.Tensor, loss: Callable[[torch.Tensor], torch.Tensor]) -> dict:
    """The loss and its gradient with respect to the student's logits."""
    leaf = student.clone().requires_grad_()
    value = loss(leaf)
    value.backward()
    return {"value": value.item(), "gradient": leaf.grad.tolist()}


def case(batch: int, classes: int, scale: float, generator: torch.Generator) -> dict:
    student, teacher = (scale * torch.randn(2, batch, classes, generator=generator, dtype=torch.float64)).unbind()
    student, teacher = student.float().double(), teacher.float().double()  # so that an fp32 reader has the same inputs
    labels = torch.randint(classes, (batch,), generator=generator)
    results = [
        {"loss": "cross_entropy", **measured(student, lambda s: cross_entropy(s, labels))},
        {"loss": "mse_class_sum", **measured(student, lambda s: mse_loss(s, teacher, reduction="sum") / batch)},
        {"loss": "mse_element_mean", **measured(student, lambda s: mse_loss(s, teacher))},
    ]
    for t in (1.0, 2.0, 4.5):
        kinds = {
            "soft_batch_mean": lambda s, t=t: soft(s, teacher, t),
            "soft_element_mean": lambda s, t=t: soft(s, teacher, t) / classes,
            "soft_cross_entropy": lambda s, t=t: soft_cross_entropy(s, teacher, t),
        }
        results += [{"loss": name, "temperature": t, **measured(student, f)} for name, f in kinds.items()]
    return {"student": student.tolist(), "teacher": teacher.tolist(), "labels": labels.tolist(), "results": results}


def regression(batch: int, generator: torch.Generator) -> dict:
    student = torch.randn(batch, 1, generator=generator).double()
    target = (5 * torch.rand(batch, 1, generator=generator)).double()
    result = {"loss": "regression", **measured(student, lambda s: mse_loss(s, target))}
    return {"student": student.tolist(), "teacher": target.tolist(), "labels": None, "results": [result]}


def main() -> None:
    generator = torch.Generator().manual_seed(5)
    shapes = [(4, 2, 1.0), (5, 3, 2.0), (1, 2, 3.0), (3, 7, 0.1), (4, 3, 60.0)]
    cases = [case(*shape, generator) for shape in shapes] + [regression(n, generator) for n in (1, 6)]
    write_json(FIXTURES / "losses.json", cases=cases)
    print(f"{sum(len(c['results']) for c in cases)} loss values in {len(cases)} cases")


if __name__ == "__main__":
    main()
