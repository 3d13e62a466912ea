"""Losses on hidden states and attention, padded and masked as PyTorch code writes them: writes `fixtures/hidden_losses/`.

    python scripts/reference/hidden_losses.py        (after tiny_models.py and training_run.py)

`losses.safetensors` (fp64): random states of a 3-layer student, as wide as its 6-layer teacher (`same.*`, 6) or narrower
(`narrow.*`, 4, with projections `projection*`), attention scores of both, and `CASE.grad.*`, the gradient of each loss with
respect to all that the student has and to the projections. `losses.json`: the values. Everything is packed.

`models.json`, `models.safetensors`: `tiny-bert` learning from `tiny-bert-teacher` in fp64 on rows of `training/data.json`; the sum of
`hidden-states` (W = 1), `attention-scores`, `feature-maps`, `attention-maps` and 10 x `pkd`, each loss's value, and every gradient.
"""

import json
from collections.abc import Callable

import torch
from fixture_files import FIXTURES, write_json, write_tensors
from tiny_models import Batch, pad
from torch.nn.functional import cosine_embedding_loss, kl_div, layer_norm, log_softmax, mse_loss, normalize, softmax
from transformers import BertForSequenceClassification
from transformers.utils.logging import disable_progress_bar

FOLDER = FIXTURES / "hidden_losses"
LENGTHS, LONGEST = [5, 2, 7], 7
PADDED = 9  # what `mask = "paper"` pads to
HEADS, STUDENT_LAYERS, TEACHER_LAYERS = 2, 3, 6
MASK = torch.tensor([[t < length for t in range(LONGEST)] for length in LENGTHS])
PAIRS = MASK[:, :, None] & MASK[:, None, :]


def uniform(first: int) -> list[tuple[int, int]]:
    return [(m, m * TEACHER_LAYERS // STUDENT_LAYERS) for m in range(first, STUDENT_LAYERS + 1)]


def pack_scores(scores: torch.Tensor, mask: torch.Tensor = MASK) -> torch.Tensor:
    """`[B, A, L, L]` to sentence after sentence, `[A, T, T]` each."""
    return torch.cat([s[:, :n, :n].flatten() for s, n in zip(scores, mask.sum(1).tolist(), strict=True)])


# Each loss takes padded tensors, one entry per layer, as the papers' code does.


def patient(student: list, teacher: list, pairs: list, normalised: bool, reduction: str) -> torch.Tensor:
    own = torch.stack([student[s][:, 0] for s, _ in pairs], 1)
    other = torch.stack([teacher[t][:, 0] for _, t in pairs], 1)
    if normalised:
        own, other = normalize(own, p=2, dim=2), normalize(other, p=2, dim=2)
    return mse_loss(own, other) if reduction == "mean" else mse_loss(own, other, reduction="sum") / len(own)


def padded_to(values: torch.Tensor, mask: torch.Tensor, dims: list[int]) -> torch.Tensor:
    """Zero where masked, and as large as a batch padded to `PADDED`."""
    values = torch.where(mask, values, torch.zeros_like(values))
    out = values.new_zeros([PADDED if d in dims else n for d, n in enumerate(values.shape)])
    out[tuple(slice(0, n) for n in values.shape)] = values
    return out


def states(student: list, teacher: list, paper: bool, mask: torch.Tensor = MASK) -> torch.Tensor:
    total = 0
    for own, other in zip(student, teacher, strict=True):
        if paper:
            total += mse_loss(padded_to(own, mask[..., None], [1]), padded_to(other, mask[..., None], [1]))
        else:
            total += mse_loss(own[mask], other[mask])
    return total


def attention_scores(student: list, teacher: list, pairs: list, paper: bool, mask: torch.Tensor = MASK) -> torch.Tensor:
    valid = (mask[:, :, None] & mask[:, None, :])[:, None].expand_as(student[0])
    total = 0
    for s, t in pairs:
        own, other = student[s - 1], teacher[t - 1]
        if paper:
            total += mse_loss(padded_to(own, valid, [2, 3]), padded_to(other, valid, [2, 3]))
        else:
            total += mse_loss(own[valid], other[valid])
    return total


def standardised(x: torch.Tensor) -> torch.Tensor:
    return layer_norm(x, x.shape[-1:], eps=1e-12)


def feature_maps(student: list, teacher: list, mask: torch.Tensor = MASK) -> torch.Tensor:
    return sum(mse_loss(standardised(s)[mask], standardised(t)[mask]) for s, t in zip(student, teacher, strict=True))


def attention_maps(student: list, teacher: list, pairs: list, mask: torch.Tensor = MASK) -> torch.Tensor:
    total = 0
    hidden = ~mask[:, None, None, :]
    for s, t in pairs:
        own = log_softmax(student[s - 1].masked_fill(hidden, -1e9), -1)
        other = softmax(teacher[t - 1].masked_fill(hidden, -1e9), -1)
        rows = kl_div(own, other, reduction="none").sum(-1)
        total += rows.transpose(1, 2)[mask].mean()
    return total


def cosine(student: list, teacher: list) -> torch.Tensor:
    ones = torch.ones(int(MASK.sum()), dtype=torch.float64)
    return sum(cosine_embedding_loss(s[MASK], t[MASK], ones) for s, t in zip(student, teacher, strict=True))


def mmd(student: list, teacher: list) -> torch.Tensor:
    total = 0
    for s, t in zip(student, teacher, strict=True):
        own, other = torch.bmm(s, s.transpose(1, 2)) / s.shape[-1], torch.bmm(t, t.transpose(1, 2)) / t.shape[-1]
        total += mse_loss(own[PAIRS], other[PAIRS])
    return total


def fsp(student: list, teacher: list) -> torch.Tensor:
    mask, total = MASK[..., None].double(), 0
    for k in range(len(student) - 1):
        def flow(layers: list, k: int = k) -> torch.Tensor:
            return torch.bmm((layers[k] * mask).transpose(1, 2), layers[k + 1] * mask) / mask.sum(1, keepdim=True)
        total += mse_loss(flow(student), flow(teacher))
    return total


def random_losses() -> None:
    generator = torch.Generator().manual_seed(17)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).double()

    batch = len(LENGTHS)
    inputs = {
        "same": [draw(batch, LONGEST, 6) for _ in range(STUDENT_LAYERS + 1)],
        "narrow": [draw(batch, LONGEST, 4) for _ in range(STUDENT_LAYERS + 1)],
        "scores": [2 * draw(batch, HEADS, LONGEST, LONGEST) for _ in range(STUDENT_LAYERS)],
        "projection": [draw(6, 4) for _ in range(STUDENT_LAYERS + 1)],
    }
    teacher = [draw(batch, LONGEST, 6) for _ in range(TEACHER_LAYERS + 1)]
    teacher_scores = [2 * draw(batch, HEADS, LONGEST, LONGEST) for _ in range(TEACHER_LAYERS)]
    leaves = {kind: [x.clone().requires_grad_() for x in tensors] for kind, tensors in inputs.items()}
    same, narrow, scores, projection = leaves.values()
    skip, last, listed = [(1, 2), (2, 4)], [(1, 4), (2, 5)], [(1, 3)]

    def matched(own: list, pairs: list) -> tuple[list, list]:
        return [own[s] for s, _ in pairs], [teacher[t] for _, t in pairs]

    def wide(pairs: list, shared: bool = False) -> list:
        """The narrow student's states as wide as the teacher's, by layer; only those of `pairs` have a projection."""
        return [narrow[s] @ projection[0 if shared else s].T for s in range(STUDENT_LAYERS + 1)]

    cases: dict[str, Callable[[], torch.Tensor]] = {
        "pkd_skip": lambda: patient(same, teacher, skip, True, "mean"),
        "pkd_skip_raw": lambda: patient(same, teacher, skip, False, "mean"),
        "pkd_skip_printed": lambda: patient(same, teacher, skip, True, "sum"),
        "pkd_last": lambda: patient(same, teacher, last, True, "mean"),
        "pkd_list": lambda: patient(same, teacher, listed, True, "mean"),
        "pkd_projected": lambda: patient(wide(skip), teacher, skip, True, "mean"),
        "hidden_valid": lambda: states(*matched(wide(uniform(0), shared=True), uniform(0)), paper=False),
        "hidden_paper": lambda: states(*matched(wide(uniform(0), shared=True), uniform(0)), paper=True),
        "scores_valid": lambda: attention_scores(scores, teacher_scores, uniform(1), paper=False),
        "scores_paper": lambda: attention_scores(scores, teacher_scores, uniform(1), paper=True),
        "features": lambda: feature_maps(*matched(same, uniform(1))),
        "features_projected": lambda: feature_maps(*matched(wide(uniform(1)), uniform(1))),
        "features_pairs": lambda: feature_maps(*matched(same, [(1, 6), (3, 1)])),
        "maps": lambda: attention_maps(scores, teacher_scores, uniform(1)),
        "maps_final": lambda: attention_maps(scores, teacher_scores, [(3, 6)]),
        "cosine": lambda: cosine(*matched(same, uniform(0))),
        "cosine_projected": lambda: cosine(*matched(wide(uniform(0)), uniform(0))),
        "mmd": lambda: mmd(*matched(same, uniform(0))),
        "mmd_narrow": lambda: mmd(*matched(narrow, uniform(0))),
        "fsp": lambda: fsp(*matched(same, uniform(0))),
    }

    def pack(kind: str, x: torch.Tensor) -> torch.Tensor:
        return {"scores": pack_scores, "projection": lambda p: p}.get(kind, lambda s: s[MASK])(x.detach())

    tensors = {f"{kind}.{i}": pack(kind, x) for kind, xs in inputs.items() for i, x in enumerate(xs)}
    tensors |= {f"teacher.{i}": x[MASK] for i, x in enumerate(teacher)}
    tensors |= {f"teacher_scores.{i}": pack_scores(x) for i, x in enumerate(teacher_scores)}
    values = {}
    for name, loss in cases.items():
        for xs in leaves.values():
            for x in xs:
                x.grad = None
        value = loss()
        value.backward()
        values[name] = value.item()
        found = ((f"{k}.{i}", k, x.grad) for k, xs in leaves.items() for i, x in enumerate(xs))
        tensors |= {f"{name}.grad.{key}": pack(k, g) for key, k, g in found if g is not None}
    write_tensors(FOLDER / "losses.safetensors", tensors)
    write_json(FOLDER / "losses.json", lengths=LENGTHS, heads=HEADS, padded_tokens=PADDED, values=values)
    print(f"{len(values)} losses")


def scores_of(model: BertForSequenceClassification, hidden: tuple, mask: torch.Tensor) -> list[torch.Tensor]:
    """Scaled products of queries and keys, from each layer's input."""
    found = []
    for layer, x in zip(model.bert.encoder.layer, hidden, strict=False):
        own = layer.attention.self
        shape = (*x.shape[:2], model.config.num_attention_heads, -1)
        query, key = own.query(x).view(shape).transpose(1, 2), own.key(x).view(shape).transpose(1, 2)
        found.append(query @ key.transpose(2, 3) / query.shape[-1] ** 0.5)
    return found


def model_losses() -> None:
    data = json.loads((FIXTURES / "training/data.json").read_text())
    rows = [0, 3, 18, 7, 2]
    batch: Batch = pad([data["ids"][r] for r in rows], [data["segments"][r] for r in rows], padding=0)
    mask = batch.mask.bool()

    def run(name: str) -> tuple:
        model = BertForSequenceClassification.from_pretrained(FIXTURES / name, attn_implementation="eager").double().eval()
        output = model(**batch.inputs(), output_hidden_states=True)
        return model, list(output.hidden_states), scores_of(model, output.hidden_states, mask)

    student, own, own_scores = run("tiny-bert")
    with torch.no_grad():
        _, other, other_scores = run("tiny-bert-teacher")
    layers = [(1, 1), (2, 2)]
    losses = {
        "hidden-states": states(own, other, paper=False, mask=mask),
        "attention-scores": attention_scores(own_scores, other_scores, layers, paper=False, mask=mask),
        "feature-maps": feature_maps(own[1:], other[1:], mask=mask),
        "attention-maps": attention_maps(own_scores, other_scores, layers, mask=mask),
        "pkd": patient(own, other, [(1, 1)], True, "mean"),
    }
    sum(10 * loss if name == "pkd" else loss for name, loss in losses.items()).backward()
    gradients = {n: p.grad for n, p in student.named_parameters() if p.grad is not None}
    write_tensors(FOLDER / "models.safetensors", {n: g.float() for n, g in gradients.items()})
    write_json(FOLDER / "models.json", rows=rows, values={n: v.item() for n, v in losses.items()})
    print(f"{len(losses)} losses of models, {len(gradients)} gradients")


if __name__ == "__main__":
    disable_progress_bar()
    random_losses()
    model_losses()
