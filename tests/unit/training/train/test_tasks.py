"""What each task minimises, and what its gradient reaches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lipserve.errors import SetupError
from lipserve_export.wav2lip.network import Variant, Wav2Lip
from lipserve_training.data.sampler import Batch, Sampler
from lipserve_training.models.discriminator import Discriminator
from lipserve_training.models.expert import Expert
from lipserve_training.models.vgg import random_vgg
from lipserve_training.train import tasks
from lipserve_training.train.distil import DistilledStudent
from lipserve_training.train.expert import ExpertTask
from lipserve_training.train.recipe import GeneratorRecipe, Losses
from lipserve_training.train.student import Student
from lipserve_training.train.teacher import Teacher

SMALL = Variant(4, False)


def recipe(**tables: object) -> GeneratorRecipe:
    return GeneratorRecipe.model_validate({"run": {"steps": 2}, **tables})


def total(terms: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.stack(list(terms.values())).sum()


def has_gradient(module: torch.nn.Module) -> list[bool]:
    return [p.grad is not None and bool(p.grad.any()) for p in module.parameters()]


def test_other_mel_is_what_is_heard_at_the_moment_of_the_reference(sampler: Sampler, dataset: Path) -> None:
    batch = sampler.batch(6, 5, np.random.default_rng(1))
    for item in range(6):
        (found,) = [
            (clip, frame)
            for clip in sampler._footage
            for frame in range(len(clip))
            if np.array_equal(clip.windows[frame], batch.other_mel[item, 0].numpy())
        ]
        clip, frame = found
        first = [np.array_equal(window, batch.mel[item, 0, 0].numpy()) for window in clip.windows].index(True)
        assert frame not in range(first, first + 5)


def test_the_expert_meets_each_window_s_own_speech_and_another(batch: Batch) -> None:
    expert = Expert(0.25).eval()
    task = ExpertTask(expert)
    halves = batch.target[:, :, :, 48:].reshape(5, 15, 48, 96)
    other = batch.other_mel.clone()
    other[3] = batch.other_mel[2]  # every fourth hears another clip
    with torch.no_grad():
        own, strange = expert(batch.mel[:, 0], halves), expert(other, halves)
        found = task.losses(batch, 0)["sync"]
    expected = -torch.cat([own.log(), (1 - strange).log()]).mean()
    assert float(found) == pytest.approx(float(expected), rel=1e-4)
    assert task.after_step(batch)["accuracy"] == pytest.approx(float((own > strange).float().mean()))


def test_the_expert_is_measured_on_the_clips_it_is_given(batch: Batch) -> None:
    expert = Expert(0.25).eval()
    assert ExpertTask(expert).validate(expert) == {}
    task = ExpertTask(expert, [batch, batch])
    with torch.no_grad():
        expected = float(task.losses(batch, 0)["sync"])
    figures = task.validate(expert)
    assert figures["held_out/sync"] == pytest.approx(expected, rel=1e-5)
    assert 0 <= figures["held_out/accuracy"] <= 1


def test_sync_joins_when_the_recipe_says(batch: Batch) -> None:
    expert = Expert(0.25)
    weights = Losses(l1=1, sync=0.5, sync_from=0.5)
    task = Student(Wav2Lip(SMALL), weights, expert)
    assert [task.window(progress) for progress in (0, 0.49, 0.5, 1)] == [1, 1, 5, 5]
    assert list(task.losses(batch, 0.49)) == ["l1"]
    task.network.eval()
    with torch.no_grad():
        made = task.network(batch.mel.flatten(0, 1), batch.faces.flatten(0, 1))
        cosine = expert(batch.mel[:, 0], made.reshape(5, 5, 3, 96, 96)[:, :, :, 48:].reshape(5, 15, 48, 96))
        found = task.losses(batch, 0.5)
    assert float(found["sync"]) == pytest.approx(0.5 * float(-cosine.log().mean()), rel=1e-4)


def test_without_an_expert_a_student_looks_at_single_frames(batch: Batch) -> None:
    assert Student(Wav2Lip(SMALL), Losses(l1=1, ssim=0.2)).window(1) == 1


def test_sync_teaches_the_student_and_leaves_the_expert(window: Batch) -> None:
    expert = Expert(0.25)
    task = Student(Wav2Lip(SMALL), Losses(sync=1), expert)
    before = {key: value.clone() for key, value in expert.state_dict().items()}
    total(task.losses(window, 0)).backward()  # type: ignore[no-untyped-call]
    assert sum(has_gradient(task.network)) > 80
    assert not any(has_gradient(expert))
    assert all(torch.equal(before[key], value) for key, value in expert.state_dict().items())


def test_the_reader_learns_from_the_truth_and_the_generator_from_the_reader(window: Batch) -> None:
    task = Student(Wav2Lip(SMALL), Losses(reading=0.5))
    terms = task.losses(window, 0)
    assert set(terms) == {"reading", "reader"}
    terms["reading"].backward(retain_graph=True)  # type: ignore[no-untyped-call]
    assert sum(has_gradient(task.network)) > 80
    assert not any(has_gradient(task.companions))
    generator = [p.grad.clone() for p in task.network.parameters() if p.grad is not None]
    terms["reader"].backward()  # type: ignore[no-untyped-call]
    assert all(has_gradient(task.companions))
    after = [p.grad for p in task.network.parameters() if p.grad is not None]
    assert all(torch.equal(a, b) for a, b in zip(generator, after, strict=True))
    with torch.no_grad():
        seen = task.companions["reader"](window.target[0, :, :, 48:])
        expected = 0.5 * float(((seen - window.lips[0]) ** 2).mean())
    assert float(terms["reader"].detach()) == pytest.approx(expected, rel=1e-4)


def test_a_run_begins_with_the_weights_it_is_given(tmp_path: Path) -> None:
    begun = Wav2Lip(SMALL)
    file = tmp_path / "generator.pth"
    torch.save({"state_dict": begun.state_dict(), "mel_offset_ms": -40.0}, file)
    asked = recipe(losses={"l1": 1}, network={"width": 0.25}, data={"mel_offset_ms": -40})
    files, cpu = tasks.Files(init=file), torch.device("cpu")
    task = tasks.build("student", asked, files, cpu, [], print)
    found = task.network.state_dict()
    assert all(torch.equal(value, found[key]) for key, value in begun.state_dict().items())
    other = recipe(losses={"l1": 1}, network={"width": 0.5}, data={"mel_offset_ms": -40})
    with pytest.raises(SetupError, match="of another size than that of the recipe"):
        tasks.build("student", other, files, cpu, [], print)
    other = recipe(losses={"l1": 1}, network={"width": 0.25}, data={"mel_offset_ms": 0})
    with pytest.raises(SetupError, match="a mel_offset_ms of -40, the recipe has 0"):
        tasks.build("student", other, files, cpu, [], print)


def test_distillation_teaches_student_and_adapters_only(window: Batch) -> None:
    teacher, vgg, expert = Wav2Lip(Variant(8, True)), random_vgg(1), Expert(0.25)
    weights = Losses(channel=10, teacher_ssim=10, feature=10, style=1e4, tv=1e-5, sync=3)
    task = DistilledStudent(Wav2Lip(SMALL), weights, teacher, vgg, expert)
    frozen = {key: value.clone() for key, value in teacher.state_dict().items()}
    terms = task.losses(window, 0)
    assert set(terms) == {"channel", "teacher_ssim", "feature", "style", "tv", "sync"}
    assert all(float(term.detach()) > 0 for term in terms.values())
    total(terms).backward()  # type: ignore[no-untyped-call]
    assert sum(has_gradient(task.network)) > 80
    assert all(has_gradient(task.companions))
    for network in (teacher, vgg, expert):
        assert not any(has_gradient(network))
    assert all(torch.equal(frozen[key], value) for key, value in teacher.state_dict().items())


def test_a_student_that_equals_its_teacher_has_nothing_to_learn_from_it(window: Batch) -> None:
    network = Wav2Lip(SMALL).eval()
    teacher = Wav2Lip(SMALL)
    teacher.load_state_dict(network.state_dict())
    weights = Losses(teacher_ssim=1, feature=1, style=1)
    terms = DistilledStudent(network, weights, teacher, random_vgg(1), None).losses(window, 0)
    assert all(abs(float(term.detach())) < 1e-6 for term in terms.values())


def test_the_adversary_learns_apart_from_the_generator(window: Batch) -> None:
    adversary = Discriminator()
    settings = recipe(losses={"l1": 0.93, "adversarial": 0.07})
    task = Teacher(Wav2Lip(SMALL), settings, None, adversary)
    start = {key: value.clone() for key, value in adversary.state_dict().items()}
    terms = task.losses(window, 0)
    total(terms).backward()  # type: ignore[no-untyped-call]
    assert sum(has_gradient(task.network)) > 80
    assert not any(has_gradient(adversary))
    generator = [p.grad.clone() for p in task.network.parameters() if p.grad is not None]
    logged = task.after_step(window)
    assert 0 < logged["adversary"] < 2
    moved = [not torch.equal(start[key], value) for key, value in adversary.state_dict().items()]
    assert sum(moved) >= len(moved) - 1
    after = [p.grad for p in task.network.parameters() if p.grad is not None]
    assert all(torch.equal(a, b) for a, b in zip(generator, after, strict=True))


@pytest.mark.parametrize(
    ("kind", "tables", "files", "message"),
    [
        ("student", {"losses": {"l1": 1, "sync": 0.1}}, {}, "sync, which needs --expert"),
        ("student", {"losses": {"channel": 10, "tv": 1}}, {}, "channel, tv, which needs --teacher"),
        ("student", {"losses": {"l1": 1, "adversarial": 1}}, {}, "adversarial, which the student"),
        ("teacher", {"losses": {"style": 1}}, {}, "style, which the teacher"),
        ("expert", {"losses": {"l1": 1}}, {}, "l1, which the expert"),
        ("expert", {"network": {"residual": False}}, {}, "always has residual layers"),
        ("expert", {"run": {"steps": 1, "frames": 5}}, {}, "compares windows"),
        ("student", {}, {}, "Every term of"),
        ("student", {"losses": {"l1": 1}}, {"expert": "e"}, "--expert has no effect"),
        ("student", {"losses": {"l1": 1}}, {"teacher": "t"}, "--teacher has no effect"),
        ("student", {"losses": {"tv": 1}}, {"teacher": "t", "vgg": "v"}, "--vgg has no effect"),
    ],
)
def test_options_that_exclude_each_other_are_refused(
    kind: tasks.Kind, tables: dict[str, object], files: dict[str, str], message: str
) -> None:
    given = tasks.Files(**{name: Path(path) for name, path in files.items()})
    with pytest.raises(SetupError, match=message):
        tasks.check(kind, recipe(**tables), given)


def test_an_expert_that_hears_another_moment_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "expert.pth"
    torch.save({"state_dict": Expert(0.25).state_dict(), "mel_offset_ms": 0.0}, path)
    settings, files = recipe(losses={"sync": 1}), tasks.Files(expert=path)
    with pytest.raises(SetupError, match="a mel_offset_ms of 0, the recipe has -40"):
        tasks.build("student", settings, files, torch.device("cpu"), [], print)
