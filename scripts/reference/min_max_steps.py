"""One step of generator and student in MATE-KD and CILDA, in fp64: writes `fixtures/min_max/`.

    python scripts/reference/min_max_steps.py        (after tiny_models.py)

Student `tiny-bert`, teacher `tiny-bert-teacher`, generator `tiny-bert-mlm`, on the texts of `tiny-bert/reference.json`. Gaps
and Gumbel noise are drawn here and written down, so that both sides use the same. Nothing drops out.

    generator   -(a1 · div(T(X'), S(X')) + a2 · CRD(X')), gradients of every parameter of the generator through both models,
                X' = straight-through Gumbel-softmax (tau 1) of the generator's logits at the gaps, times each model's word table
    student     1/3 CE(X) + 1/3 KL(X) + w1 · KL(X') + w2 · CRD(X'), gradients of student and projections
    CRD         projections of the first tokens' states of all layers, cosines / 2, cross-entropy of each teacher's row
"""

import json

import torch
from fixture_files import FIXTURES, write_json, write_tensors
from torch.nn.functional import cross_entropy, kl_div, log_softmax, normalize, softmax
from transformers import BertForMaskedLM, BertForSequenceClassification
from transformers.utils.logging import disable_progress_bar

FOLDER = FIXTURES / "min_max"
MASK, SPECIAL, MASKED = 4, {0, 1, 2, 3, 4}, 0.3
SIZE, TAU_2 = 8, 2.0


def open_models():
    def read(kind, name):
        return kind.from_pretrained(FIXTURES / name, attn_implementation="eager").double().eval()

    student = read(BertForSequenceClassification, "tiny-bert")
    teacher = read(BertForSequenceClassification, "tiny-bert-teacher").requires_grad_(False)
    return student, teacher, read(BertForMaskedLM, "tiny-bert-mlm")


def padded(rows: list[list[int]]) -> torch.Tensor:
    longest = max(map(len, rows))
    return torch.tensor([row + [0] * (longest - len(row)) for row in rows])


def kl(teacher: torch.Tensor, student: torch.Tensor) -> torch.Tensor:
    return kl_div(log_softmax(student, -1), log_softmax(teacher, -1), reduction="batchmean", log_target=True)


def entropy(teacher: torch.Tensor, student: torch.Tensor) -> torch.Tensor:
    return -(softmax(teacher, -1) * log_softmax(student, -1)).sum(-1).mean()


def states(output) -> torch.Tensor:
    return torch.cat([layer[:, 0] for layer in output.hidden_states[1:]], dim=1)


def contrast(teacher: torch.Tensor, student: torch.Tensor) -> torch.Tensor:
    scores = normalize(teacher, dim=1) @ normalize(student, dim=1).t() / TAU_2
    return cross_entropy(scores, torch.arange(len(scores)))


class Game:
    def __init__(self) -> None:
        reference = json.loads((FIXTURES / "tiny-bert" / "reference.json").read_text())
        self.student, self.teacher, self.generator = open_models()
        self.ids, self.segments = padded(reference["ids"]), padded(reference["segments"])
        self.labels = torch.tensor(reference["labels"])
        self.lengths = reference["lengths"]
        self.mask = padded([[1] * length for length in self.lengths])
        random = torch.Generator().manual_seed(41)
        eligible = torch.tensor([[i not in SPECIAL for i in row] for row in self.ids.tolist()])
        self.gaps = eligible & (torch.rand(self.ids.shape, generator=random) < MASKED)
        count, vocabulary = int(self.gaps.sum()), self.generator.config.vocab_size
        uniform = torch.rand(count, vocabulary, generator=random, dtype=torch.float64).clamp(1e-9, 1 - 1e-9)
        self.noise = (-(-uniform.log()).log()).float().double()
        width = 2 * 16
        self.projections = {
            f"cilda.{name}-projection.{kind}": (0.3 * torch.randn(shape, generator=random)).double().requires_grad_()
            for name in ("teacher", "student")
            for kind, shape in (("weight", (SIZE, width)), ("bias", (SIZE,)))
        }

    def inputs(self) -> dict:
        return {"attention_mask": self.mask, "token_type_ids": self.segments}

    def soft_choices(self) -> torch.Tensor:
        """`torch.nn.functional.gumbel_softmax(hard=True)` with the noise given."""
        hidden = self.ids.masked_fill(self.gaps, MASK)
        logits = self.generator(hidden, **self.inputs()).logits[self.gaps]
        soft = softmax(log_softmax(logits, -1) + self.noise, -1)
        hard = torch.zeros_like(soft).scatter_(-1, soft.argmax(-1, keepdim=True), 1.0)
        return hard - soft.detach() + soft

    def read(self, model, choices: torch.Tensor):
        table = model.get_input_embeddings().weight
        words = table[self.ids].masked_scatter(self.gaps.unsqueeze(-1), choices @ table)
        return model(inputs_embeds=words, output_hidden_states=True, **self.inputs())

    def projected(self, name: str, output) -> torch.Tensor:
        weight, bias = (self.projections[f"cilda.{name}-projection.{kind}"] for kind in ("weight", "bias"))
        return states(output) @ weight.t() + bias

    def crd(self, teacher, student) -> torch.Tensor:
        return contrast(self.projected("teacher", teacher), self.projected("student", student))

    def forget(self) -> None:
        for parameter in [*self.student.parameters(), *self.generator.parameters(), *self.projections.values()]:
            parameter.grad = None

    def challenge(self, divergence, gain: float, contrastive_gain: float) -> tuple[dict, dict]:
        self.forget()
        choices = self.soft_choices()
        teacher, student = self.read(self.teacher, choices), self.read(self.student, choices)
        parts = {"divergence": divergence(teacher.logits, student.logits), "contrastive": self.crd(teacher, student)}
        loss = -(gain * parts["divergence"] + contrastive_gain * parts["contrastive"])
        loss.backward()
        return {"loss": loss.item(), **{k: v.item() for k, v in parts.items()}}, gradients(self.generator)

    def lesson(self, weight: float, contrastive_weight: float) -> tuple[dict, dict]:
        self.forget()
        choices = self.soft_choices().detach()
        written = self.ids.masked_scatter(self.gaps, choices.argmax(-1))
        own = self.student(self.ids, **self.inputs()).logits
        logits = self.teacher(self.ids, **self.inputs()).logits
        parts = {"hard-labels": cross_entropy(own, self.labels), "soft-targets": kl(logits, own)}
        teacher = self.teacher(written, output_hidden_states=True, **self.inputs())
        student = self.student(written, output_hidden_states=True, **self.inputs())
        parts |= {"divergence": kl(teacher.logits, student.logits), "contrastive": self.crd(teacher, student)}
        weights = {"hard-labels": 1 / 3, "soft-targets": 1 / 3, "divergence": weight, "contrastive": contrastive_weight}
        loss = sum(weights[name] * part for name, part in parts.items())
        loss.backward()
        values = {"loss": loss.item(), **{k: v.item() for k, v in parts.items()}}
        return values, gradients(self.student) | {k: p.grad for k, p in self.projections.items() if p.grad is not None}


def gradients(model) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def features(random: torch.Generator) -> list[dict]:
    """The contrastive loss by itself, with its gradients, and both divergences with gradients to both sides."""
    cases = []
    for batch, size in ((2, 3), (6, 8), (5, 1)):
        teacher, student = torch.randn(2, batch, size, generator=random, dtype=torch.float64).requires_grad_().unbind()
        teacher.retain_grad(), student.retain_grad()
        for name, loss in (("contrastive", contrast), ("kl", kl), ("cross-entropy", entropy)):
            teacher.grad = student.grad = None
            value = loss(teacher, student)
            value.backward()
            rows = {"teacher": teacher.tolist(), "student": student.tolist()}
            grads = {"teacher_gradient": teacher.grad.tolist(), "student_gradient": student.grad.tolist()}
            cases.append({"loss": name, "value": value.item(), **rows, **grads})
    return cases


def choice(random: torch.Generator) -> dict:
    """The gradient through a straight-through choice by itself, at a temperature other than 1."""
    logits = torch.randn(4, 9, generator=random, dtype=torch.float64).requires_grad_()
    noise = torch.randn(4, 9, generator=random, dtype=torch.float64)
    weights = torch.randn(4, 9, generator=random, dtype=torch.float64)
    soft = softmax((log_softmax(logits, -1) + noise) / 0.7, -1)
    hard = torch.zeros_like(soft).scatter_(-1, soft.argmax(-1, keepdim=True), 1.0)
    ((hard - soft.detach() + soft) * weights).sum().backward()
    return {
        "temperature": 0.7, "logits": logits.tolist(), "noise": noise.tolist(), "gradient_of_choice": weights.tolist(),
        "ids": soft.argmax(-1).tolist(), "gradient": logits.grad.tolist(),
    }  # fmt: skip


def main() -> None:
    torch.set_num_threads(1)
    disable_progress_bar()
    game = Game()
    chosen = game.soft_choices().argmax(-1)
    packed = torch.cat([row[:length] for row, length in zip(game.gaps, game.lengths)])
    steps = {}
    for name, arguments in {
        "generator_kl": (kl, 1.0, 0.0), "generator_cross_entropy": (entropy, 1.0, 0.0), "generator_cilda": (kl, 1.0, 1.0),
    }.items():  # fmt: skip
        steps[name], tensors = game.challenge(*arguments)
        write_tensors(FOLDER / f"{name}.safetensors", {k: v.float() for k, v in tensors.items()})
    for name, arguments in {"student_mate_kd": (1 / 3, 0.0), "student_cilda": (2 / 9, 1 / 9)}.items():
        steps[name], tensors = game.lesson(*arguments)
        write_tensors(FOLDER / f"{name}.safetensors", {k: v.float() for k, v in tensors.items()})
    inputs = {"noise": game.noise.float(), **{k: v.detach().float() for k, v in game.projections.items()}}
    write_tensors(FOLDER / "inputs.safetensors", inputs)
    random = torch.Generator().manual_seed(43)
    write_json(
        FOLDER / "reference.json",
        gaps=torch.nonzero(packed).flatten().tolist(),
        chosen=chosen.tolist(),
        **steps,
        pure=features(random),
        choice=choice(random),
    )
    print(f"{len(chosen)} gaps; " + ", ".join(f"{k} {v['loss']:.4f}" for k, v in steps.items()))


if __name__ == "__main__":
    main()
