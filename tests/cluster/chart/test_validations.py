"""Values that contradict each other: each is refused with a line that says what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TEMPLATES = Path(__file__).resolve().parents[3] / "helm/lipserve/templates"

Object = dict[str, Any]
RenderError = Callable[[Object], str]

GPU: Object = {"profile": "tensorrt", "accelerator": {"kind": "gpu"}}
MANY: Object = {"store": {"pvc": {"accessModes": ["ReadWriteMany"]}}}
S3: Object = {"bucket": "m", "existingSecret": "s"}
S3_KEYS: Object = {"name": "s3", "data": [{"secretKey": "id", "key": "lipserve/s3"}]}
FRONT: Object = {"enabled": True, "secretName": "front"}

REFUSED: list[tuple[Object, str]] = [
    # workload
    ({"replicas": 0}, "podDisruptionBudget.enabled: there is nothing to protect with replicas 0"),
    (
        {"podDisruptionBudget": {"maxUnavailable": None}},
        "podDisruptionBudget: it says nothing; give maxUnavailable",
    ),
    ({"podDisruptionBudget": {"maxUnavailable": 0}}, "podDisruptionBudget.maxUnavailable: with 0 no node"),
    (
        {"podDisruptionBudget": {"maxUnavailable": "0%"}},
        "podDisruptionBudget.maxUnavailable: with 0% no node",
    ),
    (
        {"podDisruptionBudget": {"minAvailable": 1}},
        "podDisruptionBudget.minAvailable: 1 of 1 pods can never be met",
    ),
    (MANY | {"replicas": 3, "podDisruptionBudget": {"minAvailable": "100%"}}, "minAvailable: 100% of 3 pods"),
    (
        {"rollout": {"maxSurge": 0, "maxUnavailable": 0}},
        "rollout: with maxSurge and maxUnavailable both 0 no pod",
    ),
    ({"extraObjects": [{"kind": "ConfigMap"}]}, "extraObjects: an object has no apiVersion, no kind or"),
    (
        {"extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}] * 2},
        "extraObjects: ConfigMap lipserve/a is there twice; leave",
    ),
    (
        GPU | {"tolerations": [{"operator": "Exists"}]},
        "engines.build.tolerations: the Job has its own, so that a change",
    ),
    (
        GPU | {"engines": {"build": {"podLabels": {"lipserve-build": "x"}}}},
        "engines.build.podLabels: lipserve-build is the chart's own label",
    ),
    ({"provenance": {"enabled": True}}, "provenance.secretName: nothing signs results; name a Secret"),
    ({"provenance": {"secretName": "s"}}, "provenance.secretName: it is not used; set provenance.enabled"),
    ({"accelerator": {"selectors": ["true"]}}, "accelerator.selectors: kind none claims no devices; set"),
    ({"store": {"image": {"mount": True}}}, "store.image.mount: kind pvc is no image; set store.kind to"),
    (
        {"priorityClass": {"name": "gpu", "create": True}},
        "priorityClass: name is a class that exists, create makes",
    ),
    (
        {"priorityClass": {"name": "system-node-critical"}},
        "priorityClass.name: system-node-critical is for the",
    ),
    (
        {"engines": {"build": {"priorityClassName": "system-cluster-critical"}}},
        "engines.build.priorityClassName: system-cluster-critical is for the cluster's own pods; name",
    ),
    (
        {"podLabels": {"app.kubernetes.io/name": "x"}},
        "podLabels: app.kubernetes.io/name is the chart's own label",
    ),
    ({"commonLabels": {"helm.sh/chart": "x"}}, "commonLabels: helm.sh/chart is the chart's own label"),
    # accelerator
    (
        {"profile": "tensorrt"},
        "profile: tensorrt needs a GPU and accelerator.kind is none; set it to gpu, mig or",
    ),
    ({"profile": "embedded", "accelerator": {"kind": "gpu"}}, "profile: embedded computes on CPUs"),
    (
        {"accelerator": {"kind": "mig"}},
        "accelerator.migProfile: kind mig asks for nvidia.com/mig-<profile>; give one",
    ),
    (
        {"accelerator": {"kind": "gpu", "migProfile": "1g.10gb"}},
        "accelerator.migProfile: 1g.10gb is not used by kind",
    ),
    (
        {"accelerator": {"kind": "timeslice", "count": 2}},
        "accelerator.count: 2 parts of a GPU are no larger GPU",
    ),
    (
        {"accelerator": {"product": ["NVIDIA-A100-SXM4-80GB"]}},
        "accelerator.product: no GPU is asked for with kind",
    ),
    (
        {"accelerator": {"kind": "timeslice", "product": ["NVIDIA-L4-SHARED"]}},
        "accelerator.product: NVIDIA-L4-SHARED is how a shared GPU's label ends; leave -SHARED out",
    ),
    (
        {
            "profile": "tensorrt",
            "accelerator": {"kind": "gpu", "product": ["NVIDIA-A100-SXM4-80GB", "NVIDIA-L4"]},
        },
        "accelerator.product: compute capabilities 8.0 and 8.9, and engines fit one; install a release",
    ),
    # store
    ({"store": {"kind": "s3"}}, "store.s3.bucket: nothing says where the models are; name the bucket"),
    (
        {"store": {"kind": "s3", "s3": {"bucket": "m"}}},
        "store.s3: there are no credentials; name existingSecret (with",
    ),
    (
        {"store": {"kind": "s3", "s3": S3 | {"workloadIdentity": True}}},
        "store.s3: existingSecret and workloadIdentity",
    ),
    (
        {"store": {"kind": "gcs", "gcs": {"bucket": "m"}}},
        "store.gcs: there are no credentials; name existingSecret",
    ),
    (
        {
            "store": {"kind": "gcs", "gcs": {"bucket": "m", "workloadIdentity": True}},
            "serviceAccount": {"create": False},
        },
        "store.gcs.workloadIdentity: the identity is a service account's, and there is none",
    ),
    (
        {"store": {"kind": "s3", "s3": S3 | {"endpoint": "http://minio.storage.svc:9000"}}},
        "networkPolicy.objectStore.port: 443 is open and store.s3.endpoint is at 9000; set it to 9000",
    ),
    (
        {"store": {"kind": "image"}},
        "store.image.repository: nothing says which image has the models; name it",
    ),
    (
        {"store": {"cache": {"existingClaim": "c"}}},
        "store.cache.existingClaim: kind pvc is mounted, not copied",
    ),
    (
        {"store": {"kind": "image", "image": {"repository": "m"}, "cache": {"existingClaim": "c"}}},
        "store.cache.existingClaim: with kind image every new pod would copy over the files that others",
    ),
    ({"replicas": 2}, "store.pvc.accessModes: ReadWriteOnce serves one node, and there may be 2 pods; give"),
    (
        {"autoscaling": {"mode": "hpa", "maxReplicas": 6}},
        "store.pvc.accessModes: ReadWriteOnce serves one node, and",
    ),
    (
        {"store": {"pvc": {"accessModes": ["ReadOnlyMany"]}, "export": {"enabled": True}}},
        "store.export.enabled: the store is ReadOnlyMany and cannot be written; set it to false",
    ),
    # engines
    (
        GPU | {"store": {"pvc": {"accessModes": ["ReadOnlyMany"]}}},
        "engines.build.enabled: the store is ReadOnlyMany and takes no engines; set it to false",
    ),
    (
        GPU | {"store": {"kind": "image", "image": {"repository": "models"}}},
        "engines.build.enabled: the store is an image and takes no engines; set it to false",
    ),
    # storage
    ({"sharedMemory": {"size": "256Mi"}}, "sharedMemory.size: 256Mi is less than four requests of 128 MiB"),
    (
        {"sharedMemory": {"size": "11Gi"}},
        "sharedMemory.size: 11Gi counts towards resources.limits.memory of 11Gi",
    ),
    (
        {"resources": {"requests": {"memory": "12Gi"}}},
        "resources.requests.memory: 12Gi is more than the limit of 11Gi",
    ),
    (
        {"resources": {"limits": {"memory": "6Gi"}}},
        "resources.limits.memory: 6Gi is less than the 11Gi that the largest requests take",
    ),
    (
        {"resources": {"limits": {"memory": "11Gi"}}, "requestLimits": {"acceptedMib": 400}},
        "resources.limits.memory: 11Gi is less than the 12Gi",
    ),
    # access
    (
        {"sharedMemory": {"clients": "open"}},
        "service.enabled: sharedMemory.clients open lets a caller map memory",
    ),
    (
        {"sharedMemory": {"clients": "open"}},
        "sharedMemory.clients: open serves containers of the same pod, and there",
    ),
    (
        {"sharedMemory": {"clients": "open"}, "envoy": {"enabled": True}},
        "envoy.enabled: sharedMemory.clients open lets a caller map memory, so Triton listens on",
    ),
    ({"service": {"enabled": False}}, "service.enabled: helm test calls nowhere without it; set it to true"),
    ({"networkPolicy": {"clients": []}}, "networkPolicy.clients: nobody may call; name peers"),
    ({"networkPolicy": {"dns": []}}, "networkPolicy.dns: names cannot be looked up"),
    (
        {"store": {"kind": "s3", "s3": S3}, "networkPolicy": {"objectStore": {"to": []}}},
        "networkPolicy.objectStore.to: the store cannot be reached; name its addresses",
    ),
    (
        {"tracing": {"url": "http://otel:4318/v1/traces"}},
        "networkPolicy.traces.to: the collector cannot be reached",
    ),
    (
        {"tracing": {"url": "https://otel.example.com/v1/traces"}},
        "networkPolicy.traces.port: 4318 is open and tracing.url is at 443; set it to 443",
    ),
    (
        {"autoscaling": {"deletionCost": True}, "networkPolicy": {"apiServer": {"to": []}}},
        "networkPolicy.apiServer.to: autoscaling.deletionCost cannot reach the API server",
    ),
    (
        {"autoscaling": {"deletionCost": True}, "serviceAccount": {"create": False}},
        "serviceAccount: autoscaling.deletionCost would give the namespace's default account rights on pods",
    ),
    (
        {"serviceAccount": {"create": False, "name": "x", "annotations": {"a": "b"}}},
        "serviceAccount.annotations: an account that the chart does not make keeps its own",
    ),
    (
        {"externalSecrets": {"enabled": True}},
        "externalSecrets.secretStoreRef.name: nothing says where secrets come",
    ),
    ({"externalSecrets": {"enabled": True}}, "externalSecrets.secrets: none is to be made; list them"),
    (
        {"externalSecrets": {"enabled": True, "secrets": [S3_KEYS, S3_KEYS]}},
        "externalSecrets.secrets: s3 is made twice",
    ),
    (
        {"externalSecrets": {"enabled": True, "secrets": [{"name": "s3", "data": S3_KEYS["data"] * 2}]}},
        "externalSecrets.secrets: id is twice in one Secret",
    ),
    (
        {"tls": FRONT},
        "tests.tls.secretName: the tests have to know the authority of the certificate; name a Secret",
    ),
    (
        {"tls": FRONT | {"clients": {"required": True, "caSecretName": "ca"}}},
        "tests.tls.secretName: the tests have to show a certificate; name a Secret",
    ),
]


@pytest.mark.parametrize(("values", "line"), REFUSED, ids=[line.partition(":")[0] for _, line in REFUSED])
def test_a_contradiction_is_refused_with_what_to_do(
    render_error: RenderError, values: Object, line: str
) -> None:
    problems = [text.strip() for text in render_error(values).splitlines()]
    (found,) = [problem for problem in problems if line in problem]
    key, _, told = found.partition(": ")
    assert re.fullmatch(r"[A-Za-z0-9.]+", key)
    assert "; " in told  # what is wrong; what to do


PUBLIC = [
    ({"envoy": {"enabled": True, "service": {"type": "LoadBalancer"}}}, "envoy.service.type"),
    ({"envoy": {"enabled": True, "service": {"type": "NodePort"}}}, "envoy.service.type"),
    ({"service": {"type": "LoadBalancer"}}, "service.type"),
    (
        {
            "envoy": {"enabled": True},
            "ingress": {"enabled": True, "hosts": ["a.b"], "tls": {"secretName": "s"}},
        },
        "ingress.enabled",
    ),
    (
        {"envoy": {"enabled": True}, "gatewayApi": {"enabled": True, "parentRefs": [{"name": "g"}]}},
        "gatewayApi.enabled",
    ),
]


@pytest.mark.parametrize(("values", "key"), PUBLIC, ids=[key for _, key in PUBLIC])
def test_a_front_that_faces_a_network_asks_who_calls(
    render: Callable[[Object], Any], render_error: RenderError, values: Object, key: str
) -> None:
    lines = [line for line in render_error(values).splitlines() if line.strip().startswith(f"{key}: ")]
    assert len(lines) == 1
    assert "whoever reaches it" in lines[0]
    envoy = values.get("envoy", {})
    assert render(values | {"envoy": envoy | {"auth": {"anonymous": True}}})
    keys = {"mode": "apiKey", "apiKey": {"existingSecret": "keys"}}
    if envoy:
        assert render(values | {"envoy": envoy | {"auth": keys}})
    else:  # Envoy's keys do not help where Triton itself is shown
        assert "service.type" in render_error(values | {"envoy": {"enabled": True, "auth": keys}})


def test_certificates_of_clients_do_as_well(render: Callable[[Object], Any]) -> None:
    tls = FRONT | {"clients": {"required": True, "caSecretName": "ca"}}
    tests = {"tls": {"secretName": "test"}}
    assert render({"service": {"type": "LoadBalancer"}, "tls": tls, "tests": tests})


OLD = {
    "accelerator.kind: dra needs resource.k8s.io/v1 of": (GPU | {"accelerator": {"kind": "dra"}}, "1.33.0"),
    "store.image.mount: folders of images are mounted from Kubernetes 1.33 on, and this is v1.32.0": (
        {"store": {"kind": "image", "image": {"repository": "m", "mount": True}}},
        "1.32.0",
    ),
}


@pytest.mark.parametrize(("line", "values", "version"), [(line, *case) for line, case in OLD.items()])
def test_what_the_cluster_is_too_old_for_is_refused(
    render: Callable[..., Any], line: str, values: Object, version: str
) -> None:
    from helm_python.errors import HelmError

    with pytest.raises(HelmError, match=re.escape(line)):
        render(values, kube_version=version)


UNKNOWN = [
    ({"acelerator": {"kind": "gpu"}}, "additional properties 'acelerator' not allowed"),
    ({"accelerator": {"kind": "tpu"}}, "value must be one of 'none', 'gpu', 'mig', 'timeslice', 'dra'"),
    ({"accelerator": {"king": "gpu"}}, "additional properties 'king' not allowed"),
    ({"accelerator": {"migProfile": "3g40gb", "kind": "mig"}}, "/accelerator/migProfile"),
    ({"profile": "onxx"}, "value must be one of 'tensorrt', 'onnx', 'embedded'"),
    ({"store": {"pvc": {"accessModes": ["ReadWriteTwice"]}}}, "/store/pvc/accessModes/0"),
    ({"store": {"s3": {"prefix": "/models/"}}}, "/store/s3/prefix"),
    ({"sharedMemory": {"size": "2 GB"}}, "/sharedMemory/size"),
    ({"resources": {"limits": {"nvidia.com/gpu": 1}}}, "additional properties 'nvidia.com/gpu' not allowed"),
    ({"networkPolicy": {"clients": [{"podSelectr": {}}]}}, "additional properties 'podSelectr' not allowed"),
    ({"image": {"digest": "latest"}}, "/image/digest"),
    ({"podSecurityContext": {"runAsUser": 0}}, "minimum: got 0, want 1"),
    ({"priorityClass": {"value": 2_000_000_000}}, "/priorityClass/value"),
    ({"replicas": -1}, "/replicas"),
    ({"replicas": "two"}, "/replicas"),
    ({"podDisruptionBudget": {"minAvailable": "101%"}}, "/podDisruptionBudget/minAvailable"),
    ({"externalSecrets": {"refreshInterval": "often"}}, "/externalSecrets/refreshInterval"),
    (
        {"externalSecrets": {"secrets": [{"name": "", "data": [{"secretKey": "a", "key": "b"}]}]}},
        "/externalSecrets/secrets/0/name",
    ),
    (
        {"externalSecrets": {"secrets": [{"name": "a", "data": [{"secretKey": "a: b", "key": "b"}]}]}},
        "/externalSecrets/secrets/0/data/0/secretKey",
    ),
    ({"tracing": {"url": "http://{/"}}, "/tracing/url"),
    ({"tracing": {"url": "http://[0]/"}}, "/tracing/url"),
    ({"tracing": {"url": "http://otel:4318/%zz"}}, "/tracing/url"),
    ({"store": {"s3": {"endpoint": "https://a b"}}}, "/store/s3/endpoint"),
    ({"envoy": {"auth": {"jwt": {"jwks": {"uri": "https://login_"}}}}}, "/envoy/auth/jwt/jwks/uri"),
    ({"fullnameOverride": "Lip_Serve"}, "/fullnameOverride"),
]


@pytest.mark.parametrize(("values", "line"), UNKNOWN, ids=[line for _, line in UNKNOWN])
def test_the_schema_names_the_key_it_refuses(render_error: RenderError, values: Object, line: str) -> None:
    assert line in render_error(values)


def test_every_problem_is_told_at_once(render_error: RenderError) -> None:
    told = render_error({"profile": "tensorrt", "replicas": 0, "store": {"kind": "s3"}})
    assert len(re.findall(r"^  \S+: .+; .+$", told, re.MULTILINE)) == 4


def test_every_line_of_the_core_has_a_case() -> None:
    written = re.compile(r"^(?:(?!\{\{-|\{\{/\*).)*: .+; .+$", re.MULTILINE)
    lines = [
        line
        for name in ("core", "access")
        for line in written.findall((TEMPLATES / f"_validations_{name}.tpl").read_text())
    ]
    cases = " ".join(line for _, line in REFUSED) + " ".join(OLD)
    for line in lines:
        # The words of the line that no value stands in.
        plain = [part.strip(" ;:.") for part in re.split(r"\{\{.*?\}\}|; ", line)]
        assert any(part[:24] in cases for part in plain if len(part) > 12), line
    assert len(lines) >= 40


@pytest.mark.parametrize(
    "host", ["otel", "otel.tracing.svc:4318", "[fd00::1]:4318", "[fd00:a:b:c:d:e:f:1]", "10.0.0.7"]
)
def test_addresses_of_every_form_are_taken(render: Callable[[Object], Any], host: str) -> None:
    port = int(host.rpartition(":")[2]) if host[-5:] == ":4318" else 80
    traces = {"traces": {"to": [{"namespaceSelector": {}}], "port": port}}
    assert render({"tracing": {"url": f"http://{host}/v1/traces"}, "networkPolicy": traces})
