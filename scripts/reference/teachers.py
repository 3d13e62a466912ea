"""What a student hears of its teachers, in fp64: writes `fixtures/teachers.json`.

    python scripts/reference/teachers.py

    hard_teacher_labels   mean over B of CE(S, first largest of T), and its gradient
    mean_logits           mean over teachers of T
    mean_probabilities    log of the mean over teachers of softmax(T)
    divergence            mean over B of KL(softmax T || softmax S), the first teacher's
"""

import torch
from fixture_files import FIXTURES, write_json
from torch.nn.functional import cross_entropy, kl_div, log_softmax


def case(batch: int, classes: int, teachers: int, scale: float, generator: torch.Generator) -> dict:
    drawn = (scale * torch.randn(teachers + 1, batch, classes, generator=generator)).double()
    student, members = drawn[0].requires_grad_(), drawn[1:]
    members[0, 0] = members[0, 0].max()  # all labels equally likely: the first counts
    labels = torch.tensor([row.index(max(row)) for row in members[0].tolist()])
    loss = cross_entropy(student, labels)
    loss.backward()
    logs = log_softmax(members, -1)
    divergence = kl_div(log_softmax(student, -1), logs[0], log_target=True, reduction="batchmean")
    return {
        "student": student.tolist(),
        "teachers": members.tolist(),
        "hard_teacher_labels": {"value": loss.item(), "gradient": student.grad.tolist()},
        "mean_logits": members.mean(0).tolist(),
        "mean_probabilities": (logs.logsumexp(0) - torch.tensor(float(teachers), dtype=torch.float64).log()).tolist(),
        "divergence": divergence.item(),
    }


def main() -> None:
    generator = torch.Generator().manual_seed(11)
    shapes = [(4, 2, 2, 1.0), (5, 3, 3, 2.0), (1, 2, 2, 3.0), (3, 7, 4, 0.1), (4, 3, 2, 30.0)]
    cases = [case(*shape, generator) for shape in shapes]
    write_json(FIXTURES / "teachers.json", cases=cases)
    print(f"{len(cases)} cases")


if __name__ == "__main__":
    main()
