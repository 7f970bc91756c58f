"""Draw the way of a request through the models of each tier: docs/architecture.svg, from lipserve.contracts.

python -m observe.picture [--check]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path

from lipserve.contracts import FACE_LEAVES, PIPELINES, Form, Model, Pipeline

FILE = Path(__file__).resolve().parents[1] / "docs/architecture.svg"
WIDTH, ROW, BOX, GAP, LEFT, TOP = 1240, 228, 190, 156, 148, 92
LINE = 14
_STYLE = """\
text {font: 12px sans-serif; fill: #1b1b1b}
.tier {font-weight: bold; font-size: 16px} .name {font-weight: bold} .tensor {font-size: 10.5px; fill: #444}
.stage {fill: #dbe9f9; stroke: #3569a5} .leaf {fill: #fdf0d5; stroke: #b7822a}
.door {fill: #e7e7e7; stroke: #777}
path {stroke: #555; fill: none; marker-end: url(#tip)}"""


def main(arguments: list[str]) -> int:
    """Return 1 where `--check` finds that the file is not what the code gives."""
    if arguments not in ([], ["--check"]):
        print(__doc__)
        return 2
    made = picture()
    if arguments:
        stale = not FILE.is_file() or FILE.read_text() != made
        if stale:
            print("Stale: docs/architecture.svg. Run `python -m observe.picture`.")
        return int(stale)
    FILE.write_text(made)
    return 0


def picture() -> str:
    """Return the SVG: a door on top, and a row for each tier."""
    height = TOP + ROW * len(PIPELINES)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        "<title>The way of a request through the models of each tier</title>",
        f"<style>{_STYLE}</style>",
        '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<polygon points="0,0 8,4 0,8" fill="#555"/></marker>',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        *_box("door", 14, 14, 420, ["Client", "cuts a clip into segments, sends them, joins the results"]),
        "<path d='M434 38H504'/>",
        *_box("door", 508, 14, 420, ["guard", "checks each request, and keeps those that wait"]),
        *_box("stage", 956, 14, 124, ["stage", "Python"]),
        *_box("leaf", 1094, 14, 132, ["leaf", "ONNX or TensorRT"]),
    ]
    for row, pipeline in enumerate(PIPELINES.values()):
        parts += _tier(pipeline, TOP + row * ROW)
    return "\n".join([*parts, "</svg>", ""])


def _tier(pipeline: Pipeline, top: int) -> Iterator[str]:
    """Yield a tier's row: its stages from left to right, the leaves that each calls below it."""
    steps, stages = pipeline.ensemble.steps, {stage.name: stage for stage in pipeline.stages}
    own = pipeline.leaves(Form())
    line = top + 68
    yield f'<line x1="14" y1="{top}" x2="{WIDTH - 14}" y2="{top}" stroke="#bbb"/>'
    yield f'<text class="tier" x="14" y="{top + 22}">{pipeline.tier}</text>'
    inputs = [tensor.name for tensor in pipeline.ensemble.inputs]
    given: list[tuple[Sequence[str], Sequence[str]]] = [(inputs, ())]
    for step, after in pairwise(steps):
        wanted = list(after.inputs.values())
        new = [name for name in step.outputs.values() if name in wanted]
        given.append((new, [name for name in wanted if name not in new and name not in inputs]))
    given.append(([tensor.name for tensor in pipeline.ensemble.outputs], ()))
    for number, step in enumerate(steps):
        left = LEFT + number * (BOX + GAP)
        yield from _flow(14 if number == 0 else left - GAP, left, line, *given[number])
        yield from _box("stage", left, line - 24, BOX, [step.model, _processes(stages[step.model])])
        called = own if step.model == pipeline.generate.name else FACE_LEAVES if number == 0 else ()
        yield from _leaves(called, left, line + 24)
    end = LEFT + len(steps) * (BOX + GAP) - GAP
    yield from _flow(end, end + 90, line, *given[-1])
    used = {step.model for step in steps}
    for stage in pipeline.stages:
        if stage.name not in used:
            left = LEFT + 2 * (BOX + GAP)
            taken = ", ".join(tensor.name for tensor in stage.inputs)
            outputs = ", ".join(tensor.name for tensor in stage.outputs)
            yield from _box(
                "stage",
                left,
                line + 76,
                BOX + 60,
                [stage.name, "once for all segments; calls the face leaves"],
            )
            yield _tensors(left, left + BOX + 60, line + 76 + 48 + LINE, f"{taken} → {outputs}")


def _leaves(leaves: Sequence[Model], left: int, top: int) -> Iterator[str]:
    for number, leaf in enumerate(leaves):
        y = top + 16 + number * 24
        if number == 0:
            yield f"<path d='M{left + BOX // 2} {top}V{y - 2}'/>"
        yield f'<rect class="leaf" x="{left}" y="{y}" width="{BOX}" height="20" rx="3"/>'
        yield f'<text x="{left + BOX // 2}" y="{y + 14}" text-anchor="middle">{leaf.name}</text>'


def _flow(start: int, end: int, y: int, new: Sequence[str], older: Sequence[str]) -> Iterator[str]:
    """Yield an arrow: above it what the stage before gives, below it what earlier stages gave."""
    yield f"<path d='M{start} {y}H{end - 2}'/>"
    above, below = _wrapped(new, (end - start) // 7), _wrapped(older, (end - start) // 7)
    for number, text in enumerate(above):
        yield _tensors(start, end, y - 8 - LINE * (len(above) - 1 - number), text)
    for number, text in enumerate(below):
        yield _tensors(start, end, y + 16 + LINE * number, text)


def _tensors(start: int, end: int, y: int, text: str) -> str:
    return f'<text class="tensor" x="{(start + end) // 2}" y="{y}" text-anchor="middle">{escape(text)}</text>'


def _wrapped(names: Sequence[str], width: int) -> list[str]:
    lines = [""]
    for name in names:
        joined = f"{lines[-1]} {name}".strip()
        if len(joined) > width and lines[-1]:
            lines.append(name)
        else:
            lines[-1] = joined
    return lines


def _box(kind: str, left: int, top: int, width: int, lines: Sequence[str]) -> Iterator[str]:
    yield f'<rect class="{kind}" x="{left}" y="{top}" width="{width}" height="48" rx="4"/>'
    for number, text in enumerate(lines):
        style = "name" if number == 0 else "tensor"
        yield (
            f'<text class="{style}" x="{left + width // 2}" y="{top + 20 + 16 * number}" '
            f'text-anchor="middle">{escape(text)}</text>'
        )


def _processes(stage: Model) -> str:
    return f"{stage.instances} processes, embedded {stage.embedded_instances}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
