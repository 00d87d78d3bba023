"""A rebuilt network as an ONNX model, in bytes, for ONNX Runtime, which on a CPU takes less time than torch.

Written by hand, as onnx.proto3 spells it, because it is a handful of operations: so no exporter has to be installed.

Source: ONNX, onnx.proto3 (IR version 8) and the operators of set 13.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch

from cspine_bench.features.archive_graph import FusedConvolution, GraphNetwork, NotUnderstood, Step

_IR_VERSION: Final = 8
_OPERATOR_SET: Final = 13
_FLOAT: Final = 1
_INT, _INTS = 2, 7


def spell_onnx(network: GraphNetwork, *, channels: int, sides: tuple[int, int]) -> bytes:
    """The ONNX model that does what a network does.

    Args:
        network: of `rebuild_gray`.
        channels: of its images.
        sides: height and width of its images, px; their number is left open.

    Returns:
        A model from float `images` (N, channels, height, width) to float `features` (N, D).

    Raises:
        NotUnderstood: the network holds a pool that ONNX does not know.
    """
    nodes, weights = [], []
    for step in network.steps:
        if step.kind == "aten::conv2d":
            convolution: Any = network.convolutions[step.module]
            names = [f"weight{step.module}", f"bias{step.module}"]
            weights += [_spell_tensor(names[0], convolution.weight), _spell_tensor(names[1], convolution.bias)]
            output = f"{step.output}.linear" if convolution.relu else step.output
            nodes.append(_spell_node("Conv", [*step.inputs, *names], output, _list_settings(convolution)))
            if convolution.relu:
                nodes.append(_spell_node("Relu", [output], step.output, {}))
        else:
            operation, settings = _translate(step)
            nodes.append(_spell_node(operation, step.inputs, step.output, settings))
    nodes.append(_spell_node("Flatten", [network.last], "features", {"axis": 1}))
    graph = b"".join(
        (
            *(_field(1, node) for node in nodes),
            _field(2, "graph"),
            *(_field(5, weight) for weight in weights),
            _field(11, _spell_value(network.first, ("n", channels, *sides))),
            _field(12, _spell_value("features", ("n", "d"))),
        )
    )
    return _field(1, _IR_VERSION) + _field(7, graph) + _field(8, _field(1, "") + _field(2, _OPERATOR_SET))


def _list_settings(convolution: FusedConvolution) -> dict[str, int | Sequence[int]]:
    return {
        "strides": convolution.stride,
        "pads": [*convolution.padding, *convolution.padding],
        "dilations": convolution.dilation,
        "group": convolution.groups,
    }


def _translate(step: Step) -> tuple[str, dict[str, int | Sequence[int]]]:
    if step.kind == "aten::cat":
        return "Concat", {"axis": 1}
    if step.kind == "mean":
        return "ReduceMean", {"axes": [2, 3], "keepdims": 0}
    if step.kind == "aten::relu":
        return "Relu", {}
    kernel, stride, padding = step.arguments[:3]
    settings = {"kernel_shape": kernel, "strides": stride or kernel, "pads": [*padding, *padding]}
    if step.kind == "aten::max_pool2d":
        dilation, rounds_up = step.arguments[3:]
        operation, more = "MaxPool", {"dilations": dilation}
    else:
        rounds_up, counts_padding, divisor = step.arguments[3:]
        if divisor is not None:
            raise NotUnderstood("an average pool with a divisor of its own")
        operation, more = "AveragePool", {"count_include_pad": int(counts_padding)}
    if rounds_up:
        raise NotUnderstood("a pool whose size is rounded up, which torch and ONNX do by different rules")
    return operation, settings | more


def _vary(value: int) -> bytes:
    """A whole number in seven bits a byte, the lowest first."""
    spelled = bytearray()
    while value > 127:
        spelled.append(value % 128 + 128)
        value //= 128
    spelled.append(value)
    return bytes(spelled)


def _field(number: int, value: bytes | int | str) -> bytes:
    """A field of a protocol buffer: a whole number, or bytes with their length."""
    if isinstance(value, int):
        return _vary(number << 3) + _vary(value)
    data = value.encode() if isinstance(value, str) else value
    return _vary(number << 3 | 2) + _vary(len(data)) + data


def _spell_node(
    operation: str, inputs: Sequence[str], output: str, settings: Mapping[str, int | Sequence[int]]
) -> bytes:
    node = b"".join(_field(1, name) for name in inputs) + _field(2, output) + _field(4, operation)
    for name, value in settings.items():
        if isinstance(value, int):
            spelled = _field(3, value) + _field(20, _INT)
        else:
            spelled = b"".join(_field(8, number) for number in value) + _field(20, _INTS)
        node += _field(5, _field(1, name) + spelled)
    return node


def _spell_tensor(name: str, values: torch.Tensor) -> bytes:
    dims = b"".join(_field(1, size) for size in values.shape)
    data = values.detach().cpu().contiguous().numpy().astype("<f4").tobytes()
    return dims + _field(2, _FLOAT) + _field(8, name) + _field(9, data)


def _spell_value(name: str, sizes: Sequence[int | str]) -> bytes:
    dims = b"".join(_field(1, _field(1 if isinstance(size, int) else 2, size)) for size in sizes)
    return _field(1, name) + _field(2, _field(1, _field(1, _FLOAT) + _field(2, dims)))
