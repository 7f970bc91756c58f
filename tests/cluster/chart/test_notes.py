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


def test_notes_warn_where_pods_of_others_can_be_evicted(render_files: Callable[..., dict[str, str]]) -> None:
    def said(**given: object) -> str:
        values: Object = {"profile": "tensorrt", "accelerator": {"kind": "gpu"}}
        return notes(render_files, values | {"priorityClass": {"create": True, **given}})

    assert "WARNING" not in said()
    assert "WARNING" not in said(value=-1000)
    assert "the engine Job evicts any pod of the cluster whose priority is below 1" in said(value=0)
    preempting = said(preemptionPolicy="PreemptLowerPriority")
    assert "the server's pods evict any pod of the cluster whose" in preempting
    assert "the engine Job" not in preempting


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
    assert 'It calls with the key "test" of the Secret keys.' in said
    jwks = {"uri": "https://login.example.com/jwks.json"}
    jwt = {"mode": "jwt", "jwt": {"issuer": "https://login.example.com/", "audiences": ["a"], "jwks": jwks}}
    tokens: Object = {"envoy": {"enabled": True, "auth": jwt}}
    refused = "Envoy will refuse the test"
    assert refused in notes(render_files, tokens)
    arguments = ["--header", "authorization=Bearer $(TOKEN)"]
    assert refused not in notes(render_files, tokens | {"tests": {"arguments": arguments}})
    own = {"enabled": True, "auth": {"mode": "apiKey", "apiKey": {"keys": {"studio": "k" * 20}}}}
    assert "It calls with" not in notes(render_files, values | {"envoy": own})
    assert "It needs a GPU that no pod holds" in said
    assert "is empty" not in said
    assert "It needs a GPU" not in notes(render_files, values | {"priorityClass": {"create": True}})


def test_notes_say_that_a_rollout_is_paused(render_files: Callable[..., dict[str, str]]) -> None:
    assert "paused" not in notes(render_files, {})
    paused = notes(render_files, {"rollout": {"paused": True}})
    assert "upgrade again with rollout.paused=false" in paused


def test_notes_name_the_way_in_from_outside(render_files: Callable[..., dict[str, str]]) -> None:
    envoy: Object = {"enabled": True, "auth": {"mode": "apiKey", "apiKey": {"existingSecret": "keys"}}}
    gateway = {"enabled": True, "parentRefs": [{"name": "public"}], "hostnames": ["lips.example.com"]}
    said = notes(render_files, {"envoy": envoy, "gatewayApi": gateway})
    assert (
        "Through the Gateway: lipserve dub video.mp4 speech.wav -o out.mp4 --url lips.example.com:443" in said
    )
    assert "WARNING" not in said
    ingress = {"enabled": True, "hosts": ["lips.example.com"], "tls": {"secretName": "s"}}
    assert "ingress-nginx gets no more fixes" in notes(render_files, {"envoy": envoy, "ingress": ingress})


def test_notes_say_that_a_rollout_takes_a_gpu_more(render_files: Callable[..., dict[str, str]]) -> None:
    gpu: Object = {"profile": "tensorrt", "accelerator": {"kind": "gpu"}}
    told = "which takes a GPU more"
    assert told in notes(render_files, gpu)
    assert told not in notes(render_files, gpu | {"rollout": {"maxSurge": 0, "maxUnavailable": 1}})
    many = gpu | {"replicas": 2, "store": {"pvc": {"accessModes": ["ReadWriteMany"]}}}
    assert told not in notes(render_files, many)
    assert told not in notes(render_files, {})


def test_notes_say_how_to_send_the_first_job(render_files: Callable[..., dict[str, str]]) -> None:
    assert "Jobs:" not in notes(render_files, {})
    jobs: Object = {
        "enabled": True,
        "store": {"bucket": "films", "existingSecret": "films"},
        "tenants": {"existingSecret": "tenants"},
        "session": {"existingSecret": "session"},
        "worker": {"autoscaling": {"mode": "keda"}},
        "gatewayApi": {
            "enabled": True,
            "parentRefs": [{"name": "public"}],
            "hostnames": ["films.example.com"],
        },
    }
    values: Object = {"jobs": jobs, "autoscaling": {"prometheus": {"url": "http://prometheus:9090"}}}
    said = notes(render_files, values)
    assert "kubectl -n media port-forward service/lipserve-jobs 8080:80 &" in said
    assert "lipserve jobs submit video.mp4 speech.wav --wait --url http://127.0.0.1:8080" in said
    assert "From outside: https://films.example.com/" in said
    assert "WARNING: KEDA asks Prometheus for what this release does not give it" in said
    assert "keeps the claims of NATS (data-lipserve-jobs-nats-0 ...)" in said
    assert "one NATS server" not in said
    watched = {"serviceMonitor": {"enabled": True}, "rules": {"enabled": True}}
    alone = notes(render_files, values | {"metrics": watched, "jobs": jobs | {"nats": {"replicas": 1}}})
    assert "WARNING: one NATS server" in alone
    assert "KEDA asks" not in alone
