from __future__ import annotations

import pytest

from lipserve.contracts import Model, Tensor
from lipserve.contracts.pipeline import Node, ensemble

CLIP = Tensor("CLIP", "BYTES", (1,))
HINT = Tensor("HINT", "FP32", (2,), optional=True)
CROPS = Tensor("CROPS", "UINT8", (-1, 8, 8, 3))
FLOW = Tensor("FLOW", "FP32", (-1, 2, 4, 4))
SPARE = Tensor("SPARE", "INT32", (-1,))
RESULT = Tensor("RESULT", "BYTES", (1,))


def stage(name: str, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> Model:
    return Model(name, "stage", inputs, outputs)


CUT = stage("cut", (CLIP, HINT), (CROPS, SPARE))
MOVE = stage("move", (CROPS,), (FLOW,))
PASTE = stage("paste", (CLIP, FLOW), (RESULT,))


def test_stages_of_any_kind_are_wired_by_the_names_of_their_tensors() -> None:
    made = ensemble("warp", (CLIP,), (RESULT,), (Node(CUT), Node(MOVE), Node(PASTE)))
    assert (made.name, made.kind, made.inputs, made.outputs) == ("warp", "ensemble", (CLIP,), (RESULT,))
    assert [step.model for step in made.steps] == ["cut", "move", "paste"]
    assert [dict(step.inputs) for step in made.steps] == [
        {"CLIP": "CLIP"},  # nobody gives the HINT, which it can do without
        {"CROPS": "CROPS"},
        {"CLIP": "CLIP", "FLOW": "FLOW"},
    ]
    assert [dict(step.outputs) for step in made.steps] == [  # nobody takes the SPARE
        {"CROPS": "CROPS"},
        {"FLOW": "FLOW"},
        {"RESULT": "RESULT"},
    ]


def test_an_optional_input_is_fed_where_the_ensemble_has_it() -> None:
    made = ensemble("warp", (CLIP, HINT), (RESULT,), (Node(CUT), Node(MOVE), Node(PASTE)))
    assert made.steps[0].inputs == {"CLIP": "CLIP", "HINT": "HINT"}


def test_a_tensor_can_flow_under_another_name() -> None:
    again = stage("again", (CROPS,), (CROPS,))
    nodes = (
        Node(CUT),
        Node(again, gives={"CROPS": "BETTER"}),
        Node(MOVE, takes={"CROPS": "BETTER"}),
        Node(PASTE),
    )
    made = ensemble("warp", (CLIP,), (RESULT,), nodes)
    assert made.steps[1].inputs == {"CROPS": "CROPS"}
    assert made.steps[1].outputs == {"CROPS": "BETTER"}
    assert made.steps[2].inputs == {"CROPS": "BETTER"}


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ((Node(CUT), Node(PASTE)), "paste in warp wants .*FLOW.*, and gets None"),
        ((Node(CUT), Node(MOVE, takes={"CROPS": "CLIP"}), Node(PASTE)), "move in warp wants .*UINT8"),
        ((Node(CUT), Node(MOVE)), "warp wants .*RESULT"),
    ],
)
def test_stages_that_do_not_fit_make_no_ensemble(nodes: tuple[Node, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ensemble("warp", (CLIP,), (RESULT,), nodes)
