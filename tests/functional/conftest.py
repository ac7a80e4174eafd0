import logging
from collections.abc import Callable

import pytest


@pytest.fixture
def said(caplog) -> Callable[[], list[str]]:
    """What was said at debug level since the test began."""
    caplog.set_level(logging.DEBUG, "lightning_viz")
    return lambda: [record.getMessage() for record in caplog.records]
