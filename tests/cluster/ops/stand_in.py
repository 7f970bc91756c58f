"""A stand-in for an API server: what `lipserve ops` asks of one, over HTTPS, and nothing else.

It holds objects in memory and neither checks nor completes them; no controller runs beside it. What a real
one makes of the same calls is tested where there is one: test_real_api_server.py.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import trustme
import yaml

from tests.cluster.ops.node import Handler, Node, Server

Object = dict[str, Any]
_PATH = re.compile(
    r"/apis?(?:/(?P<group>[a-z.]+))?/v1(?:/namespaces/(?P<namespace>[^/]+))?"
    r"/(?P<kind>[a-z]+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>[a-z]+))?"
)
_VERBS = {"GET": "get", "POST": "create", "PATCH": "patch", "DELETE": "delete"}


class StandIn:
    """Serves objects from entering this context to leaving it.

    Attributes:
        objects: by plural kind and name.
        forbidden: (verb, resource) pairs that its user may not.
        patched, deleted: what was done to pods, in order.
        on_create, on_delete: what controllers and the kubelet would do, called with the object.
    """

    def __init__(self, folder: Path, node: Node) -> None:
        self.node, self._folder = node, folder
        self.objects: dict[str, dict[str, Object]] = {}
        self.forbidden: set[tuple[str, str]] = set()
        self.patched: list[Object] = []
        self.deleted: list[Object] = []
        self.on_create: Callable[[Object], None] = lambda made: None
        self.on_delete: Callable[[Object], None] = lambda gone: None
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        authority.cert_pem.write_to_path(str(folder / "ca.crt"))
        self._server = Server(context, type("Bound", (_Handler,), {"cluster": self}))

    def __enter__(self) -> StandIn:
        self._server.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.__exit__()

    def kubeconfig(self, token: str = "operator", namespace: str = "video") -> Path:
        """Write a kubeconfig for this server, and return its path."""
        path = self._folder / f"kubeconfig-{token}"
        server = f"https://127.0.0.1:{self._server.server_port}"
        cluster = {"server": server, "certificate-authority": str(self._folder / "ca.crt")}
        context = {"cluster": "test", "user": "test", "namespace": namespace}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": context}],
            "current-context": "test",
        }
        path.write_text(yaml.safe_dump(config))
        return path

    def put(self, kind: str, made: Object) -> Object:
        """Hold an object, with what every server writes into its metadata."""
        metadata = made["metadata"]
        metadata.setdefault("uid", f"uid-{metadata['name']}")
        metadata.setdefault("creationTimestamp", datetime.now(UTC).isoformat())
        self.objects.setdefault(kind, {})[metadata["name"]] = made
        return made

    def remove(self, kind: str, name: str) -> None:
        """Let an object be gone."""
        self.objects[kind].pop(name, None)


class _Handler(Handler):
    cluster: StandIn

    def _answer(self) -> None:
        asked = urlsplit(self.path)
        at = _PATH.fullmatch(asked.path)
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length)) if length else None
        query = {key: values[0] for key, values in parse_qs(asked.query).items()}
        if at is None:
            self._refuse(404, "NotFound", f"the server has no {asked.path}")
        elif self.headers.get("Authorization") != "Bearer operator":
            self._refuse(401, "Unauthorized", "Unauthorized")
        elif self._allowed(at):
            self._serve(at, query, body)

    do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815

    def _allowed(self, at: re.Match[str]) -> bool:
        verb = "list" if self.command == "GET" and not at["name"] else _VERBS[self.command]
        if at["sub"] == "portforward":
            verb = "create"  # a websocket is opened with GET and is judged as the POST that it stands for
        resource = "/".join(part for part in (at["kind"], at["sub"]) if part)
        if (verb, resource) not in self.cluster.forbidden:
            return True
        named = f' "{at["name"]}"' if at["name"] else ""
        where = f' in the namespace "{at["namespace"]}"' if at["namespace"] else ""
        self._refuse(
            403,
            "Forbidden",
            f'{at["kind"]}{named} is forbidden: User "olga" cannot {verb} resource "{resource}" '
            f'in API group "{at["group"] or ""}"{where}',
        )
        return False

    def _serve(self, at: re.Match[str], query: dict[str, str], body: Any) -> None:
        held = self.cluster.objects.setdefault(at["kind"], {})
        if self.command == "POST":
            made = self.cluster.put(at["kind"], {**body, "status": {}})
            self.cluster.on_create(made)
            self._send(201, made)
        elif not at["name"]:
            items = [made for made in list(held.values()) if _selected(made, query)]
            self._send(200, {"kind": "List", "metadata": {}, "items": items})
        elif at["name"] not in held:
            self._refuse(404, "NotFound", f'{at["kind"]} "{at["name"]}" not found')
        elif at["sub"] == "portforward":
            self.cluster.node.forward(self, at["name"], int(query["ports"]))
        elif at["sub"] == "log":
            self.cluster.node.send_log(self, at["name"], query["container"])
        else:
            self._change(held[at["name"]], body)

    def _change(self, found: Object, body: Any) -> None:
        metadata = found["metadata"]
        if self.command == "PATCH":
            self.cluster.patched.append(body)
            labels = {**metadata["labels"], **body["metadata"]["labels"]}
            metadata["labels"] = {key: value for key, value in labels.items() if value is not None}
        elif self.command == "DELETE":
            assert body["preconditions"]["uid"] == metadata["uid"]
            metadata["deletionTimestamp"] = datetime.now(UTC).isoformat()
            self.cluster.deleted.append(found)
            self.cluster.on_delete(found)
        self._send(200, found)

    def _refuse(self, status: int, reason: str, message: str) -> None:
        told = {"status": "Failure", "reason": reason, "message": message, "code": status}
        self._send(status, {"kind": "Status", "apiVersion": "v1", "metadata": {}, **told})

    def _send(self, status: int, body: Object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _selected(made: Object, query: dict[str, str]) -> bool:
    labels = made["metadata"].get("labels", {})
    for term in query.get("labelSelector", "").split(","):
        key, equals, value = term.partition("=")
        if key and (key not in labels or (equals and labels[key] != value)):
            return False
    return "type=Warning" not in query.get("fieldSelector", "") or made["type"] == "Warning"
