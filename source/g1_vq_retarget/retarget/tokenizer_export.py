"""A trained model's parts written as ONNX and TorchScript, and tried before they are left."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path

from torch.jit import TracerWarning  # type: ignore[attr-defined]

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.files import replacing_folder, sha256_of
from g1_vq_retarget.retarget.exported import (
    BACKENDS,
    CARD,
    Backend,
    ExportedTokenizer,
    about,
    as_text,
    card_of,
    file_of,
)
from g1_vq_retarget.retarget.exported_check import try_lengths
from g1_vq_retarget.retarget.graphs import Graph, Part, graph_of, parts_of
from g1_vq_retarget.retarget.onnx_graph import onnx_package, to_onnx
from g1_vq_retarget.training.checkpoint import Checkpoint


def export_tokenizer(
    checkpoint: Checkpoint, folder: Path, parts: Sequence[Part] = (), levels: int | None = None
) -> ExportedTokenizer:
    """Write parts of a model into a folder, and try them at three lengths; the folder is whole or absent.

    Args:
        parts: by default all that the model has.
        levels: only so many tokens a step, for a lower rate; by default all.

    Raises:
        UserError: a part or a number of levels that the model does not have; something else stands there; onnx or
            onnxruntime is not installed; or what was written does not do what the model does.
    """
    there = parts_of(checkpoint)
    for part in parts:
        if part not in there:
            lacks = "looks ahead" if checkpoint.info["human_windows"] else "was trained without human motion"
            raise UserError(f"{checkpoint.path}: has no {part}, since it {lacks}; it has {', '.join(there)}")
    checkpoint.check_levels(levels)
    card, described = card_of(checkpoint, levels), {}
    with replacing_folder(folder) as temporary, warnings.catch_warnings():
        # of sizes that a trace may hold, which is why several are tried; and of the age of what is used
        for kind in (TracerWarning, DeprecationWarning, UserWarning):
            warnings.simplefilter("ignore", kind)
        for part in parts or there:
            graph = graph_of(checkpoint, part, levels)
            own = about(part, graph)
            for backend in BACKENDS:
                _write(graph, backend, {**card, **own}, temporary / file_of(part, backend))
            hashes = {backend: sha256_of(temporary / file_of(part, backend)) for backend in BACKENDS}
            described[part] = {**own, "sha256": hashes}
        text = json.dumps({**card, "parts": described}, indent=1)
        (temporary / CARD).write_text(text, encoding="utf-8")
        try:
            try_lengths(checkpoint, ExportedTokenizer(temporary))
        except UserError as error:
            raise UserError(f"{folder} is not written: {error}") from error
    return ExportedTokenizer(folder)


def _write(graph: Graph, backend: Backend, card: dict, path: Path) -> None:
    if backend == "torchscript":
        graph.script().save(str(path), _extra_files={CARD: json.dumps(card)})
        return
    onnx, model = onnx_package(), to_onnx(graph)
    onnx.helper.set_model_props(model, as_text(card))
    onnx.save(model, str(path))
