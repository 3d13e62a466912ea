"""A two-layer bidirectional LSTM over true lengths: writes `fixtures/lstm/`.

    python scripts/reference/lstm.py

Computed by torch.nn.LSTM over packed sequences in fp64 from fp32 inputs, rounded to fp32 at the end.
"""

import torch
from fixture_files import FIXTURES, write_json, write_tensors
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

LENGTHS = [7, 3, 5, 1]
INPUT, HIDDEN, LAYERS = 6, 5, 2


def main() -> None:
    torch.manual_seed(3)
    lstm = nn.LSTM(INPUT, HIDDEN, LAYERS, batch_first=True, bidirectional=True)
    for parameter in lstm.parameters():
        nn.init.normal_(parameter, std=0.5)
    packed_inputs = torch.randn(sum(LENGTHS), INPUT)
    output_weights = torch.randn(sum(LENGTHS), 2 * HIDDEN)
    last_weights = torch.randn(len(LENGTHS), 2 * HIDDEN)
    tensors = {"input": packed_inputs, "output_weights": output_weights, "last_weights": last_weights}
    tensors |= {name: p.detach().clone() for name, p in lstm.named_parameters()}

    lstm = lstm.double()
    inputs = packed_inputs.double().requires_grad_()
    padded = pad_sequence(list(inputs.split(LENGTHS)), batch_first=True)
    packed = pack_padded_sequence(padded, torch.tensor(LENGTHS), batch_first=True, enforce_sorted=False)
    output, (hidden, cell) = lstm(packed)
    rows, _ = pad_packed_sequence(output, batch_first=True)
    output = torch.cat([row[:length] for row, length in zip(rows, LENGTHS)])
    last = torch.cat([hidden[-2], hidden[-1]], dim=-1)
    tensors |= {"output": output, "last": last, "hidden": hidden, "cell": cell}

    leaves = {"input": inputs, **dict(lstm.named_parameters())}
    for name, loss in (("output", (output * output_weights).sum()), ("last", (last * last_weights).sum())):
        found = torch.autograd.grad(loss, list(leaves.values()), retain_graph=True)
        tensors |= {f"grad_{name}.{leaf}": g for leaf, g in zip(leaves, found)}

    write_tensors(FIXTURES / "lstm" / "reference.safetensors", {k: t.float() for k, t in tensors.items()})
    shape = {"lengths": LENGTHS, "input_size": INPUT, "hidden_size": HIDDEN, "layers": LAYERS}
    write_json(FIXTURES / "lstm" / "reference.json", **shape)
    print(f"{len(tensors)} tensors")


if __name__ == "__main__":
    main()
