"""Graphs as ONNX. What goes from step to step becomes a `Scan`, which holds one step and runs it for each."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.onnx import (
    register_custom_op_symbolic,  # type: ignore[attr-defined]
    symbolic_helper,  # type: ignore[attr-defined]
    unregister_custom_op_symbolic,  # type: ignore[attr-defined]
)

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.retarget.graphs import Graph, Recursion

OPSET = 18
# Inside a file: latents or sums of codes of all steps, and what comes of each step.
_ALL, _TOLD = "all_steps", "told_{}"


def onnx_package() -> Any:
    """The package onnx. Raises UserError where it is not installed."""
    try:
        import onnx
        import onnx.compose
        import onnx.numpy_helper
    except ImportError as error:
        raise UserError("onnx is not installed: pip install 'g1_vq_retarget[deployment]'") from error
    return onnx


@torch.no_grad()
def to_onnx(graph: Graph) -> Any:
    """A graph as an ONNX model, its free axes free."""
    onnx = onnx_package()
    names, results = [port.name for port in graph.inputs], [port.name for port in graph.outputs]
    free = {port.name: port.free_axes for port in (*graph.inputs, *graph.outputs)}
    example = [port.example() for port in graph.inputs]
    body = graph.body
    if isinstance(body, Recursion):
        model = _joined(body, dict(zip(names, example, strict=True)), results, free)
    else:
        model = _traced(body, example, names, results, free)
    del model.graph.output[:]
    for port in graph.outputs:
        kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(port.dtype))
        model.graph.output.append(onnx.helper.make_tensor_value_info(port.name, kind, port.shape))
    onnx.checker.check_model(model)
    return model


def _joined(recursion: Recursion, example: Mapping[str, Tensor], results: Sequence[str], free: Mapping) -> Any:
    """What is before all steps, the steps, and what is after them."""
    onnx = onnx_package()
    given, names = list(example.values()), list(example)
    steps = recursion.before(*given)
    told = recursion.loop(steps)
    told = told if isinstance(told, tuple) else (told,)
    numbered = [_TOLD.format(at) for at in range(len(told))]
    axes = {**free, **{name: {0: "batch", 1: "steps"} for name in (_ALL, *numbered)}}
    before = _traced(recursion.before, given, names, [_ALL], axes)
    after = _traced(recursion.after, [*told, *given], [*numbered, *names], results, axes)
    kept = {"rename_inputs": False, "rename_outputs": False}
    before, after = (
        onnx.compose.add_prefix(part, prefix, **kept) for part, prefix in ((before, "before/"), (after, "after/"))
    )
    nodes, initializers = _scan(recursion, steps, numbered)
    graph = onnx.helper.make_graph(
        [*before.graph.node, *nodes, *after.graph.node],
        "g1_vq_retarget",
        list(before.graph.input),
        list(after.graph.output),
        [*before.graph.initializer, *initializers, *after.graph.initializer],
    )
    return onnx.helper.make_model(graph, opset_imports=before.opset_import, ir_version=before.ir_version)


def _scan(recursion: Recursion, steps: Tensor, results: Sequence[str]) -> tuple[list, list]:
    """Nodes that begin with a state of zeros and go through all steps, and the constants they need."""
    onnx = onnx_package()
    helper, count = onnx.helper, len(recursion.begin)
    example = [steps[:, 0], *(one.repeat(len(steps), *[1] * (one.dim() - 1)) for one in recursion.begin)]
    states = [f"state_{at}" for at in range(count)]
    names, after = ["step", *states], [*results, *(f"next_{state}" for state in states)]
    axes = {name: {0: "batch"} for name in (*names, *after)}
    step = onnx.compose.add_prefix(_traced(recursion.step, example, names, after, axes), "step/").graph
    inputs, outputs = list(step.input), list(step.output)
    # a Scan has its state first
    body = helper.make_graph(
        step.node, "step", inputs[1:] + inputs[:1], outputs[-count:] + outputs[:-count], step.initializer
    )
    nodes, initializers = [helper.make_node("Shape", [_ALL], ["rows"], start=0, end=1)], []
    for state, one in zip(states, recursion.begin, strict=True):
        others = [1] * (one.dim() - 1)  # which Expand leaves as they are
        initializers.append(onnx.numpy_helper.from_array(one.numpy(), f"{state}/row"))
        initializers.append(helper.make_tensor(f"{state}/others", onnx.TensorProto.INT64, [len(others)], others))
        nodes.append(helper.make_node("Concat", ["rows", f"{state}/others"], [f"{state}/shape"], axis=0))
        nodes.append(helper.make_node("Expand", [f"{state}/row", f"{state}/shape"], [f"{state}/begin"]))
    nodes.append(
        helper.make_node(
            "Scan",
            [*(f"{state}/begin" for state in states), _ALL],
            [*(f"{state}/end" for state in states), *results],
            body=body,
            num_scan_inputs=1,
            scan_input_axes=[1],
            scan_output_axes=[1] * len(results),
        )
    )
    return nodes, initializers


def _traced(
    module: nn.Module, example: Sequence[Tensor], names: Sequence[str], results: Sequence[str], free: Mapping
) -> Any:
    onnx, file = onnx_package(), io.BytesIO()
    for name, symbolic in _SYMBOLICS.items():
        register_custom_op_symbolic(name, symbolic, OPSET)
    try:
        torch.onnx.export(
            module.eval(),
            tuple(example),
            file,  # type: ignore[arg-type]
            input_names=list(names),
            output_names=list(results),
            dynamic_axes={name: axes for name, axes in free.items() if name in (*names, *results)},
            opset_version=OPSET,
            dynamo=False,  # the other exporter needs onnxscript
        )
    finally:
        for name in _SYMBOLICS:
            unregister_custom_op_symbolic(name, OPSET)
    return onnx.load_model_from_string(file.getvalue())


def _matrices_transposed(g: Any, x: Any) -> Any:
    """`Tensor.mT`."""
    rank = x.type().dim()
    return g.op("Transpose", x, perm_i=[*range(rank - 2), rank - 1, rank - 2])


@symbolic_helper.parse_args("v", "i", "i", "i")
def _unfolded(g: Any, x: Any, axis: int, size: int, step: int) -> Any:
    """`Tensor.unfold` of an axis of any length, the last, by single steps."""
    assert (axis, step) == (-1, 1)

    def constant(*values: int) -> Any:
        return g.op("Constant", value_t=torch.tensor(values))

    windows = g.op("Squeeze", g.op("Sub", g.op("Shape", x, start_i=-1), constant(size - 1)))
    zero, one = (g.op("Constant", value_t=torch.tensor(value)) for value in (0, 1))
    begin = g.op("Unsqueeze", g.op("Range", zero, windows, one), constant(1))
    return g.op("Gather", x, g.op("Add", begin, constant(*range(size))), axis_i=-1)


# What the exporter does not know, or only of fixed sizes.
_SYMBOLICS = {"aten::mT": _matrices_transposed, "aten::unfold": _unfolded}
