"""A real control plane without containers: etcd, kube-apiserver and kube-controller-manager."""

from __future__ import annotations

import json
import secrets
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import trustme
import yaml

from tests.support.ports import free_port

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager")
START_SECONDS = 60


class Api:
    """JSON requests to an API server, as its administrator."""

    def __init__(self, url: str, token: str, authority: Path) -> None:
        self.url = url
        self._token = token
        self._tls = ssl.create_default_context(cafile=str(authority))

    def __call__(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> dict[str, Any]:
        """Return the answer's object; raises urllib.error.HTTPError with the server's status."""
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": content_type}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=20, context=self._tls) as answer:
            text = answer.read()
        found: dict[str, Any] = json.loads(text) if text.startswith(b"{") else {"text": text.decode()}
        return found


class ControlPlane:
    """A cluster's control plane on 127.0.0.1, of the programs in `assets`; what it writes goes into `folder`.

    `kubeconfig` is its administrator's, `api` speaks to it, `version` is (1, 34) for example. There is no
    scheduler and no node: see kubelet.py.
    """

    def __init__(self, assets: Path, folder: Path) -> None:
        self._assets, self._folder = assets, folder
        self._running: list[subprocess.Popen[bytes]] = []
        self._etcd, self._peer, self._port, self._manager = (free_port("127.0.0.1") for _ in range(4))
        self._token = secrets.token_hex(16)
        self.kubeconfig = folder / "kubeconfig"
        self.api = Api(f"https://127.0.0.1:{self._port}", self._token, self._write_credentials())
        self.version = (0, 0)

    def __enter__(self) -> ControlPlane:
        try:
            self._start_etcd()
            self._start_api_server()
            self._wait_for("/readyz")
            self.version = self._told_version()
            self._start_controller_manager()
            self._wait_for("/api/v1/namespaces/default/serviceaccounts/default")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._running):
            process.terminate()
        for process in reversed(self._running):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _write_credentials(self) -> Path:
        """Write keys, tokens and the kubeconfig; return the authority's certificate."""
        authority = trustme.CA()
        served = authority.issue_cert("127.0.0.1", "localhost", "kubernetes.default.svc")
        path = self._folder / "ca.crt"
        authority.cert_pem.write_to_path(str(path))
        served.private_key_pem.write_to_path(str(self._folder / "server.key"))
        served.cert_chain_pems[0].write_to_path(str(self._folder / "server.crt"))
        (self._folder / "tokens.csv").write_text(f'{self._token},admin,admin,"system:masters"\n')
        cluster = {"server": f"https://127.0.0.1:{self._port}", "certificate-authority": str(path)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": self._token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
            "current-context": "test",
        }
        self.kubeconfig.write_text(yaml.safe_dump(config))
        return path

    def _start_etcd(self) -> None:
        client, peer = f"http://127.0.0.1:{self._etcd}", f"http://127.0.0.1:{self._peer}"
        self._start(
            "etcd",
            data_dir=self._folder / "etcd",
            listen_client_urls=client,
            advertise_client_urls=client,
            listen_peer_urls=peer,
            initial_advertise_peer_urls=peer,
            initial_cluster=f"default={peer}",
        )

    def _start_api_server(self) -> None:
        self._start(
            "kube-apiserver",
            etcd_servers=f"http://127.0.0.1:{self._etcd}",
            bind_address="127.0.0.1",
            secure_port=self._port,
            tls_cert_file=self._folder / "server.crt",
            tls_private_key_file=self._folder / "server.key",
            token_auth_file=self._folder / "tokens.csv",
            authorization_mode="RBAC",
            service_cluster_ip_range="10.96.0.0/16",
            service_account_issuer="https://kubernetes.default.svc",
            service_account_key_file=self._folder / "server.key",
            service_account_signing_key_file=self._folder / "server.key",
        )

    def _told_version(self) -> tuple[int, int]:
        major, minor = self.api("GET", "/version")["gitVersion"].removeprefix("v").split(".")[:2]
        return int(major), int(minor)

    def _start_controller_manager(self) -> None:
        # Until 1.23 it has a second port, without TLS and always the same one.
        insecure = {"port": 0} if self.version < (1, 24) else {}
        self._start(
            "kube-controller-manager",
            kubeconfig=self.kubeconfig,
            bind_address="127.0.0.1",
            secure_port=self._manager,
            cert_dir=self._folder / "manager",
            leader_elect="false",
            service_account_private_key_file=self._folder / "server.key",
            root_ca_file=self._folder / "ca.crt",
            # It deletes pods of nodes that do not exist.
            controllers="*,-podgc",
            **insecure,
        )

    def _start(self, program: str, **options: Any) -> None:
        arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        with (self._folder / f"{program}.log").open("wb") as log:
            command = [str(self._assets / program), *arguments]
            self._running.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder))

    def _wait_for(self, path: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.api("GET", path)
                return
            except (OSError, urllib.error.URLError) as error:
                ended = [Path(p.args[0]).name for p in self._running if p.poll() is not None]  # type: ignore[index]
                if ended or time.monotonic() > deadline:
                    logs = "\n".join(f.read_text()[-2000:] for f in self._folder.glob("*.log"))
                    raise RuntimeError(f"{path}: {error}; ended: {ended}\n{logs}") from error
            time.sleep(0.2)
