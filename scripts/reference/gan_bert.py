"""Losses and gradients of GAN-BERT on `fixtures/tiny-bert`, in fp64: writes `fixtures/gan_bert.json` and `.safetensors`.

    python scripts/reference/gan_bert.py        (after tiny_models.py and training_run.py)

h = tanh-pooled vectors of real sentences, noise n, no dropout:

    D(h) = linear - leaky ReLU .2 (= features f) - linear; classes: the labels, (k+2: unknown,) fake
    G(n) = linear - leaky ReLU .2 - linear
    supervised  = mean over labelled rows of CE over all logits but fake's (0 where there is none)
    real        = -mean log(1 - P_fake(h) + e),  generated = -mean log(P_fake(G(n)) + e),  e = 1e-8
    L_D = supervised + real + generated
    L_G = -mean log(1 - P_fake(G(n)) + e) + mean over H of (mean_B f(h) - mean_B f(G(n)))²

`separate`: each network gets the gradient of its own loss; `leaky`: as the PyTorch port does, backward from both
losses before both steps, so that encoder, D and G all get the gradient of L_D + L_G.
"""

import json

import torch
from fixture_files import FIXTURES, write_json, write_tensors
from tiny_models import pad
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import BertModel
from transformers.utils.logging import disable_progress_bar

EPSILON, HIDDEN, NOISE, LABELS = 1e-8, 16, 10, 3
BATCHES = {"some": [0, None, 2, None, None, 1], "none": [None, None, None, None]}  # labelled


class Discriminator(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.dense, self.classifier = nn.Linear(HIDDEN, HIDDEN), nn.Linear(HIDDEN, classes)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = nn.functional.leaky_relu(self.dense(x), 0.2)
        return self.classifier(features), features


def losses(real: tuple, made: tuple, labels: list[int | None]) -> dict[str, torch.Tensor]:
    (logits, features), (made_logits, made_features) = real, made
    rows = [i for i, label in enumerate(labels) if label is not None]
    targets = torch.tensor([labels[i] for i in rows], dtype=torch.long)
    supervised = cross_entropy(logits[rows, :-1], targets) if rows else logits.new_zeros(())
    fake, made_fake = logits.softmax(-1)[:, -1], made_logits.softmax(-1)[:, -1]
    matching = (features.mean(0) - made_features.mean(0)).square().mean()
    return {
        "supervised": supervised,
        "real": -torch.log(1 - fake + EPSILON).mean(),
        "generated": -torch.log(made_fake + EPSILON).mean(),
        "generator": -torch.log(1 - made_fake + EPSILON).mean() + matching,
        "feature-matching": matching,
    }


def main() -> None:
    torch.manual_seed(11)
    torch.set_num_threads(1)
    disable_progress_bar()
    data = json.loads((FIXTURES / "training" / "data.json").read_text())
    bert = BertModel.from_pretrained(FIXTURES / "tiny-bert").double().eval()
    generator = nn.Sequential(nn.Linear(NOISE, HIDDEN), nn.LeakyReLU(0.2), nn.Linear(HIDDEN, HIDDEN))
    generator = generator.float().double()
    tensors, cases = {}, []
    layers = {"dense": generator[0], "output": generator[2]}
    made_by = {f"generator.{name}.{n}": p for name, layer in layers.items() for n, p in layer.named_parameters()}
    encoder = {f"bert.{n}": p for n, p in bert.named_parameters()}
    tensors |= made_by
    for kind, extra in (("k+1", 1), ("k+2", 2)):
        discriminator = Discriminator(LABELS + extra).float().double()
        with torch.no_grad():
            discriminator.classifier.weight *= 3  # so that probabilities are not all alike
        heads = {f"discriminator.{n}": p for n, p in discriminator.named_parameters()}
        tensors |= {f"{kind}/{n}": p for n, p in heads.items()}
        for batch, labels in BATCHES.items():
            noise = torch.rand(len(labels), NOISE).double()
            tensors[f"{kind}/{batch}/noise"] = noise
            rows = range(len(labels))
            inputs = pad([data["ids"][i] for i in rows], [data["segments"][i] for i in rows], padding=0).inputs()
            for updates in ("separate", "leaky"):
                terms = losses(discriminator(bert(**inputs).pooler_output), discriminator(generator(noise)), labels)
                judged = terms["supervised"] + terms["real"] + terms["generated"]
                gradients = {}
                for name, parameter in {**encoder, **heads, **made_by}.items():
                    own = terms["generator"] if name in made_by else judged
                    loss = judged + terms["generator"] if updates == "leaky" else own
                    (gradients[name],) = torch.autograd.grad(loss, parameter, retain_graph=True)
                # Whole gradients of the heads and the pooler; of the rest of the encoder their norms, to stay small.
                whole = {n: g for n, g in gradients.items() if n not in encoder or "pooler" in n}
                tensors |= {f"{kind}/{batch}/{updates}/{name}": gradient for name, gradient in whole.items()}
                cases.append({
                    "classes": kind, "batch": batch, "labels": labels, "updates": updates,
                    "terms": {n: t.item() for n, t in terms.items()},
                    "discriminator": judged.item(),
                    "encoder_gradient_norms": {n: gradients[n].norm().item() for n in encoder},
                })  # fmt: skip
    write_json(FIXTURES / "gan_bert.json", cases=cases)
    write_tensors(FIXTURES / "gan_bert.safetensors", tensors)
    print(f"{len(cases)} cases, {len(tensors)} tensors")


if __name__ == "__main__":
    main()
