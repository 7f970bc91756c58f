"""Triton's model control: load, unload, and drain in an order that loses no request."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import grpc
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from lipserve.contracts import Kind, Model
from lipserve_server.tls import Channel
from lipserve_server.triton import ADMIN_HEADER

_CALL_SECONDS = 60.0
_POLL_SECONDS = 0.05


class ModelControl:
    """Model control of one server, by its admin key.

    Attributes:
        models: those that it was started with.
        load_seconds: that one of them may take to load.
    """

    def __init__(
        self, url: str, admin_key: str, models: Sequence[Model], channel: Channel, load_seconds: float
    ) -> None:
        self.client = _client(url, channel)
        self.models = models
        self.load_seconds = load_seconds
        self._headers = {ADMIN_HEADER: admin_key}

    def states(self) -> dict[str, str]:
        """Return the state of every model: READY, UNLOADING, UNAVAILABLE ..."""
        index = self.client.get_model_repository_index(headers=self._headers, client_timeout=_CALL_SECONDS)
        return {model.name: model.state for model in index.models}

    def ready(self) -> bool:
        """Return whether every model can be asked."""
        states = self.states()
        return all(states.get(model.name) == "READY" for model in self.models)

    def reload(self, model: str) -> None:
        """Start the processes of a model anew; the ensembles that it is part of come back with it.

        Loading alone would do nothing where no file has changed.
        """
        self._unload(model)
        self.client.load_model(model, headers=self._headers, client_timeout=self.load_seconds)

    def drain(self, timeout: float, deserted: Callable[[], bool]) -> bool:
        """Refuse new requests, wait until those that were accepted are answered, and return whether they are.

        Ensembles first, then stages: a server that is told to exit refuses the calls between its own models
        at once, so that what is under way would fail. Stages take seconds to unload, at rest too: that is
        left out where nobody is there who could have asked them for something, which `deserted` tells.
        """
        deadline = time.monotonic() + timeout
        try:
            return self._drain("ensemble", deadline) and (deserted() or self._drain("stage", deadline))
        except InferenceServerException:
            return False  # the server is gone

    def close(self) -> None:
        self.client.close()

    def _unload(self, model: str) -> None:
        self.client.unload_model(model, headers=self._headers, client_timeout=_CALL_SECONDS)

    def _drain(self, kind: Kind, deadline: float) -> bool:
        models = [model.name for model in self.models if model.kind == kind]
        for model in models:
            self._unload(model)
        while time.monotonic() < deadline:
            states = self.states()
            if all(states.get(model) != "UNLOADING" for model in models):
                return True
            time.sleep(_POLL_SECONDS)
        return False


def _client(url: str, channel: Channel) -> InferenceServerClient:
    """Return a client that shares its connection with no other of this process: connections are counted."""
    arguments = [
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", 0),  # the server is this machine's
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),
    ]
    if channel.server is None:
        return InferenceServerClient(url, channel_args=arguments)
    return InferenceServerClient(
        url,
        creds=grpc.ssl_channel_credentials(channel.roots, channel.key, channel.certificate),
        channel_args=[*arguments, ("grpc.ssl_target_name_override", channel.name)],
    )
