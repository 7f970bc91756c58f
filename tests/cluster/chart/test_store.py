"""The model store: claims, copies of buckets and images, and who may write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Object = dict[str, Any]
Find = Callable[..., Object]
Names = Callable[..., list[str]]

S3: Object = {"kind": "s3", "s3": {"bucket": "models", "prefix": "a/b", "existingSecret": "keys"}}


def environment(container: Object) -> Object:
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in container["env"]}


def test_the_charts_own_claim_outlives_the_release(made: Find) -> None:
    store = {"pvc": {"size": "7Gi", "storageClassName": "fast", "accessModes": ["ReadWriteMany"]}}
    claim = made("PersistentVolumeClaim", "lipserve-models", {"store": store})
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert claim["spec"] == {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "fast",
        "resources": {"requests": {"storage": "7Gi"}},
    }


def test_an_existing_claim_is_mounted_at_its_folder(server_pod: Find, names: Names) -> None:
    store = {"store": {"pvc": {"existingClaim": "shared", "subPath": "lipserve"}}}
    assert names("PersistentVolumeClaim", store) == []
    spec = server_pod(store)
    assert spec["volumes"][0] == {"name": "models", "persistentVolumeClaim": {"claimName": "shared"}}
    assert spec["containers"][0]["volumeMounts"][0] == {
        "name": "models",
        "mountPath": "/models",
        "readOnly": True,
        "subPath": "lipserve",
    }


def test_pods_of_a_volume_of_one_node_share_that_node(server_pod: Find, made: Find) -> None:
    (term,) = server_pod()["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term == {
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": {"matchLabels": {"lipserve-store": "lipserve-models"}},
    }
    labels = made("Deployment", "lipserve")["spec"]["template"]["metadata"]["labels"]
    assert labels["lipserve-store"] == "lipserve-models"  # the first pod satisfies its own rule
    assert "affinity" not in server_pod({"store": {"pvc": {"accessModes": ["ReadWriteMany"]}}})


def test_a_bucket_is_copied_into_an_emptydir_before_the_server_starts(server_pod: Find) -> None:
    spec = server_pod({"store": S3 | {"cache": {"size": "9Gi"}}})
    tools, copy = spec["initContainers"]
    assert tools["image"] == "docker.io/rclone/rclone:1.71.0"
    assert copy["image"] == spec["containers"][0]["image"]  # it looks at what it has copied
    assert "rclone copy --checksum" in copy["args"][-1]
    assert copy["terminationMessagePolicy"] == "FallbackToLogsOnError"  # wrong keys show in the pod's status
    values = environment(copy)
    assert values["STORE"] == "store:models/a/b"
    assert values["RCLONE_CONFIG_STORE_TYPE"] == "s3"
    assert values["RCLONE_CONFIG_STORE_PROVIDER"] == "AWS"
    assert values["AWS_ACCESS_KEY_ID"] == {"secretKeyRef": {"name": "keys", "key": "AWS_ACCESS_KEY_ID"}}
    assert spec["volumes"][0] == {"name": "models", "emptyDir": {"sizeLimit": "9Gi"}}
    assert "AWS_ACCESS_KEY_ID" not in environment(spec["containers"][0])


def test_s3_compatible_storage_by_identity(server_pod: Find) -> None:
    s3 = {"bucket": "m", "endpoint": "https://minio.storage.svc", "region": "x", "workloadIdentity": True}
    values = environment(server_pod({"store": {"kind": "s3", "s3": s3}})["initContainers"][1])
    assert values["STORE"] == "store:m"
    assert values["RCLONE_CONFIG_STORE_PROVIDER"] == "Other"
    assert values["RCLONE_CONFIG_STORE_ENDPOINT"] == "https://minio.storage.svc"
    assert values["RCLONE_CONFIG_STORE_REGION"] == "x"
    assert "AWS_ACCESS_KEY_ID" not in values


def test_gcs_by_key_file_and_by_identity(server_pod: Find) -> None:
    spec = server_pod({"store": {"kind": "gcs", "gcs": {"bucket": "m", "existingSecret": "key"}}})
    copy = spec["initContainers"][1]
    assert (
        environment(copy)["RCLONE_CONFIG_STORE_SERVICE_ACCOUNT_FILE"]
        == "/var/run/secrets/gcs/credentials.json"
    )
    assert copy["volumeMounts"][-1]["mountPath"] == "/var/run/secrets/gcs"
    assert {"name": "gcs-credentials", "secret": {"secretName": "key"}} in spec["volumes"]
    spec = server_pod({"store": {"kind": "gcs", "gcs": {"bucket": "m", "workloadIdentity": True}}})
    values = environment(spec["initContainers"][1])
    assert values["RCLONE_CONFIG_STORE_ENV_AUTH"] == "true"
    assert "RCLONE_CONFIG_STORE_SERVICE_ACCOUNT_FILE" not in values


def test_a_claim_for_many_readers_is_mounted_as_one(server_pod: Find) -> None:
    claim = {"existingClaim": "m", "accessModes": ["ReadOnlyMany"]}
    volume = server_pod({"replicas": 3, "store": {"pvc": claim}})["volumes"][0]
    assert volume["persistentVolumeClaim"] == {"claimName": "m", "readOnly": True}
    assert server_pod()["volumes"][0]["persistentVolumeClaim"] == {"claimName": "lipserve-models"}


@pytest.mark.parametrize("kind", ["pvc", "s3", "image"])
def test_another_revision_replaces_the_pods(made: Find, kind: str) -> None:
    stores = {"s3": S3, "image": {"kind": "image", "image": {"repository": "models"}}, "pvc": {}}

    def template(revision: str) -> Object:
        values = {"store": stores[kind] | {"revision": revision}}
        found: Object = made("Deployment", "lipserve", values)["spec"]["template"]
        return found

    assert template("1") == template("1") != template("2")


def test_a_shared_cache_has_a_folder_for_each_revision(server_pod: Find) -> None:
    def folder(revision: str) -> str:
        cache = {"cache": {"existingClaim": "cache"}, "revision": revision}
        spec = server_pod({"store": S3 | cache})
        assert spec["volumes"][0]["persistentVolumeClaim"] == {"claimName": "cache"}
        paths = {spec["initContainers"][1]["volumeMounts"][0]["subPath"]}
        paths.add(spec["containers"][0]["volumeMounts"][0]["subPath"])
        (path,) = paths
        return str(path)

    assert folder("1").startswith("lipserve-")
    assert folder("1") == folder("1") != folder("2")


def test_an_image_is_mounted_where_the_cluster_can(server_pod: Find) -> None:
    image = {
        "registry": "r.example.com",
        "repository": "models",
        "tag": "7",
        "path": "/data/a/",
        "mount": True,
    }
    spec = server_pod({"store": {"kind": "image", "image": image}})
    assert "initContainers" not in spec
    assert spec["volumes"][0]["image"] == {
        "reference": "r.example.com/models:7",
        "pullPolicy": "IfNotPresent",
    }
    mount = {"name": "models", "mountPath": "/models", "readOnly": True, "subPath": "data/a"}
    assert spec["containers"][0]["volumeMounts"][0] == mount
    whole = server_pod({"store": {"kind": "image", "image": image | {"path": "/"}}})
    assert "subPath" not in whole["containers"][0]["volumeMounts"][0]


def test_an_image_is_copied_by_its_own_cp(server_pod: Find) -> None:
    image = {"registry": "r.example.com", "repository": "models", "tag": "7", "path": "/data/"}
    spec = server_pod({"store": {"kind": "image", "image": image}})
    (copy,) = spec["initContainers"]
    assert copy["image"] == "r.example.com/models:7"
    assert copy["command"] == ["cp", "-R", "/data/.", "/store/"]
    # A mount at /models would hide what the image has there.
    assert copy["volumeMounts"] == [{"name": "models", "mountPath": "/store"}]
    assert copy["securityContext"]["readOnlyRootFilesystem"] is True
