"""Triton's model control: states of the models, and their restart."""

from __future__ import annotations

from collections.abc import Sequence

from tritonclient.grpc import InferenceServerClient

from lipserve.contracts import Model
from lipserve_server.launcher.triton import ADMIN_HEADER

_CALL_SECONDS = 60.0


class ModelControl:
    """Model control of one server, by its admin key.

    Attributes:
        models: those that it was started with.
        load_seconds: that one of them may take to load.
    """

    def __init__(self, url: str, admin_key: str, models: Sequence[Model], load_seconds: float) -> None:
        self.client = _client(url)
        self.models = models
        self.load_seconds = load_seconds
        self._headers = {ADMIN_HEADER: admin_key}

    def states(self) -> dict[str, str]:
        """Return the state of every model: READY, UNLOADING, UNAVAILABLE ..."""
        index = self.client.get_model_repository_index(headers=self._headers, client_timeout=_CALL_SECONDS)
        return {model.name: model.state for model in index.models}

    def ready(self) -> bool:
        """Return whether every model is ready for requests."""
        states = self.states()
        return all(states.get(model.name) == "READY" for model in self.models)

    def reload(self, model: str) -> None:
        """Start the processes of a model anew; the ensembles that it is part of come back with it.

        Loading alone would do nothing where no file has changed.
        """
        self.client.unload_model(model, headers=self._headers, client_timeout=_CALL_SECONDS)
        self.client.load_model(model, headers=self._headers, client_timeout=self.load_seconds)

    def close(self) -> None:
        self.client.close()


def _client(url: str) -> InferenceServerClient:
    arguments = [
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", 0),  # the server is this machine's
        ("grpc.max_reconnect_backoff_ms", 500),  # to a Triton that was started anew
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),
    ]
    return InferenceServerClient(url, channel_args=arguments)
