"""What holds between the objects of one release, whatever its values: each check tells what breaks it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Object = dict[str, Any]
Objects = list[Object]

CLUSTER_WIDE = {"PriorityClass"}
WORKLOADS = {"Deployment", "Job", "StatefulSet"}


def broken(objects: Objects, values: Object, namespace: str) -> list[str]:
    """Return every broken invariant of the objects that `values` gave, [] where all hold."""
    given = set(_strings(values))
    checks = (
        _named(objects, namespace),
        _images(objects),
        _quantities(objects),
        _times(objects),
        _selectors(objects),
        _ports(objects),
        _references(objects, given),
        _scaled(objects),
        _hardened(objects, values),
    )
    return [problem for check in checks for problem in check]


def pods(objects: Objects) -> list[tuple[str, Object, Object]]:
    """Return (owner, metadata, spec) of each pod that the objects are or make."""
    found = []
    for made in objects:
        if made["kind"] == "Pod":
            found.append((_name(made), made["metadata"], made["spec"]))
        elif made["kind"] in WORKLOADS:
            template = made["spec"]["template"]
            claims = [
                {"name": one["metadata"]["name"]} for one in made["spec"].get("volumeClaimTemplates", [])
            ]
            spec = template["spec"] | {"volumes": [*template["spec"].get("volumes", []), *claims]}
            found.append((_name(made), template["metadata"], spec if claims else template["spec"]))
    return found


def containers(spec: Object) -> list[Object]:
    """Return every container of a pod, those that prepare it first."""
    return [*spec.get("initContainers", []), *spec["containers"]]


def _name(made: Object) -> str:
    return f"{made['kind']}/{made['metadata']['name']}"


def _strings(values: Any) -> Iterator[str]:
    if isinstance(values, str):
        yield values
    elif isinstance(values, dict):
        for part in values.values():
            yield from _strings(part)
    elif isinstance(values, list):
        for part in values:
            yield from _strings(part)


def _named(objects: Objects, namespace: str) -> Iterator[str]:
    names = [_name(made) for made in objects]
    for name in {name for name in names if names.count(name) > 1}:
        yield f"{name} is there twice"
    for made in objects:
        told = made["metadata"].get("namespace")
        if told != (None if made["kind"] in CLUSTER_WIDE else namespace):
            yield f"{_name(made)} is in namespace {told}"
        if len(made["metadata"]["name"]) > 63:
            yield f"{_name(made)}: a name of more than 63 characters"
        if "app.kubernetes.io/name" not in made["metadata"].get("labels", {}):
            yield f"{_name(made)} has no name among its labels"


def _images(objects: Objects) -> Iterator[str]:
    for owner, _, spec in pods(objects):
        for container in containers(spec):
            image = container["image"]
            last = image.rpartition("/")[2]
            if image.endswith(":latest") or not (":" in last or "@sha256:" in last) or last.endswith(":"):
                yield f"{owner}: image {image} has no version"


def _quantities(objects: Objects) -> Iterator[str]:
    for owner, _, spec in pods(objects):
        for container in containers(spec):
            for kind in ("requests", "limits"):
                amounts = container.get("resources", {}).get(kind, {})
                for resource, amount in amounts.items():
                    if not isinstance(amount, str):
                        yield f"{owner}: {kind} of {resource} is {amount!r}, no text"
            if not container.get("resources", {}).get("limits", {}).get("memory"):
                yield f"{owner}: {container['name']} has no limit of memory"
        for volume in spec.get("volumes", []):
            if not isinstance(volume.get("emptyDir", {}).get("sizeLimit", ""), str):
                yield f"{owner}: the size of {volume['name']} is no text"


def _times(objects: Objects) -> Iterator[str]:
    for owner, _, spec in pods(objects):
        for container in spec["containers"]:
            timeout = _argument(container, "--exit-timeout") or _variable(
                container, "LIPSERVE_JOBS_DRAIN_SECONDS"
            )
            if timeout is None:
                continue
            hook = container.get("lifecycle", {}).get("preStop", {"sleep": {"seconds": 0}})
            wait = hook["sleep"]["seconds"] if "sleep" in hook else hook["exec"]["command"][-1].split()[-1]
            if spec["terminationGracePeriodSeconds"] < int(wait) + int(timeout):
                yield f"{owner}: grace {spec['terminationGracePeriodSeconds']} s < {wait} s + {timeout} s"


def _argument(container: Object, name: str) -> str | None:
    told = [argument for argument in container.get("args", []) if argument.startswith(f"{name}=")]
    return told[0].partition("=")[2] if told else None


def _variable(container: Object, name: str) -> str | None:
    return next((one["value"] for one in container.get("env", []) if one["name"] == name), None)


def _selects(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in selector.items())


def _selectors(objects: Objects) -> Iterator[str]:
    labels = [metadata["labels"] for _, metadata, _ in pods(objects)]
    for made in objects:
        spec = made.get("spec", {})
        if made["kind"] in ("Deployment", "StatefulSet"):
            if not _selects(spec["selector"]["matchLabels"], spec["template"]["metadata"]["labels"]):
                yield f"{_name(made)} does not select its own pods"
            continue
        wanted = {
            "Service": spec.get("selector"),
            "PodDisruptionBudget": spec.get("selector", {}).get("matchLabels") if spec else None,
            "NetworkPolicy": spec.get("podSelector", {}).get("matchLabels", {}),
        }.get(made["kind"])
        if wanted is not None and not any(_selects(wanted, one) for one in labels):
            yield f"{_name(made)} selects no pod"


def _ports(objects: Objects) -> Iterator[str]:
    for owner, _, spec in pods(objects):
        for container in spec["containers"]:
            open_ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
            for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
                port = container.get(kind, {}).get("httpGet", {}).get("port")
                if isinstance(port, str) and port not in open_ports:
                    yield f"{owner}: {kind} asks port {port}, which is not open"
            for name, number in open_ports.items():
                told = _argument(container, f"--{name}-port")
                if told is not None and int(told) != number:
                    yield f"{owner}: port {name} is {number}, and its program listens on {told}"
    for made in objects:
        if made["kind"] == "Service":
            yield from _service_ports(made, objects)
        elif made["kind"] == "ServiceMonitor":
            yield from _monitored_ports(made, objects)


def _service_ports(service: Object, objects: Objects) -> Iterator[str]:
    selected = [
        spec for _, meta, spec in pods(objects) if _selects(service["spec"]["selector"], meta["labels"])
    ]
    for spec in selected:
        names = {port["name"] for one in spec["containers"] for port in one.get("ports", [])}
        for port in service["spec"]["ports"]:
            if port["targetPort"] not in names:
                yield f"{_name(service)} leads to port {port['targetPort']}, which its pods do not open"


def _monitored_ports(monitor: Object, objects: Objects) -> Iterator[str]:
    wanted = monitor["spec"]["selector"]["matchLabels"]
    services = [
        made for made in objects if made["kind"] == "Service" and _selects(wanted, made["metadata"]["labels"])
    ]
    for endpoint in monitor["spec"]["endpoints"]:
        open_at = [
            made for made in services if endpoint["port"] in {p["name"] for p in made["spec"]["ports"]}
        ]
        if len(open_at) != 1:
            yield f"{_name(monitor)} scrapes {endpoint['port']} of {len(open_at)} Services"


def mounted(spec: Object) -> set[tuple[str, str]]:
    """Return (kind, name) of all that a pod of this spec cannot start without."""
    wanted = set()
    volumes = spec.get("volumes", [])
    sources = [part for volume in volumes for part in volume.get("projected", {}).get("sources", [])]
    for volume in [*volumes, *sources]:
        for key, kind in (("configMap", "ConfigMap"), ("secret", "Secret")):
            source = volume.get(key, {})
            name = source.get("secretName") or source.get("name")
            if name and not source.get("optional"):
                wanted.add((kind, name))
        if "persistentVolumeClaim" in volume:
            wanted.add(("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]))
    for container in containers(spec):
        for variable in [*container.get("env", []), *container.get("envFrom", [])]:
            for key, source in variable.get("valueFrom", variable).items():
                kind = {"configMap": "ConfigMap", "secret": "Secret"}.get(
                    key.removesuffix("KeyRef").removesuffix("Ref")
                )
                if kind and isinstance(source, dict) and not source.get("optional"):
                    wanted.add((kind, source["name"]))
    return wanted


def _references(objects: Objects, given: set[str]) -> Iterator[str]:
    made = {(one["kind"], one["metadata"]["name"]) for one in objects}
    made.add(("ConfigMap", "kube-root-ca.crt"))  # of every namespace
    for one in objects:
        if one["kind"] == "Certificate":
            made.add(("Secret", one["spec"]["secretName"]))
        elif one["kind"] == "ExternalSecret":
            made.add(("Secret", one["spec"]["target"]["name"]))
    for owner, _, spec in pods(objects):
        for kind, name in mounted(spec):
            if (kind, name) not in made and name not in given:
                yield f"{owner} mounts {kind}/{name}, which nobody makes"
        claims = {
            claim["name"]: claim["resourceClaimTemplateName"] for claim in spec.get("resourceClaims", [])
        }
        for name in claims.values():
            if ("ResourceClaimTemplate", name) not in made:
                yield f"{owner} claims devices by {name}, which nobody makes"
        for container in containers(spec):
            for claim in container.get("resources", {}).get("claims", []):
                if claim["name"] not in claims:
                    yield f"{owner}: {container['name']} has the claim {claim['name']}, which its pod has not"
        account = spec.get("serviceAccountName", "default")
        if account != "default" and ("ServiceAccount", account) not in made and account not in given:
            yield f"{owner} runs as {account}, which nobody makes"
        names = {volume["name"] for volume in spec.get("volumes", [])}
        for container in containers(spec):
            for mount in container.get("volumeMounts", []):
                if mount["name"] not in names:
                    yield f"{owner}: {container['name']} mounts {mount['name']}, which is no volume"


def _scaled(objects: Objects) -> Iterator[str]:
    for scaler in objects:
        if scaler["kind"] not in ("HorizontalPodAutoscaler", "ScaledObject"):
            continue
        target = scaler["spec"]["scaleTargetRef"]["name"]
        for made in objects:
            if made["kind"] == "Deployment" and made["metadata"]["name"] == target:
                if "replicas" in made["spec"]:
                    yield f"{_name(made)} sets replicas, which {_name(scaler)} sets too"
                break
        else:
            yield f"{_name(scaler)} scales {target}, which is not there"


def _hardened(objects: Objects, values: Object) -> Iterator[str]:
    asks = values.get("autoscaling", {}).get("deletionCost", False)
    for owner, _, spec in pods(objects):
        if spec.get("automountServiceAccountToken") is not False and not (
            asks and owner.startswith("Deployment")
        ):
            yield f"{owner} gets a token that it may not need"
        for container in containers(spec):
            security = container.get("securityContext", {})
            if not (
                security.get("readOnlyRootFilesystem")
                and security.get("runAsNonRoot")
                and security.get("allowPrivilegeEscalation") is False
                and security.get("capabilities", {}).get("drop") == ["ALL"]
            ):
                yield f"{owner}: {container['name']} is not restricted"
