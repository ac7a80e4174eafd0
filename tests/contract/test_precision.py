"""Every callback in a Trainer whose numbers are of another type."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from contract.harness import contents, fit, give_data, store_of

from lightning_viz import VizCallback
from lightning_viz.store import read_values


@pytest.fixture
def double() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("options", [{}, {"precision": "64-true"}], ids=["default", "64-true"])
def test_all_draw_in_double_precision(every: list[type[VizCallback]], tmp_path: Path, options: dict[str, Any]) -> None:
    callbacks = [give_data(callback, on_error="raise", epochs=[1]) for callback in every]
    trainer = fit("pytorch_lightning", tmp_path, callbacks, max_epochs=1, **options)
    assert next(trainer.lightning_module.parameters()).dtype == torch.float64
    records = contents(trainer).records
    assert {record.method for record in records} == {callback.method for callback in every}
    for record in records:
        assert record.error is None, record.error
        for item in (item for item in record.items if item.kind == "values"):
            values = read_values((store_of(trainer) / item.file).read_bytes())
            assert values.dtype == np.float32
