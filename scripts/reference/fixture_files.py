"""Where the fixtures lie and how they are written."""

import json
from pathlib import Path

import safetensors.torch
import torch
import transformers

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
SIZE_LIMIT = 100_000


def write_json(path: Path, **values) -> None:
    """One key per line; floats in the shortest form that reads back to the same value."""
    values = {"made_with": {"torch": torch.__version__, "transformers": transformers.__version__}, **values}
    lines = (f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in values.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    check_size(path)


def write_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file({k: t.detach().contiguous().clone() for k, t in tensors.items()}, path)
    path.chmod(0o644)
    check_size(path)


def check_size(path: Path) -> None:
    size = path.stat().st_size
    if size >= SIZE_LIMIT:
        raise SystemExit(f"{path}: {size} bytes, a fixture has to stay below {SIZE_LIMIT}")
