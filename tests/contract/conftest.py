from collections.abc import Iterator
from dataclasses import replace

import pytest
from contract.harness import PACKAGES, all_callbacks

from lightning_viz import VizCallback
from lightning_viz.functional.synthesis.regularisation import NAMED


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "package" in metafunc.fixturenames:
        metafunc.parametrize("package", PACKAGES, scope="module")
    if "callback" in metafunc.fixturenames:
        metafunc.parametrize("callback", all_callbacks(), scope="module", ids=lambda callback: callback.__name__)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let ``-k FilterImages`` also choose the tests that run all callbacks in one Trainer."""
    if "every" in getattr(item, "fixturenames", ()):
        item.extra_keyword_matches.update(callback.__name__ for callback in all_callbacks())


@pytest.fixture(scope="session")
def every() -> list[type[VizCallback]]:
    """All of them, for one Trainer that runs them together: what they keep shows that each of them kept it."""
    return all_callbacks()


@pytest.fixture(scope="session", autouse=True)
def few_steps() -> Iterator[None]:
    """How far an image was climbed is no matter here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NAMED, "fourier", replace(NAMED["fourier"], steps=8))
        yield
