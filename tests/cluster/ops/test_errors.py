"""What the cluster refuses, told in one line with a remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.ops.conftest import Operate
from tests.cluster.ops.stand_in import Object, StandIn
from tests.support.programs import ops as main

AddPod = Callable[..., Object]


@pytest.mark.parametrize(
    ("verb", "resource", "command"),
    [
        ("list", "deployments", ["status"]),
        ("list", "pods", ["status"]),
        ("list", "services", ["drain", "lipserve-a"]),
        ("patch", "pods", ["drain", "lipserve-a"]),
        ("list", "jobs", ["build-engines"]),
        ("create", "pods/portforward", ["smoke"]),
    ],
)
def test_the_missing_right_is_named(
    installed: StandIn, add_pod: AddPod, operate: Operate, verb: str, resource: str, command: list[str]
) -> None:
    add_pod("lipserve-a")
    add_pod("lipserve-b")
    installed.forbidden.add((verb, resource))
    code, _, err = operate(*command)
    assert code == 5
    (line,) = (line for line in err.splitlines() if line.startswith("error: "))
    assert f"olga may not {verb} {resource} in the namespace video" in line
    assert f"resources [{resource}], verbs [{verb}]" in line


def test_an_unknown_user_is_told_to_log_in(installed: StandIn, operate: Operate) -> None:
    code, _, err = operate("status", token="nobody")
    assert code == 5
    assert "does not know you" in err


def test_releases_that_are_not_there_or_are_several(installed: StandIn, operate: Operate) -> None:
    code, _, err = operate("status", "--release", "other")
    assert code == 5
    assert "no release other of LipServe. It has lipserve." in err
    first = installed.objects["deployments"]["lipserve"]
    labels = {**first["metadata"]["labels"], "app.kubernetes.io/instance": "two"}
    installed.put("deployments", {**first, "metadata": {"name": "two", "labels": labels}})
    assert "has several releases. Give --release. It has lipserve, two." in operate("status")[2]
    installed.objects["deployments"].clear()
    assert "has no release of LipServe" in operate("status")[2]


def test_no_cluster_no_file_no_context(
    cluster: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kubeconfig = cluster.kubeconfig()
    gone, broken = tmp_path / "gone", tmp_path / "broken"
    port = kubeconfig.read_text().partition("https://127.0.0.1:")[2].partition("\n")[0]
    gone.write_text(kubeconfig.read_text().replace(f":{port}", ":9"))
    broken.write_text("{{ not a kubeconfig")
    cases = {
        "does not answer": ["--kubeconfig", str(gone)],
        "No cluster can be called": ["--kubeconfig", str(broken)],
        f"No cluster can be called with {tmp_path / 'none'}": ["--kubeconfig", str(tmp_path / "none")],
        "context-none": ["--kubeconfig", str(kubeconfig), "--context", "context-none"],
    }
    for words, arguments in cases.items():
        assert main(["status", *arguments]) == 5
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1
