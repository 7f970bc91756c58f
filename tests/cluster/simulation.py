"""A cluster in steps of a minute: what Kubernetes' controllers make of the chart's own rendered objects.

Deployment, Job, scheduler (with preemption), evictions and init containers follow Kubernetes' own rules;
each node has one GPU. Whether engines fit is asked of the chart's own wait, in a store of real records.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lipserve.errors import SetupError
from lipserve_server.pod.wait import look
from lipserve_server.repository.engines import Machine
from tests.support.stores import build

Object = dict[str, Any]
START_MINUTES, BUILD_MINUTES = 2, 10
GPU = "nvidia.com/gpu"
# By the tag of both images: a patch release has the TensorRT of the one before.
TENSORRT = {
    "0.1.0": "10.13.3",
    "0.1.1": "10.13.3",
    "0.2.0": "10.14.1",
    "26.11-py3": "10.13.3",
    "27.01-py3": "10.14.1",
}


@dataclass(eq=False)
class Pod:
    """A pod of the Deployment or of the Job.

    Attributes:
        template: of its owner's, at its creation.
        minutes: that it has run for, since its engines were found (of the Deployment's).
        disrupted: it was preempted or evicted.
    """

    number: int
    template: str
    node: str | None = None
    minutes: int = 0
    disrupted: bool = False

    @property
    def spec(self) -> Object:
        found: Object = json.loads(self.template)["spec"]
        return found

    @property
    def ready(self) -> bool:
        return self.minutes >= START_MINUTES

    @property
    def machine(self) -> Machine:
        image = self.spec["containers"][0]["image"]
        return Machine(("sm80",), TENSORRT[image.rpartition(":")[2]])

    def needs(self) -> int:
        """Return the GPUs that it asks for: its containers run one after the other, or alone."""
        containers = [*self.spec.get("initContainers", []), *self.spec["containers"]]
        return max(int(one["resources"]["limits"].get(GPU, 0)) for one in containers)


@dataclass
class Job:
    """The release's Job: its pod, its failed tries, and its end."""

    made: Object
    pod: Pod | None = None
    failures: int = 0
    end: str = ""  # Complete, or Failed


@dataclass
class Cluster:
    """One release of the chart on `nodes`.

    Attributes:
        exit_code: of the Job's tries.
        ready: number of ready pods, after each minute.
        runs: Jobs that have begun to build.
    """

    render: Callable[[Object], list[Object]]
    store: Path
    nodes: list[str]
    exit_code: int = 0
    objects: list[Object] = field(default_factory=list)
    pods: list[Pod] = field(default_factory=list)
    wanted: dict[str, int] = field(default_factory=dict)  # of each ReplicaSet, by its template
    job: Job | None = None
    cordoned: set[str] = field(default_factory=set)
    ready: list[int] = field(default_factory=list)
    runs: int = 0
    restarts: int = 0
    _numbers: Any = field(default_factory=itertools.count)

    # What an operator does

    def apply(self, values: Object) -> None:
        """Install or upgrade as Helm does: other Jobs go, one that is the same is left alone."""
        self.objects = self.render(values)
        made = self._one("Job")
        if self.job is None or made is None or self.job.made["metadata"]["name"] != made["metadata"]["name"]:
            self.job = Job(made) if made else None

    def restart(self) -> None:
        """Replace every pod: `kubectl rollout restart`."""
        self.restarts += 1

    def run(self, minutes: int) -> None:
        for _ in range(minutes):
            self._minute()

    def until(self, condition: Callable[[], bool], minutes: int = 200) -> None:
        """Run until a condition holds."""
        for _ in range(minutes):
            if condition():
                return
            self._minute()
        raise AssertionError(
            f"not within {minutes} minutes: {self.ready[-5:]} ready, {self.pods}, {self.job}"
        )

    def drain(self, node: str) -> None:
        """Cordon a node and evict its pods one by one, as the budget allows: `kubectl drain`."""
        self.cordoned.add(node)

        def emptied() -> bool:
            for pod in [pod for pod in self.pods if pod.node == node]:
                if not pod.ready or self._allowed() > 0:
                    pod.disrupted = True
                    self.pods.remove(pod)
            return not any(pod.node == node for pod in self.pods)

        self.until(emptied)

    def settled(self) -> bool:
        """Return whether every pod is of the newest template, and ready."""
        newest = [pod for pod in self.pods if pod.template == self._template()]
        return len(newest) == len(self.pods) == self.replicas and all(pod.ready for pod in newest)

    @property
    def deployment(self) -> Object:
        made = self._one("Deployment")
        assert made
        return made

    @property
    def replicas(self) -> int:
        return int(self.deployment["spec"]["replicas"])

    # What the controllers do

    def _minute(self) -> None:
        self._roll_out()
        self._scale()
        self._tend_job()
        self._schedule()
        for pod in self.pods:
            if pod.node and (pod.minutes or self._fits(pod)):
                pod.minutes += 1
        self._work()
        self.ready.append(sum(pod.ready for pod in self.pods))

    def _roll_out(self) -> None:
        spec, new = self.deployment["spec"], self._template()
        if spec.get("paused") or not self.wanted:
            # Only scaled: an installation that is paused has no ReplicaSet.
            if not self.wanted and not spec.get("paused"):
                self.wanted = {new: self.replicas}
            return
        self.wanted.setdefault(new, 0)
        rolling = spec["strategy"]["rollingUpdate"]
        room = self.replicas + rolling["maxSurge"] - sum(self.wanted.values())
        self.wanted[new] = min(self.replicas, self.wanted[new] + max(0, room))
        least = self.replicas - rolling["maxUnavailable"]
        ready = {template: sum(pod.ready for pod in self._of(template)) for template in self.wanted}
        down = sum(self.wanted.values()) - least - (self.wanted[new] - ready[new])
        for old in [template for template in self.wanted if template != new]:
            unhealthy = min(max(0, down), self.wanted[old] - ready[old])
            self.wanted[old] -= unhealthy
            down -= unhealthy
        spare = sum(ready.values()) - least
        for old in [template for template in self.wanted if template != new]:
            gone = min(max(0, min(spare, down)), self.wanted[old])
            self.wanted[old] -= gone
            spare, down = spare - gone, down - gone
        self.wanted = {one: count for one, count in self.wanted.items() if count or one == new}

    def _scale(self) -> None:
        for template in {pod.template for pod in self.pods} | self.wanted.keys():
            mine, count = self._of(template), self.wanted.get(template, 0)
            for pod in sorted(mine, key=lambda pod: (pod.ready, -pod.number))[: max(0, len(mine) - count)]:
                self.pods.remove(pod)
            self.pods += [Pod(next(self._numbers), template) for _ in range(count - len(mine))]

    def _tend_job(self) -> None:
        job = self.job
        if job and not job.end and job.pod is None:
            job.pod = Pod(next(self._numbers), json.dumps(job.made["spec"]["template"]))

    def _schedule(self) -> None:
        building = [self.job.pod] if self.job and self.job.pod else []
        waiting = [pod for pod in [*self.pods, *building] if pod.node is None]
        for pod in sorted(waiting, key=lambda pod: (-self._priority(pod)[0], pod.number)):
            used = {other.node for other in [*self.pods, *building]}
            free = [node for node in self.nodes if node not in used | self.cordoned]
            assert pod.needs() == 1
            if free:
                pod.node = free[0]
            elif self._priority(pod)[1] != "Never":
                self._preempt(pod)

    def _preempt(self, pod: Pod) -> None:
        victims = [
            other
            for other in self.pods
            if other.node
            and other.node not in self.cordoned
            and self._priority(other)[0] < self._priority(pod)[0]
        ]
        if victims:
            victim = max(victims, key=lambda other: other.number)
            self.pods.remove(victim)
            pod.node = victim.node

    def _work(self) -> None:
        """Let the Job's pod build; its end is judged by the Job's own policy."""
        job = self.job
        if not job or not job.pod or not job.pod.node:
            return
        self.runs += job.pod.minutes == 0
        job.pod.minutes += 1
        if job.pod.minutes < BUILD_MINUTES:
            return
        if self.exit_code == 0:
            build(self.store, job.pod.machine)
            job.end = "Complete"
        else:
            job.failures += 1
            codes = [
                rule["onExitCodes"]["values"]
                for rule in job.made["spec"]["podFailurePolicy"]["rules"]
                if rule["action"] == "FailJob"
            ]
            if (
                any(self.exit_code in values for values in codes)
                or job.failures > job.made["spec"]["backoffLimit"]
            ):
                job.end = "Failed"
        job.pod = None

    def interrupt(self) -> None:
        """Take the Job's pod away, as a preemption or an emptied node does."""
        assert self.job
        assert self.job.pod
        ignored = {"type": "DisruptionTarget", "status": "True"}
        rules = self.job.made["spec"]["podFailurePolicy"]["rules"]
        self.job.failures += not any(ignored in rule.get("onPodConditions", []) for rule in rules)
        self.job.pod = None

    def _fits(self, pod: Pod) -> bool:
        try:
            look(self.store, "tensorrt", [], pod.machine)
        except SetupError:
            return False
        return True

    def _allowed(self) -> int:
        budget = self._one("PodDisruptionBudget")
        assert budget
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
        healthy = sum(pod.ready for pod in self.pods)
        return healthy - (self.replicas - int(budget["spec"]["maxUnavailable"]))

    def _priority(self, pod: Pod) -> tuple[int, str]:
        name = pod.spec.get("priorityClassName")
        classes = {one["metadata"]["name"]: one for one in self.objects if one["kind"] == "PriorityClass"}
        return (
            (classes[name]["value"], classes[name]["preemptionPolicy"]) if name in classes else (0, "Never")
        )

    def _template(self) -> str:
        template = self.deployment["spec"]["template"]
        template["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"] = str(self.restarts)
        return json.dumps(template)

    def _of(self, template: str) -> list[Pod]:
        return [pod for pod in self.pods if pod.template == template]

    def _one(self, kind: str) -> Object | None:
        return next((made for made in self.objects if made["kind"] == kind), None)
