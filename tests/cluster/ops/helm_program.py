"""`helm upgrade` as `lipserve ops upgrade` calls it: real Helm renders, and a stand-in keeps the objects.

Objects that the server holds as they are asked for are left alone, as Helm leaves them; a Job that the
release no longer has is deleted.
"""

from __future__ import annotations

import argparse
import json
import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import helm_python
import yaml

PATHS = {"Deployment": "/apis/apps/v1/namespaces/{}/deployments", "Job": "/apis/batch/v1/namespaces/{}/jobs"}


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("upgrade", choices=["upgrade"])
    parser.add_argument("release")
    parser.add_argument("chart")
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("-f", dest="files", action="append", type=Path, default=[])
    parser.add_argument("--set", dest="sets", action="append", default=[])
    options = parser.parse_args(words)
    values: dict[str, Any] = {}
    for file in options.files:
        values |= yaml.safe_load(file.read_text())
    for told in options.sets:
        path, _, value = told.partition("=")
        outer, _, inner = path.partition(".")
        values.setdefault(outer, {})[inner] = yaml.safe_load(value)
    try:
        with helm_python.Chart.load(options.chart) as chart:
            files = chart.render(values, name=options.release, namespace=options.namespace)
    except helm_python.HelmError as error:
        print(f"Error: UPGRADE FAILED: {error}", file=sys.stderr)
        return 1
    made = [
        one
        for name, text in files.items()
        if name.endswith(".yaml")
        for one in yaml.safe_load_all(text)
        if one
    ]
    server = Server(options.kubeconfig)
    for kind, template in PATHS.items():
        server.apply(template.format(options.namespace), [one for one in made if one["kind"] == kind])
    print(f'Release "{options.release}" has been upgraded. Happy Helming!')
    return 0


class Server:
    """The API server of a kubeconfig."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        self._url, self._token = cluster["server"], config["users"][0]["user"]["token"]
        self._tls = ssl.create_default_context(cafile=cluster["certificate-authority"])

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, headers, method=method)
        with urllib.request.urlopen(request, context=self._tls, timeout=20) as answer:
            return json.loads(answer.read())

    def apply(self, path: str, wanted: list[Any]) -> None:
        held = {one["metadata"]["name"]: one for one in self("GET", path)["items"]}
        names = {one["metadata"]["name"] for one in wanted}
        for one in wanted:
            before = held.get(one["metadata"]["name"])
            if before is None or before["spec"] != one["spec"]:
                self("POST", path, one)
        for name, one in held.items():
            if name not in names:
                self("DELETE", f"{path}/{name}", {"preconditions": {"uid": one["metadata"]["uid"]}})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
