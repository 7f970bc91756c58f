"""The connection to one server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from functools import partial
from typing import Any

from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput, InferResult
from tritonclient.utils import InferenceServerException

from lipserve.errors import ConnectError, DeadlineExceededError
from lipserve_client._config import CONTROL_SECONDS, MAX_MESSAGE_BYTES, REACH_SECONDS, TLS, is_loopback
from lipserve_client._errors import translate
from lipserve_client._headers import metadata

CHANNEL_OPTIONS = [
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # A peer that vanished during a call is noticed. Not sooner: of a client that pings more often than every
    # five minutes while a call works and sends nothing, Triton ends the connection after the fourth ping.
    ("grpc.keepalive_time_ms", 310_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 0),  # no limit of their number
    ("grpc.lb_policy_name", "round_robin"),  # a name with several addresses: a headless Kubernetes service
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # A call that GOAWAY kept from the server starts again on another connection; by default gRPC does so with
    # no request of more than 256 KiB. It takes no memory: gRPC keeps a request until its answer in any case.
    ("grpc.per_rpc_retry_buffer_size", MAX_MESSAGE_BYTES),
    ("grpc.use_local_subchannel_pool", 1),  # two clients of one address do not share a dead connection
]
NO_PROXY = [("grpc.enable_http_proxy", 0)]  # gRPC would ask the proxy of `http_proxy` for loopback, too

TRACEPARENT: ContextVar[str | None] = ContextVar("traceparent", default=None)
"""The W3C trace context that the requests made in this context belong to; None: each is on its own."""


class Connection:
    """The calls that one Triton answers, awaitable from any event loop, with typed errors.

    It stands on the threaded client: grpc.aio ties a channel to one event loop, and two loops in one
    process (a notebook's, say) disturb each other.
    """

    def __init__(
        self, url: str, tls: TLS | None = None, headers: Mapping[str, str | bytes] | None = None
    ) -> None:
        self.url = url
        self.answered = False  # whether it ever did
        self._headers = metadata(headers)
        self._client = InferenceServerClient(
            url,
            creds=tls.credentials() if tls else None,
            channel_args=[
                *CHANNEL_OPTIONS,
                *(NO_PROXY if is_loopback(url) else []),
                *(tls.channel_options() if tls else []),
            ],
        )
        self._reached = False

    async def infer(
        self,
        model: str,
        inputs: Sequence[InferInput],
        outputs: Sequence[InferRequestedOutput],
        timeout: float,
    ) -> InferResult:
        """Return the outputs of `model`, within `timeout` seconds; a cancelled await cancels the call."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[InferResult] = loop.create_future()

        def settle(result: InferResult | None, error: InferenceServerException | None) -> None:
            if answer.done():
                return
            if error is not None:
                answer.set_exception(translate(error, self.url, model))
            else:
                self.answered = True
                answer.set_result(result)

        def arrived(result: InferResult | None, error: InferenceServerException | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits any more
                loop.call_soon_threadsafe(settle, result, error)

        parent = TRACEPARENT.get() or ""
        headers = {**self._headers, "traceparent": parent} if parent else self._headers
        try:
            call = self._client.async_infer(
                model,
                inputs,
                arrived,
                outputs=outputs,
                request_id=parent,
                client_timeout=timeout,
                headers=headers,
            )
        except InferenceServerException as error:
            raise translate(error, self.url, model) from None
        try:
            return await answer
        except asyncio.CancelledError:
            call.cancel()
            raise

    async def ask(self, method: str, *args: Any, timeout: float = CONTROL_SECONDS, **named: Any) -> Any:
        """Return the result of the client's own blocking `method`, called in a thread."""
        function = partial(
            getattr(self._client, method), *args, headers=self._headers, client_timeout=timeout, **named
        )
        try:
            answer = await asyncio.to_thread(function)
        except InferenceServerException as error:
            raise translate(error, self.url, str(args[0]) if args else "") from None
        self.answered = True
        return answer

    async def reach(self) -> None:
        """Return once the server accepts calls; raise ConnectError promptly where it does not.

        Asked once, and again after `lost`: a request of many megabytes is not how to find that out.
        """
        if self._reached:
            return
        try:
            await self.ask("is_server_live", timeout=REACH_SECONDS)
        except DeadlineExceededError:
            raise ConnectError(
                f"Nothing answers at {self.url} within {REACH_SECONDS} s.",
                "Start a server with `lipserve serve`, or correct the address.",
            ) from None
        self._reached = True

    def lost(self) -> None:
        """Make the next `reach` check again."""
        self._reached = False

    def close(self) -> None:
        """Close the connection; calls in flight are cancelled."""
        self._client.close()
