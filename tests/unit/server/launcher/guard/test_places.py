"""How many requests are at work together."""

from __future__ import annotations

from lipserve.contracts import MODELS
from lipserve_server.launcher.guard.places import Places, change, places


def test_places_are_those_of_all_processes_on_the_way() -> None:
    models = list(MODELS.values())
    embedded, onnx = places(models, "embedded"), places(models, "onnx")
    assert embedded["lipwarp"] == sum(
        MODELS[step.model].embedded_instances for step in MODELS["lipwarp"].steps
    )
    assert onnx["lipwarp"] == sum(MODELS[step.model].instances for step in MODELS["lipwarp"].steps)
    assert embedded["wav2lip_generate"] == 2
    assert embedded["lip_renderer"] == 128


def test_clients_share_the_places() -> None:
    held = Places(4)
    for _ in range(3):
        change([held.busy], "many", 1)
    assert held.has_one("many")
    change([held.waiting], "one", 1)
    assert not held.has_one("many"), "two are its share"
    assert held.has_one("one")
    change([held.waiting], "one", -1)
    assert held.has_one("many"), "nobody else is there"


def test_so_many_clients_get_a_place_above_the_number() -> None:
    """Half as many as there are places, and one less than there are clients."""
    held, got = Places(4), 0
    for client in range(10):
        change([held.waiting], str(client), 1)
    for client in range(10):
        if held.has_one(str(client)):
            change([held.busy], str(client), 1)
            got += 1
    assert got == 4 + 2
    alone = Places(1)
    change([alone.busy], "one", 1)
    assert not alone.has_one("one")
    assert alone.has_one("other")
