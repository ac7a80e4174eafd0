import pytest
from contract.harness import PACKAGES, all_callbacks


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "package" in metafunc.fixturenames:
        metafunc.parametrize("package", PACKAGES, scope="module")
    if "callback" in metafunc.fixturenames:
        metafunc.parametrize("callback", all_callbacks(), scope="module", ids=lambda callback: callback.__name__)
