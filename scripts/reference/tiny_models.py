"""Makes tiny random models of the four architectures, and what transformers computes with them.

    python scripts/reference/tiny_models.py

writes `fixtures/tiny-*/`; `fixtures/README.md` says what each file holds. Weights are drawn wide, and
biases and layer norms are perturbed, so that no gradient is near zero and no term can be left out unseen.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from fixture_files import FIXTURES, check_size, write_json, write_tensors
from tokenizers import ByteLevelBPETokenizer
from torch.nn.functional import cross_entropy
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertTokenizer,
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertForSequenceClassification,
    MPNetConfig,
    MPNetForMaskedLM,
    MPNetForSequenceClassification,
    MPNetTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaForSequenceClassification,
    RobertaTokenizer,
)
from transformers.utils.logging import disable_progress_bar

LABELS = ["negative", "neutral", "positive"]
# (first sentence, second sentence or None, label)
EXAMPLES = [
    ("a good film .", None, 2),
    ("The plot is not bad , but the acting is dull !", None, 1),
    ("the film is good", "the movie is not bad .", 2),
    ("fun", None, 0),
    ("a boring story about xyz", "it's unwatchable - never in a slow movie", 0),
    ("a very slow story about the film and the movie in that Café , and never a good act in it ?", None, 1),
]
WORDS = (
    "a the good bad film movie plot is not but and it s act un dull slow story about ca great very never i in of to "
    "that no fun bo review snow ##ing ##watch ##able ##fe ##ly ##s ##er ##ness ##est ##ed ##or ##y ##ies ##t ##n "
    "##ring . , ! ' - ?"
).split()
IGNORED = -100


def bert_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    return word_pieces(folder, BertTokenizer, ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])


def mpnet_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    return word_pieces(folder, MPNetTokenizer, ["<s>", "<pad>", "</s>", "<unk>", *WORDS, "[UNK]", "<mask>"])


def word_pieces(folder: Path, kind: type, vocabulary: list[str]) -> PreTrainedTokenizerBase:
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    return kind(vocab={piece: i for i, piece in enumerate(vocabulary)}, model_max_length=40)


def roberta_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    learner = ByteLevelBPETokenizer()
    texts = [" " + text for first, second, _ in EXAMPLES for text in (first, second) if text]
    learner.train_from_iterator(texts * 3, vocab_size=320, min_frequency=3, special_tokens=special, show_progress=False)
    learner.add_special_tokens(["<mask>"])
    learner.save_model(str(folder))
    vocabulary = learner.get_vocab()
    text = (folder / "merges.txt").read_text().splitlines()[1:]
    return RobertaTokenizer(vocab=vocabulary, merges=[tuple(line.split()) for line in text], model_max_length=46)


@dataclass
class Architecture:
    """One model family: how it is built, and what its layers call their parts."""

    name: str
    tokenizer: Callable[[Path], PreTrainedTokenizerBase]
    config: Callable[[int], object]
    classifier: type[PreTrainedModel]
    masked_lm: type[PreTrainedModel]
    query: str
    key: str
    seed: int


def shared(vocabulary: int, **values) -> dict:
    names = {i: label for i, label in enumerate(LABELS)}
    return dict(vocab_size=vocabulary, id2label=names, label2id={v: k for k, v in names.items()}, **values)


def width(hidden: int, heads: int, intermediate: int) -> dict:
    return dict(
        hidden_size=hidden, num_attention_heads=heads, intermediate_size=intermediate, num_hidden_layers=2,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip


ARCHITECTURES = [
    Architecture(
        "bert", bert_tokenizer,
        lambda n: BertConfig(**shared(n), **width(16, 2, 32), max_position_embeddings=40, pad_token_id=0),
        BertForSequenceClassification, BertForMaskedLM,
        "attention.self.query", "attention.self.key", seed=11,
    ),
    Architecture(
        "roberta", roberta_tokenizer,
        lambda n: RobertaConfig(
            **shared(n), **width(16, 2, 32), max_position_embeddings=48, type_vocab_size=1, layer_norm_eps=1e-5,
            bos_token_id=0, pad_token_id=1, eos_token_id=2,
        ),
        RobertaForSequenceClassification, RobertaForMaskedLM,
        "attention.self.query", "attention.self.key", seed=12,
    ),
    Architecture(
        "distilbert", bert_tokenizer,
        lambda n: DistilBertConfig(
            **shared(n), dim=24, n_heads=3, n_layers=2, hidden_dim=32, max_position_embeddings=40, pad_token_id=0,
            dropout=0.0, attention_dropout=0.0, seq_classif_dropout=0.0,
        ),
        DistilBertForSequenceClassification, DistilBertForMaskedLM,
        "attention.q_lin", "attention.k_lin", seed=13,
    ),
    Architecture(
        "mpnet", mpnet_tokenizer,
        lambda n: MPNetConfig(
            **shared(n), **width(16, 4, 40), max_position_embeddings=40, layer_norm_eps=1e-5,
            bos_token_id=0, pad_token_id=1, eos_token_id=2,
        ),
        MPNetForSequenceClassification, MPNetForMaskedLM,
        "attention.attn.q", "attention.attn.k", seed=14,
    ),
]  # fmt: skip


def randomise(model: PreTrainedModel, seed: int) -> None:
    """Draws every parameter from a seeded generator, in the order of their names."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            draw = torch.randn(parameter.shape, generator=generator)
            norm = "norm" in name.lower()
            if name.endswith("bias"):
                parameter.copy_(0.2 * draw)
            elif norm:
                parameter.copy_(1.0 + 0.2 * draw)
            else:
                parameter.copy_(0.3 * draw)


@dataclass
class Batch:
    """Padded inputs with what is needed to take the valid positions out again."""

    ids: torch.Tensor
    mask: torch.Tensor
    segments: torch.Tensor | None

    @property
    def lengths(self) -> list[int]:
        return self.mask.sum(1).tolist()

    def inputs(self) -> dict[str, torch.Tensor]:
        given = {"input_ids": self.ids, "attention_mask": self.mask}
        return given if self.segments is None else given | {"token_type_ids": self.segments}

    def pack(self, padded: torch.Tensor) -> torch.Tensor:
        """`[B, T, ...]` to the valid `[N, ...]`."""
        return padded[self.mask.bool()]


def pad(rows: list[list[int]], segments: list[list[int]] | None, padding: int) -> Batch:
    longest = max(map(len, rows))

    def fill(lists: list[list[int]], value: int) -> torch.Tensor:
        return torch.tensor([row + [value] * (longest - len(row)) for row in lists])

    mask = fill([[1] * len(row) for row in rows], 0)
    return Batch(fill(rows, padding), mask, None if segments is None else fill(segments, 0))


def encode(tokenizer: PreTrainedTokenizerBase, architecture: str) -> Batch:
    encoded = [tokenizer(first, second, return_token_type_ids=True) for first, second, _ in EXAMPLES]
    segments = [e["token_type_ids"] for e in encoded] if architecture == "bert" else None
    return pad([e["input_ids"] for e in encoded], segments, tokenizer.pad_token_id)


@dataclass
class Trace:
    """One forward pass with its intermediate values kept."""

    logits: torch.Tensor
    hidden: tuple[torch.Tensor, ...]
    attention: tuple[torch.Tensor, ...]
    embeddings: torch.Tensor  # word + position (+ segment), before layer norm; its gradient is retained
    queries: list[torch.Tensor]
    keys: list[torch.Tensor]
    pooled: torch.Tensor | None


def run(model: PreTrainedModel, architecture: Architecture, batch: Batch) -> Trace:
    """Runs the model with hooks on the embedding sum, on queries, on keys and on the pooler."""
    base = model.base_model
    kept: dict[str, list[torch.Tensor]] = {"embeddings": [], "query": [], "key": [], "pooled": []}

    def keep_sum(_, arguments):
        arguments[0].retain_grad()
        kept["embeddings"].append(arguments[0])

    def keep(name):
        return lambda module, arguments, output: kept[name].append(output)

    layers = base.transformer.layer if architecture.name == "distilbert" else base.encoder.layer
    hooks = [base.embeddings.LayerNorm.register_forward_pre_hook(keep_sum)]
    for layer in layers:
        hooks.append(layer.get_submodule(architecture.query).register_forward_hook(keep("query")))
        hooks.append(layer.get_submodule(architecture.key).register_forward_hook(keep("key")))
    if getattr(base, "pooler", None) is not None:
        hooks.append(base.pooler.register_forward_hook(keep("pooled")))
    output = model(**batch.inputs(), output_hidden_states=True, output_attentions=True)
    for hook in hooks:
        hook.remove()
    return Trace(
        output.logits, output.hidden_states, output.attentions,
        kept["embeddings"][0], kept["query"], kept["key"], kept["pooled"][0] if kept["pooled"] else None,
    )  # fmt: skip


def scores(model: PreTrainedModel, trace: Trace, layer: int) -> torch.Tensor:
    """Attention scores before mask and softmax, `[B, A, T, T]`; MPNet's position bias included."""
    heads = model.config.num_attention_heads
    query, key = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (trace.queries[layer], trace.keys[layer]))
    value = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    encoder = getattr(model.base_model, "encoder", None)
    if hasattr(encoder, "compute_position_bias"):
        value = value + encoder.compute_position_bias(trace.queries[layer])
    return value


def gradients(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    missing = [name for name, p in model.named_parameters() if p.grad is None]
    assert not missing, f"no gradient for {missing}"
    return {f"grad.{name}": p.grad for name, p in model.named_parameters()}


def positions(architecture: str, batch: Batch) -> list[list[int]]:
    first = 2 if architecture in ("roberta", "mpnet") else 0
    return [list(range(first, first + length)) for length in batch.lengths]


def valid(rows: torch.Tensor, batch: Batch) -> list[list[int]]:
    return [row[:length] for row, length in zip(rows.tolist(), batch.lengths)]


def inputs_as_json(architecture: str, batch: Batch) -> dict:
    return {
        "lengths": batch.lengths,
        "ids": valid(batch.ids, batch),
        "segments": None if batch.segments is None else valid(batch.segments, batch),
        "positions": positions(architecture, batch),
    }


def classifier_reference(folder: Path, architecture: Architecture, model: PreTrainedModel, batch: Batch) -> None:
    labels = torch.tensor([label for _, _, label in EXAMPLES])
    trace = run(model, architecture, batch)
    loss = cross_entropy(trace.logits, labels)
    loss.backward()

    weights = batch.mask.unsqueeze(-1).float()
    tensors = {
        "logits": trace.logits,
        "mean_pooled": (trace.hidden[-1] * weights).sum(1) / weights.sum(1),
        "embeddings": batch.pack(trace.embeddings),
        "grad_embeddings": batch.pack(trace.embeddings.grad),
        **{f"hidden.{i}": batch.pack(h) for i, h in enumerate(trace.hidden)},
        **gradients(model),
    }
    if trace.pooled is not None:
        tensors["pooled"] = trace.pooled
    write_tensors(folder / "reference.safetensors", tensors)

    score_maps, share_maps = {}, {}
    for layer, probabilities in enumerate(trace.attention):
        raw = scores(model, trace, layer)
        for i, length in enumerate(batch.lengths):
            score, share = raw[i, :, :length, :length], probabilities[i, :, :length, :length]
            torch.testing.assert_close(score.softmax(-1), share, rtol=1e-5, atol=1e-6)
            score_maps[f"{layer}.{i}"], share_maps[f"{layer}.{i}"] = score, share
    write_tensors(folder / "attention_scores.safetensors", score_maps)
    write_tensors(folder / "attention_probabilities.safetensors", share_maps)

    double = copy.deepcopy(model).double()
    double.zero_grad()
    exact = run(double, architecture, batch)
    exact_loss = cross_entropy(exact.logits, labels)
    exact_loss.backward()
    exact_gradients = gradients(double)
    write_tensors(folder / "reference_f64.safetensors", {"logits": exact.logits, **exact_gradients})
    worst = max(
        ((tensors[name] - g).norm() / g.norm().clamp(min=1e-9)).item()
        for name, g in exact_gradients.items()
        if g.norm() > 1e-9
    )
    smallest = min((g.norm().item(), name) for name, g in exact_gradients.items())
    print(f"{folder.name}: loss {loss.item():.6f}, fp32 against fp64 gradients {worst:.1e}, smallest norm {smallest}")

    write_json(
        folder / "reference.json",
        texts=[[first] if second is None else [first, second] for first, second, _ in EXAMPLES],
        labels=labels.tolist(),
        **inputs_as_json(architecture.name, batch),
        loss=loss.item(),
        loss_f64=exact_loss.item(),
        logits=trace.logits.tolist(),
    )


def masked_reference(folder: Path, architecture: Architecture, model: PreTrainedModel, batch: Batch, mask: int) -> None:
    """Masks every fourth position that is neither first nor last, and predicts what stood there."""
    ids, targets = batch.ids.clone(), torch.full_like(batch.ids, IGNORED)
    for row, length in enumerate(batch.lengths):
        hidden = torch.arange(1 + row % 2, length - 1, 4)
        targets[row, hidden] = ids[row, hidden]
        ids[row, hidden] = mask
    batch = Batch(ids, batch.mask, batch.segments)

    def forward(model: PreTrainedModel) -> tuple[torch.Tensor, torch.Tensor]:
        model.zero_grad()
        output = model(**batch.inputs(), labels=targets)
        output.loss.backward()
        return output.loss, output.logits[targets != IGNORED]

    loss, logits = forward(model)
    write_tensors(folder / "reference.safetensors", {"logits": logits, **gradients(model)})
    exact, _ = forward(copy.deepcopy(model).double())
    packed = batch.pack(targets)
    print(f"{folder.name}: loss {loss.item():.6f} at {len(logits)} masked positions")
    write_json(
        folder / "reference.json",
        **inputs_as_json(architecture.name, batch),
        masked_positions=torch.nonzero(packed != IGNORED).flatten().tolist(),
        targets=packed[packed != IGNORED].tolist(),
        loss=loss.item(),
        loss_f64=exact.item(),
    )


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for path in folder.iterdir():
        path.chmod(0o644)
        check_size(path)


def build(kind: type[PreTrainedModel], config: object, seed: int) -> PreTrainedModel:
    model = kind._from_config(config, attn_implementation="eager").float()
    randomise(model, seed)
    return model.eval()


def main() -> None:
    torch.set_num_threads(1)
    disable_progress_bar()
    for architecture in ARCHITECTURES:
        folder = FIXTURES / f"tiny-{architecture.name}"
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer = architecture.tokenizer(folder)
        config = architecture.config(len(tokenizer))
        batch = encode(tokenizer, architecture.name)
        assert max(batch.lengths) <= tokenizer.model_max_length
        model = build(architecture.classifier, config, architecture.seed)
        save(model, tokenizer, folder)
        classifier_reference(folder, architecture, model, batch)

        folder = FIXTURES / f"tiny-{architecture.name}-mlm"
        folder.mkdir(parents=True, exist_ok=True)
        architecture.tokenizer(folder)
        model = build(architecture.masked_lm, config, architecture.seed + 10)
        save(model, tokenizer, folder)
        masked_reference(folder, architecture, model, batch, tokenizer.mask_token_id)

    bert = ARCHITECTURES[0]
    folder = FIXTURES / "tiny-bert-teacher"
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = bert.tokenizer(folder)
    save(build(bert.classifier, bert.config(len(tokenizer)), seed=31), tokenizer, folder)


if __name__ == "__main__":
    main()
