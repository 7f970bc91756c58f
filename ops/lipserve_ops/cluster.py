"""One namespace of a cluster, as its API server shows it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lipserve_ops.errors import UnreachableError, explained

if TYPE_CHECKING:
    from kubernetes import client

# What calls the cluster is imported where it is used, so that `--help` works without the extra `ops`.

_SECONDS = 15.0  # the longest that one question may take
_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class Cluster:
    """Asks the API server; what it refuses is a ClusterError.

    Attributes:
        namespace: all objects are of this one.
        core, apps, batch: the API's groups, for `ask`.
    """

    def __init__(self, configuration: client.Configuration, namespace: str) -> None:
        from kubernetes import client

        configuration.retries = False  # urllib3 would write a warning for each
        self.configuration, self.namespace = configuration, namespace
        self._api = api = client.ApiClient(configuration)
        self.core, self.apps, self.batch = (
            client.CoreV1Api(api),
            client.AppsV1Api(api),
            client.BatchV1Api(api),
        )

    def close(self) -> None:
        """End the connections."""
        self._api.rest_client.pool_manager.clear()

    def ask(self, what: str, method: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Return what `method` of one of the groups answers.

        Args:
            what: is asked for, for messages: "the pod lipserve-0".
        """
        with explained(what):
            return method(*arguments, **{"_request_timeout": _SECONDS, **named})


def connect(kubeconfig: str | None, context: str | None, namespace: str | None) -> Cluster:
    """Return the cluster that kubectl would call, or inside a pod without a kubeconfig that pod's own.

    Args:
        kubeconfig: None: $KUBECONFIG, then ~/.kube/config.
        context: None: the current one.
        namespace: None: the context's, or the pod's own.

    Raises:
        UnreachableError: there is no configuration, or it cannot be used.
    """
    import yaml
    from kubernetes import client, config
    from kubernetes.config.config_exception import ConfigException

    configuration = client.Configuration()
    inside = "KUBERNETES_SERVICE_HOST" in os.environ
    files = kubeconfig or os.environ.get("KUBECONFIG") or str(Path.home() / ".kube/config")
    present = any(Path(part).expanduser().is_file() for part in files.split(os.pathsep))
    try:
        if inside and not present and not kubeconfig and not context:
            config.load_incluster_config(client_configuration=configuration)
            return Cluster(configuration, namespace or _NAMESPACE.read_text().strip())
        config.load_kube_config(files, context, client_configuration=configuration, persist_config=False)
        return Cluster(configuration, namespace or _of_context(files, context))
    except (ConfigException, OSError, yaml.YAMLError, TypeError, ValueError) as error:
        raise UnreachableError(
            f"No cluster can be called with {files}: {' '.join(str(error).split())}.",
            "Give --kubeconfig and --context; `kubectl config get-contexts` lists what there is.",
        ) from None


def _of_context(files: str, context: str | None) -> str:
    from kubernetes import config

    contexts, current = config.list_kube_config_contexts(files)
    chosen = next((entry for entry in contexts if entry["name"] == context), current)
    return str(chosen.get("context", {}).get("namespace") or "default")
