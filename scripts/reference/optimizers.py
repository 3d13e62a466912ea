"""Eight steps of AdamW and Adadelta on seven numbers: writes `fixtures/optimizers.json`.

    python scripts/reference/optimizers.py

One gradient is always zero, one is tiny, one is large. `values` holds the parameter after each step, in fp64;
`values_f32` the same computed in fp32.
"""

from collections.abc import Callable, Iterable

import torch
from fixture_files import FIXTURES, write_json

RATES = [1e-2, 1e-2, 2e-2, 5e-3, 1e-2, 0.0, 1e-2, 1e-3]
MakeOptimizer = Callable[[Iterable[torch.Tensor]], torch.optim.Optimizer]

CASES: dict[str, tuple[dict, Callable, bool]] = {
    "adamw": ({"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01}, torch.optim.AdamW, True),
    "adamw_no_decay": ({"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}, torch.optim.AdamW, True),
    "adamw_other_betas": ({"betas": (0.8, 0.98), "eps": 1e-6, "weight_decay": 0.3}, torch.optim.AdamW, True),
    "adadelta": ({"lr": 1.0, "rho": 0.95, "eps": 1e-6, "weight_decay": 0.0}, torch.optim.Adadelta, False),
    "adadelta_decay": ({"lr": 0.5, "rho": 0.9, "eps": 1e-6, "weight_decay": 0.1}, torch.optim.Adadelta, False),
}


def steps(start: torch.Tensor, gradients: torch.Tensor, make: MakeOptimizer, rates: list[float] | None) -> list:
    parameter = start.clone().requires_grad_()
    optimizer = make([parameter])
    values = []
    for i, gradient in enumerate(gradients):
        if rates:
            optimizer.param_groups[0]["lr"] = rates[i]
        parameter.grad = gradient.clone()
        optimizer.step()
        values.append(parameter.detach().tolist())
    return values


def main() -> None:
    generator = torch.Generator().manual_seed(9)
    start = torch.randn(7, generator=generator)
    gradients = torch.randn(len(RATES), 7, generator=generator) * torch.tensor([1.0, 0.0, 1e-6, 100.0, 0.1, 1.0, 1e-3])
    runs = []
    for name, (options, kind, scheduled) in CASES.items():
        rates = RATES if scheduled else None
        make: MakeOptimizer = lambda parameters: kind(parameters, foreach=False, **options)  # noqa: E731, B023
        runs.append(
            {
                "name": name,
                "options": options,
                "learning_rates": rates,
                "values": steps(start.double(), gradients.double(), make, rates),
                "values_f32": steps(start, gradients, make, rates),
            }
        )
    write_json(FIXTURES / "optimizers.json", start=start.tolist(), gradients=gradients.tolist(), runs=runs)
    print(f"{len(runs)} runs of {len(RATES)} steps")


if __name__ == "__main__":
    main()
