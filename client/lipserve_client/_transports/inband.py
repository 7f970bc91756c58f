"""Tensors inside the gRPC messages: works everywhere."""

from __future__ import annotations

from lipserve.errors import LimitError
from lipserve_client._config import MAX_MESSAGE_BYTES
from lipserve_client._transports.base import (
    Answer,
    Call,
    Transport,
    from_message,
    in_message,
    serialised_size,
    wanted,
)

_FRAMING = 1 << 16  # bytes; names, shapes and lengths around the tensors


class InBand(Transport):
    async def infer(self, call: Call, timeout: float) -> Answer:
        size = sum(map(serialised_size, call.inputs.values()))
        if size > MAX_MESSAGE_BYTES - _FRAMING:
            raise LimitError(
                f"The request has {size / 2**30:.1f} GiB; a gRPC message can carry 2 GiB.",
                "Send a shorter or smaller clip, or use shm='system' on the server's host.",
            )
        inputs = [in_message(name, value) for name, value in call.inputs.items()]
        outputs = [wanted(name) for name in call.outputs]
        result = await self.connection.infer(call.model, inputs, outputs, timeout)
        return {name: from_message(result, name, expected) for name, expected in call.outputs.items()}
