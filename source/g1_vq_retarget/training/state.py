"""Where a training run stands, so that it can go on as if it had never stopped."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import existing_file, replacing


@dataclass
class Progress:
    """How far a run has come.

    Attributes:
        epoch: epochs finished.
        step: optimizer steps taken.
        seconds: time spent training, without validation.
        best: best validation score so far.
        log: one entry an epoch, as in `log.json`.
    """

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    best: float = float("inf")
    log: list[dict] = field(default_factory=list)


def save_state(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
    """Write weights, optimizer and progress to one safetensors file.

    No random state: the random numbers of an epoch depend on the seed and the epoch alone.
    """
    state = optimizer.state_dict()
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for index, entry in state["state"].items():
        tensors |= {f"optimizer.{index}.{key}": torch.as_tensor(value) for key, value in entry.items()}
    # infinity is no JSON
    values = asdict(progress) | {"best": None if progress.best == float("inf") else progress.best}
    # copies, since safetensors refuses tensors that share memory
    plain = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    with replacing(path) as temporary:
        save_file(plain, temporary, metadata={"progress": json.dumps(values)})


def load_state(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
    """Put back what `save_state` wrote; the groups of the optimizer stay those of its configuration.

    Raises:
        UserError: no such file, a damaged one, or one of another model.
    """
    try:
        with safe_open(existing_file(path), framework="pt") as file:
            values = json.loads(file.metadata()["progress"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dictionary
        entries: dict[int, dict[str, Tensor]] = {}
        for name in [name for name in tensors if name.startswith("optimizer.")]:
            _, index, key = name.split(".")
            entries.setdefault(int(index), {})[key] = tensors.pop(name)
        model.load_state_dict({name.removeprefix("model."): tensor for name, tensor in tensors.items()})
        optimizer.load_state_dict({"state": entries, "param_groups": optimizer.state_dict()["param_groups"]})
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{path}: cannot go on from it ({error}); train anew with --overwrite") from error
    return Progress(**values | {"best": float("inf") if values["best"] is None else values["best"]})
