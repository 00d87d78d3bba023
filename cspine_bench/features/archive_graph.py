"""A TorchScript archive of convolutions as an own module that gives the same numbers for less work.

The archive's graph is read, not its names: batch norms are folded into the convolutions, the three equal channels of a
gray image are summed into one in the first convolution, and each convolution keeps its weights in the order that the
processor's kernels want, with the ReLU inside. What the graph holds besides convolutions, pools, ReLU,
concatenations and a final mean is not understood, and the caller uses the archive as it is.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import nn
from torch.nn import functional

_POOLS: Final[dict[str, Any]] = {
    "aten::max_pool2d": torch.ops.aten.max_pool2d.default,
    "aten::avg_pool2d": torch.ops.aten.avg_pool2d.default,
}
_SHAPE_CHECKS: Final = frozenset(("aten::size", "aten::len", "aten::gt", "aten::ne", "aten::eq", "prim::If"))
"""What TorchScript leaves of a function's check of its input."""


class NotUnderstood(Exception):
    """The graph holds an operation that this module does not know."""


@dataclass(frozen=True)
class Step:
    """One operation: names of what goes in, and of what comes out; `module` indexes the convolutions, -1: none."""

    kind: str
    inputs: tuple[str, ...]
    output: str
    module: int = -1
    arguments: tuple[Any, ...] = ()


class FusedConvolution(nn.Module):
    """A convolution with its bias and, perhaps, a ReLU.

    On a CPU its weights are brought once into the order of oneDNN's kernels, as torch's own compiler does it; plain
    convolutions bring them there at every call.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, settings: Sequence[Any], *, relu: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last), requires_grad=False)
        self.bias = nn.Parameter(bias, requires_grad=False)
        self.stride, self.padding, self.dilation, self.groups = settings
        self.relu = relu
        self._packed: dict[torch.Size, torch.Tensor] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_packed": {}}  # opaque to pickle

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if images.device.type != "cpu" or not torch._C._has_mkldnn:
            settings = (self.stride, self.padding, self.dilation, self.groups)
            plain = functional.conv2d(images, self.weight, self.bias, *settings)
            return plain.relu_() if self.relu else plain
        packed = self._packed.get(images.shape)
        if packed is None:
            packed = torch.ops.mkldnn._reorder_convolution_weight(
                self.weight, self.padding, self.stride, self.dilation, self.groups, list(images.shape)
            )
            self._packed = {images.shape: packed}
        fused: torch.Tensor = torch.ops.mkldnn._convolution_pointwise(
            images, packed, self.bias, self.padding, self.stride, self.dilation, self.groups,
            "relu" if self.relu else "none", [], "",
        )  # fmt: skip
        return fused


class GraphNetwork(nn.Module):
    """The steps of a graph, one after another; what is not needed any more is let go."""

    def __init__(self, steps: Sequence[Step], convolutions: Sequence[FusedConvolution], first: str, last: str) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(convolutions)
        self.steps, self.first, self.last = tuple(steps), first, last
        final_use = {name: number for number, step in enumerate(self.steps) for name in step.inputs}
        self.free_after = [
            [name for name, number in final_use.items() if number == here] for here in range(len(self.steps))
        ]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        values = {self.first: images}
        for step, done in zip(self.steps, self.free_after, strict=True):
            found = [values[name] for name in step.inputs]
            if step.kind == "aten::conv2d":
                values[step.output] = self.convolutions[step.module](found[0])
            elif step.kind == "aten::cat":
                values[step.output] = torch.cat(found, dim=1)
            elif step.kind == "mean":
                values[step.output] = found[0].mean(dim=(2, 3))
            elif step.kind == "aten::relu":
                values[step.output] = found[0].relu()
            else:
                values[step.output] = _POOLS[step.kind](found[0], *step.arguments)
            for name in done:
                del values[name]
        return values[self.last].flatten(1)


def load_archive(path: str) -> torch.jit.ScriptModule:
    """A TorchScript archive on the CPU, in eval mode.

    Raises:
        RuntimeError: the file is none.
    """
    with warnings.catch_warnings():
        # TorchScript is deprecated as a whole; what others have published in it stays what it is.
        warnings.simplefilter("ignore", DeprecationWarning)
        archive: torch.jit.ScriptModule = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
    return archive.eval()


def rebuild_gray(layers: torch.jit.ScriptModule) -> GraphNetwork:
    """An own module from a TorchScript module in eval mode.

    Args:
        layers: from float (N, 3, H, W) to float (N, D, 1, 1) or (N, D).

    Returns:
        From float (N, 1, H, W), which stands for three equal channels, to float (N, D).

    Raises:
        NotUnderstood: the graph holds something else than plain convolutions, pools and concatenations.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        frozen = torch.jit.freeze(layers)
    return _Reader(frozen.graph).read()


class _Reader:
    """Goes once over a frozen graph."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self.constants: dict[str, Any] = {}
        self.lists: dict[str, tuple[str, ...]] = {}
        self.steps: list[Step] = []
        self.convolutions: list[FusedConvolution] = []
        self.renamed: dict[str, str] = {}
        self.uses: dict[str, int] = {}
        for node in graph.nodes():
            for value in node.inputs():
                self.uses[value.debugName()] = self.uses.get(value.debugName(), 0) + 1
        self.readers: dict[str, Callable[[tuple[str, ...], str], None]] = {
            "aten::conv2d": self._read_convolution,
            "aten::relu": self._read_relu,
            "aten::relu_": self._read_relu,
            "aten::cat": self._read_cat,
            "aten::adaptive_avg_pool2d": self._read_mean,
            "aten::mean": self._read_mean,
            "aten::batch_norm": self._read_norm,
            "aten::flatten": self._read_flatten,
        }

    def read(self) -> GraphNetwork:
        inputs = [value.debugName() for value in self.graph.inputs()]
        for node in self.graph.nodes():
            kind, names = node.kind(), tuple(value.debugName() for value in node.inputs())
            outputs = [value.debugName() for value in node.outputs()]
            if kind == "prim::Constant":
                self.constants[outputs[0]] = node.output().toIValue()
            elif kind == "prim::ListConstruct" and all(name in self.constants for name in names):
                self.constants[outputs[0]] = [self.constants[name] for name in names]
            elif kind == "prim::ListConstruct":
                self.lists[outputs[0]] = names
            elif kind in _SHAPE_CHECKS and not (kind == "prim::If" and outputs):
                continue
            elif kind in _POOLS:
                arguments = tuple(self._constant(name) for name in names[1:])
                self.steps.append(Step(kind, (self._name(names[0]),), outputs[0], arguments=arguments))
            elif kind in self.readers:
                self.readers[kind](names, outputs[0])
            else:
                raise NotUnderstood(kind)
        (last,) = (value.debugName() for value in self.graph.outputs())
        if not self.convolutions or self.convolutions[0].weight.shape[1] != 1:
            raise NotUnderstood("a graph that begins with no convolution of three channels")
        return GraphNetwork(self.steps, self.convolutions, inputs[-1], self._name(last))

    def _name(self, name: str) -> str:
        return self.renamed.get(name, name)

    def _constant(self, name: str) -> Any:
        if name not in self.constants:
            raise NotUnderstood(f"{name}, which is computed and not constant")
        return self.constants[name]

    def _read_convolution(self, names: tuple[str, ...], output: str) -> None:
        weight, bias, stride, padding, dilation, groups = (self._constant(name) for name in names[1:7])
        if not isinstance(padding, list):
            raise NotUnderstood(f"padding {padding!r}")
        if not self.convolutions:
            if groups != 1 or weight.shape[1] != 3 or self.steps:
                raise NotUnderstood("a first convolution of other than three channels")
            weight = weight.sum(dim=1, keepdim=True)
        if bias is None:
            bias = torch.zeros(len(weight))
        self.convolutions.append(
            FusedConvolution(weight.clone(), bias.clone(), (stride, padding, dilation, groups), relu=False)
        )
        self.steps.append(Step("aten::conv2d", (self._name(names[0]),), output, len(self.convolutions) - 1))

    def _read_relu(self, names: tuple[str, ...], output: str) -> None:
        convolution = self._find_convolution(names[0])
        if convolution is None:
            self.steps.append(Step("aten::relu", (self._name(names[0]),), output))
            return
        convolution.relu = True
        self.renamed[output] = self._name(names[0])

    def _find_convolution(self, name: str) -> FusedConvolution | None:
        """The convolution that gave a value just now, where nothing else needs the value as it is."""
        previous = self.steps[-1] if self.steps else None
        if previous is None or previous.kind != "aten::conv2d" or previous.output != self._name(name):
            return None
        convolution = self.convolutions[previous.module]
        return convolution if self.uses[name] == 1 and not convolution.relu else None

    def _read_norm(self, names: tuple[str, ...], output: str) -> None:
        # `freeze` folds what it recognises; a norm without a weight it may leave.
        convolution = self._find_convolution(names[0])
        if convolution is None:
            raise NotUnderstood("a batch norm that follows no convolution")
        weight, bias, mean, variance = (self._constant(name) for name in names[1:5])
        scale = (1 if weight is None else weight) / (variance + self._constant(names[7])).sqrt()
        convolution.weight.mul_(scale[:, None, None, None])
        convolution.bias.sub_(mean).mul_(scale).add_(0 if bias is None else bias)
        self.renamed[output] = self._name(names[0])

    def _read_flatten(self, names: tuple[str, ...], output: str) -> None:
        if not self.steps or self.steps[-1].kind != "mean" or self._constant(names[1]) != 1:
            raise NotUnderstood("a flattening of other than means")
        self.renamed[output] = self._name(names[0])

    def _read_cat(self, names: tuple[str, ...], output: str) -> None:
        if self._constant(names[1]) != 1 or names[0] not in self.lists:
            raise NotUnderstood("a concatenation of other than channels")
        self.steps.append(Step("aten::cat", tuple(self._name(name) for name in self.lists[names[0]]), output))

    def _read_mean(self, names: tuple[str, ...], output: str) -> None:
        if self._constant(names[1]) not in (1, [1, 1], [2, 3], [-2, -1], [-1, -2], [3, 2]):
            raise NotUnderstood("a mean of other than the whole image")
        self.steps.append(Step("mean", (self._name(names[0]),), output))
