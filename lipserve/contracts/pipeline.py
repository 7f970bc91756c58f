"""The models of a tier, and its ensemble, wired from the contracts of its stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lipserve.contracts.form import Form
from lipserve.contracts.spec import Model, Step, Tensor, TierName


@dataclass(frozen=True)
class Pipeline:
    """The models of one tier.

    Attributes:
        leaves: returns its own leaves in the shapes of a form; those that find faces are every tier's.
        stages: those of its ensemble in order, and any that clients call before it.
        generate: the stage that calls its generator: clients that hold crops call it by itself.
        ensemble: what a request goes through; named as the tier.
    """

    tier: TierName
    leaves: Callable[[Form], tuple[Model, ...]]
    stages: tuple[Model, ...]
    generate: Model
    ensemble: Model


@dataclass(frozen=True)
class Node:
    """A stage in an ensemble.

    Attributes:
        takes, gives: of an input or output, under which other name than its own it flows.
    """

    stage: Model
    takes: Mapping[str, str] = field(default_factory=dict)
    gives: Mapping[str, str] = field(default_factory=dict)


def ensemble(
    name: str, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...], nodes: tuple[Node, ...]
) -> Model:
    """Return the ensemble in which every stage takes what flows under the names of its inputs.

    What flows are the ensemble's own inputs and what stages gave before. An output that nobody takes is left
    out, and so is an optional input that nobody gives.

    Raises:
        ValueError: nobody gives an input or output, or it is of another type or shape.
    """
    flowing = {tensor.name: tensor for tensor in inputs}
    wanted = {tensor.name for tensor in outputs}
    wanted |= {flow for node in nodes for flow in _flows(node.stage.inputs, node.takes).values()}
    steps = []
    for node in nodes:
        takes = _flows(node.stage.inputs, node.takes)
        takes = {tensor: flow for tensor, flow in takes.items() if flow in flowing or not tensor.optional}
        gives = _flows(node.stage.outputs, node.gives)
        gives = {tensor: flow for tensor, flow in gives.items() if flow in wanted}
        for tensor, flow in takes.items():
            _check(tensor, flowing.get(flow), f"{node.stage.name} in {name}")
        flowing |= {flow: tensor for tensor, flow in gives.items()}
        steps.append(Step(node.stage.name, _by_name(takes), _by_name(gives)))
    for tensor in outputs:
        _check(tensor, flowing.get(tensor.name), name)
    return Model(name=name, kind="ensemble", inputs=inputs, outputs=outputs, steps=tuple(steps))


def _flows(tensors: tuple[Tensor, ...], others: Mapping[str, str]) -> dict[Tensor, str]:
    """Return the name in the ensemble of each of a stage's tensors."""
    return {tensor: others.get(tensor.name, tensor.name) for tensor in tensors}


def _by_name(flows: Mapping[Tensor, str]) -> dict[str, str]:
    return {tensor.name: flow for tensor, flow in flows.items()}


def _check(wanted: Tensor, given: Tensor | None, where: str) -> None:
    if given is None or (given.dtype, given.dims) != (wanted.dtype, wanted.dims):
        raise ValueError(f"{where} wants {wanted}, and gets {given}")
