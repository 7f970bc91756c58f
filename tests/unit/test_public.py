"""What `lipserve` gives to its users."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import lipserve
import lipserve_client
from lipserve import errors, options, report

PACKAGES = Path(lipserve.__file__).resolve().parents[1]


def test_every_public_name_is_there_and_is_its_modules_own() -> None:
    public = set(lipserve.__all__)
    assert {*lipserve_client.__all__, "Options", "Report", "__version__"} <= public
    for module in (lipserve_client, errors, options, report):
        for name in public & set(vars(module)):
            assert getattr(lipserve, name) is getattr(module, name)
    for name in public:
        assert getattr(lipserve, name) is not None
    assert set(lipserve.__all__) <= set(dir(lipserve))
    assert lipserve.__version__ == version("lipserve")


def test_every_error_is_public_and_in_the_tree_that_is_drawn() -> None:
    for code in errors.codes():
        found = errors.from_wire(f"[lipserve:{code}] said")
        if type(found).__module__ == "lipserve.errors":  # the operator's tool has some of its own
            name = type(found).__name__
            assert name in lipserve.__all__
            assert re.search(rf"\b{name}\b", lipserve.__doc__ or "")


def test_a_name_that_there_is_not_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Clinet'"):
        lipserve.Clinet  # noqa: B018


def test_the_domain_loads_no_network() -> None:
    program = (
        "import sys, lipserve\n"
        "from lipserve import LipServeError, Options\n"
        "assert not {'grpc', 'tritonclient', 'lipserve_client'} & set(sys.modules)\n"
        "from lipserve import Client\n"
        "assert 'lipserve_client' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    "package",
    ["lipserve", "client/lipserve_client", "client/lipserve_cli", "server/lipserve_server",
     "export/lipserve_export", "training/lipserve_training", "ops/lipserve_ops"],
)  # fmt: skip
def test_every_package_tells_type_checkers_of_its_types(package: str) -> None:
    assert (PACKAGES / package / "py.typed").is_file()
