"""What TensorRT's detailed build log says of the layers of an engine.

Without a GPU there is no engine inspector: a VERBOSE logger and DETAILED profiling verbosity give one
message that begins with `Layers:` and has a line per final layer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_LINE = re.compile(
    r"Name: (?P<name>.*?), LayerType: (?P<kind>\w+), Inputs: \[(?P<inputs>.*?)\], Constants: "
    r".*Metadata: (?P<metadata>.*)"
)
_DATATYPE = re.compile(r"Datatype: (\w+)")
_SOURCE = re.compile(r"\[ONNX Layer: ([^\]]*)\]")
_CONVOLUTIONS = frozenset({"correlation", "deconv", "runtime_fusion"})
_PRODUCTS = _CONVOLUTIONS | {"gemm"}
_ATTENTION = "_gemm_mha"  # in the names of the kernels that hold both products and the softmax between
_SCRATCH = re.compile(r"Max Scratch Memory: (\d+) bytes")


@dataclass(frozen=True)
class BuiltLayer:
    """A layer of a built engine.

    Attributes:
        kind: TensorRT's word: `correlation` is a convolution, `deconv` a transposed one, `gemm` a matrix
            product, `runtime_fusion` either with what follows it, `kgen` generated code.
        inputs: types of the values that it reads, in order: Float, Half, Int8, UInt8, Int64.
        sources: names of the ONNX nodes that it carries out.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    sources: tuple[str, ...]

    @property
    def is_convolution(self) -> bool:
        return self.kind in _CONVOLUTIONS

    @property
    def is_product(self) -> bool:
        """Whether it is a convolution, a matrix product or a whole attention."""
        return self.kind in _PRODUCTS or self.is_attention

    @property
    def is_attention(self) -> bool:
        return _ATTENTION in self.name


def scratch_bytes(messages: Iterable[str]) -> int:
    """Return the memory that an engine works in, at its largest batch; 0 where the log does not say."""
    found = [int(match[1]) for match in map(_SCRATCH.match, messages) if match]
    return found[-1] if found else 0


def read_layers(messages: Iterable[str]) -> list[BuiltLayer]:
    """Return the layers that the last detailed listing among the log's messages names."""
    listings = [message for message in messages if message.startswith("Layers:")]
    return [
        BuiltLayer(
            name=match["name"],
            kind=match["kind"],
            inputs=tuple(_DATATYPE.findall(match["inputs"])),
            sources=tuple(_SOURCE.findall(match["metadata"])),
        )
        for match in map(_LINE.match, listings[-1].splitlines() if listings else ())
        if match
    ]


def convolution_types(layers: Iterable[BuiltLayer]) -> dict[str, str]:
    """Return by the name of each ONNX node in a convolution layer what type its engine reads there.

    A convolution that became INT8 reads Int8, whatever its result is. Nodes that only prepare what it reads
    (casts, DequantizeLinear) or follow it are named as well.
    """
    return {source: layer.inputs[0] for layer in layers if layer.is_convolution for source in layer.sources}
