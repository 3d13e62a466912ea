"""How strongly transformers' loss depends on each token and word of a text, for the tests.

    python scripts/reference/word_gradients.py        (after tiny_models.py)

writes `fixtures/word_gradients.json`. For each of the tiny classifiers and texts, in fp64 and without dropout: the label
that the model finds most probable, the L1 norm of each token's gradient of the cross-entropy with that label, taken with
respect to the output of the word embeddings; and for each word (letters, digits, `-` and `'`) its sentence, its bytes, and
the L1 norm of the mean over the tokens inside it, as TextAttack's `GreedyWordSwapWIR(wir_method="gradient")` ranks words.
"""

import re

import torch
from fixture_files import FIXTURES, write_json
from tiny_models import ARCHITECTURES, EXAMPLES
from torch.nn.functional import cross_entropy
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

MAX_TOKENS = 20
WORD = re.compile(r"[\w'-]*\w[\w'-]*")


def norms(gradients: torch.Tensor) -> list[float]:
    return [float(f"{v:.7g}") for v in gradients.abs().sum(-1).tolist()]


def bytes_of(text: str, start: int, end: int) -> list[int]:
    return [len(text[:start].encode()), len(text[:end].encode())]


def row(tokenizer, model, sentences: list[str], with_segments: bool) -> dict:
    encoded = tokenizer(
        *sentences, truncation=True, max_length=MAX_TOKENS,
        return_token_type_ids=with_segments, return_offsets_mapping=True, return_tensors="pt",
    )  # fmt: skip
    places = list(zip(encoded.sequence_ids(0), encoded.pop("offset_mapping")[0].tolist()))
    kept = []

    def keep(_, inputs, output):
        output.retain_grad()
        kept.append(output)

    hook = model.get_input_embeddings().register_forward_hook(keep)
    logits = model(**encoded).logits
    hook.remove()
    label = logits.argmax(1)
    cross_entropy(logits, label).backward()
    gradients = kept[0].grad[0]
    words = []
    for sentence, text in enumerate(sentences):
        for match in WORD.finditer(text):
            start, end = match.span()
            inside = [i for i, (s, (a, b)) in enumerate(places) if s == sentence and max(a, start) < min(b, end)]
            mean = gradients[inside].mean(0, keepdim=True) if inside else torch.zeros(1, 1)
            words.append({"sentence": sentence, "bytes": bytes_of(text, start, end), "norm": norms(mean)[0]})
    return {"texts": sentences, "label": label.item(), "tokens": norms(gradients), "words": words}


def main() -> None:
    torch.set_num_threads(1)
    disable_progress_bar()
    models = {}
    for architecture in ARCHITECTURES:
        folder = FIXTURES / f"tiny-{architecture.name}"
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForSequenceClassification.from_pretrained(folder).double().eval()
        texts = [[first] if second is None else [first, second] for first, second, _ in EXAMPLES]
        models[folder.name] = [row(tokenizer, model, sentences, architecture.name == "bert") for sentences in texts]
    write_json(FIXTURES / "word_gradients.json", max_tokens=MAX_TOKENS, **models)


if __name__ == "__main__":
    main()
