"""What `helm install` says at its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Object = dict[str, Any]


def notes(render_files: Callable[..., dict[str, str]], values: Object) -> str:
    return render_files(values, "media")["lipserve/templates/NOTES.txt"]


def test_notes_say_how_to_send_the_first_clip(render_files: Callable[..., dict[str, str]]) -> None:
    said = notes(render_files, {})
    assert "kubectl -n media port-forward service/lipserve 8001:8001 &" in said
    assert "lipserve dub video.mp4 speech.wav -o out.mp4 --url 127.0.0.1:8001" in said
    assert "helm test lipserve --namespace media --logs" in said
    assert "The claim lipserve-models is empty" in said


def test_notes_name_what_the_certificate_is_for(render_files: Callable[..., dict[str, str]]) -> None:
    values: Object = {
        "tls": {"enabled": True, "secretName": "front"},
        "tests": {"tls": {"secretName": "authority"}},
    }
    assert "--tls-name for its name (lipserve.media.svc)." in notes(render_files, values)
    through = notes(render_files, values | {"envoy": {"enabled": True}})
    assert "--tls-name for its name (lipserve-envoy.media.svc)." in through


def test_notes_tell_of_keys_and_of_the_job_that_needs_a_gpu(
    render_files: Callable[..., dict[str, str]],
) -> None:
    auth = {"mode": "apiKey", "apiKey": {"existingSecret": "keys"}}
    values: Object = {
        "profile": "tensorrt",
        "accelerator": {"kind": "gpu"},
        "envoy": {"enabled": True, "auth": auth},
    }
    said = notes(render_files, values)
    assert "port-forward service/lipserve-envoy 8001:8001" in said
    assert "--header x-api-key=KEY" in said
    refused = "Envoy will refuse the test"
    assert refused in said
    arguments = ["--header", "x-api-key=$(KEY)"]
    assert refused not in notes(render_files, values | {"tests": {"arguments": arguments}})
    own = {"enabled": True, "auth": {"mode": "apiKey", "apiKey": {"keys": {"studio": "k" * 20}}}}
    assert refused not in notes(render_files, values | {"envoy": own})
    assert "It needs a GPU that no pod holds" in said
    assert "is empty" not in said
    assert "It needs a GPU" not in notes(render_files, values | {"priorityClass": {"create": True}})
