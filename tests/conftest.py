"""What every test shares."""

import pytest
import torch
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("helpers", "contract.harness", "plugin.harness")

torch.set_num_threads(1)

# A slow machine is no fault of a test.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
