"""The error of a field that is wrong."""

from __future__ import annotations

from pydantic import ValidationError

from lipserve.errors import OptionsError


def refusal(what: str, error: ValidationError, remedy: str) -> OptionsError:
    """Return the error of the first invalid field of `what`."""
    first = error.errors(include_url=False, include_input=False)[0]
    name = ".".join(str(part) for part in first["loc"])[:80]
    reason = first["msg"].removeprefix("Value error, ")
    return OptionsError(f"{what} is wrong: {f'{name}: ' if name else ''}{reason}.", remedy)
