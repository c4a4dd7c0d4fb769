"""A tokenizer as files that run without this package, ONNX and TorchScript, and what is to be known to use them.

A folder holds `<part>.onnx` and `<part>.pt` of each part, and `tokenizer.json`. Each file says the same of itself:
ONNX by key, in JSON what is no text; TorchScript as `tokenizer.json`, one of its extra files.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch

from g1_vq_retarget.data.features import FeatureSpec
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import existing_file, sha256_of
from g1_vq_retarget.motion.root import root_columns
from g1_vq_retarget.motion.skeleton import HUMAN_JOINTS
from g1_vq_retarget.retarget.graphs import PARTS, Graph, Part
from g1_vq_retarget.training.checkpoint import Checkpoint

FORMAT = "g1_vq_retarget.tokenizer"
FORMAT_VERSION = 1
CARD = "tokenizer.json"
Backend = Literal["onnx", "torchscript"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)
_SUFFIX: dict[Backend, str] = {"onnx": ".onnx", "torchscript": ".pt"}
# A rotation's six numbers: row and column of its matrix.
_ROTATION_6D = ("r00", "r10", "r20", "r01", "r11", "r21")

# A part in a file: its outputs, of its inputs in order.
Runner = Callable[..., list[np.ndarray]]


def file_of(part: Part, backend: Backend) -> str:
    """What the file of a part is called."""
    return part + _SUFFIX[backend]


def card_of(checkpoint: Checkpoint, levels: int | None = None) -> dict:
    """What is true of all parts of a tokenizer, in values that JSON has.

    Args:
        levels: only so many tokens a step; by default all.
    """
    model, spec, info = checkpoint.model, checkpoint.spec, checkpoint.info
    sizes = model.quantizer.codebook_sizes[:levels]
    steps = spec.fps / model.downsample
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "tool_version": version("g1_vq_retarget"),
        "weights_sha256": info["weights_sha256"],
        "licences": list(info["licences"]),
        "robot": spec.robot,
        "joint_names": list(spec.joint_names),
        "human_joints": list(HUMAN_JOINTS[1:]),
        "robot_columns": [*spec.joint_names, *_root(spec)],
        "human_columns": [*(f"{joint}.{entry}" for joint in HUMAN_JOINTS[1:] for entry in _ROTATION_6D), *_root(spec)],
        "robot_mean": list(spec.robot_mean),
        "robot_std": list(spec.robot_std),
        "human_mean": list(spec.human_mean),
        "human_std": list(spec.human_std),
        "fps": spec.fps,
        "frames_per_step": model.downsample,
        "steps_per_second": steps,
        "quantizer": model.config.quantizer.kind,
        "levels": len(sizes),
        "codebook_sizes": list(sizes),
        "bits_per_second": float(np.log2(sizes).sum() * steps),
        # where it is not causal, the parts look to both sides, and take whole clips
        "causal": model.causal,
        "lookahead_frames": model.downsample - 1 if model.causal else None,
    }


def _root(spec: FeatureSpec) -> list[str]:
    return [f"root.{name}" for name in root_columns(spec.orientation)] if spec.root else []


def about(part: Part, graph: Graph) -> dict:
    """What is true of a part alone."""
    return {
        "part": part,
        "inputs": [port.to_dict() for port in graph.inputs],
        "outputs": [port.to_dict() for port in graph.outputs],
    }


def as_text(card: dict) -> dict[str, str]:
    """A card by key, as ONNX has it."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in card.items()}


class ExportedTokenizer:
    """A folder of `tokenizer_export.export_tokenizer`.

    Attributes:
        path: of the folder.
        card: what `tokenizer.json` tells, see `card_of`; `parts` of it by name, see `about`, with a hash a file.
        parts: that there are.

    Raises:
        UserError: no such folder, or one of another format version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        file = existing_file(path / CARD)
        try:
            self.card: dict = json.loads(file.read_text(encoding="utf-8"))
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise UserError(f"{file}: not JSON ({error}); export the tokenizer again") from error
        found = (self.card.get("format"), self.card.get("format_version")) if isinstance(self.card, dict) else None
        if found != (FORMAT, FORMAT_VERSION):
            raise UserError(
                f"{file}: is no {FORMAT} of version {FORMAT_VERSION}; export it with scripts/deployment/"
                "export_tokenizer.py"
            )
        self.parts: tuple[Part, ...] = tuple(part for part in PARTS if part in self.card["parts"])

    def load(self, part: Part, backend: Backend) -> Runner:
        """A part, to be run on the processor.

        Raises:
            UserError: no such file, another than `tokenizer.json` was written with, one that says otherwise than that,
                or that cannot be read; onnxruntime is not installed. When run: inputs that do not fit.
        """
        path = existing_file(self.path / file_of(part, backend))
        about = dict(self.card["parts"][part])
        if sha256_of(path) != about.pop("sha256")[backend]:
            raise UserError(f"{path}: is not the file that {CARD} was written with; copy all files again")
        expected = {key: value for key, value in self.card.items() if key != "parts"} | about
        runner, said = (_load_onnx if backend == "onnx" else _load_torchscript)(path)
        for key, value in as_text(expected).items():
            if said.get(key) != value:
                raise UserError(f"{path}: tells another {key} than {self.path / CARD}; export the tokenizer again")
        return runner


def _load_onnx(path: Path) -> tuple[Runner, dict[str, str]]:
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError("onnxruntime is not installed: pip install 'g1_vq_retarget[deployment]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has no class of its own for what is no ONNX
        raise UserError(f"{path}: cannot be read as ONNX ({error})") from error
    names = [port.name for port in session.get_inputs()]

    def run(*inputs: np.ndarray) -> list[np.ndarray]:
        try:
            outputs: Any = session.run(None, dict(zip(names, inputs, strict=True)))
        except Exception as error:  # as above
            raise _does_not_run(path, inputs, error) from error
        return outputs

    return run, dict(session.get_modelmeta().custom_metadata_map)


def _load_torchscript(path: Path) -> tuple[Runner, dict[str, str]]:
    files = {CARD: ""}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch works on TorchScript no longer
            module = torch.jit.load(str(path), map_location="cpu", _extra_files=files)
        card = json.loads(files[CARD])
    except (RuntimeError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: cannot be read as a TorchScript part ({error})") from error

    def run(*inputs: np.ndarray) -> list[np.ndarray]:
        try:
            with torch.inference_mode():
                outputs = module(*map(torch.from_numpy, inputs))
        except RuntimeError as error:
            raise _does_not_run(path, inputs, error) from error
        return [output.numpy() for output in (outputs if isinstance(outputs, tuple) else (outputs,))]

    return run, as_text(card)


def _does_not_run(path: Path, inputs: Sequence[np.ndarray], error: Exception) -> UserError:
    reason = str(error).strip().splitlines()[-1]
    return UserError(f"{path}: does not run on {', '.join(str(one.shape) for one in inputs)} ({reason})")
