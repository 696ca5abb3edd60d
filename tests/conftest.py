"""Hypothesis profiles: the same 300 examples in every CI run, 5,000 fresh ones in the nightly profile."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
settings.register_profile(
    "ci", max_examples=300, derandomize=True, database=None, deadline=None, suppress_health_check=slow
)
settings.register_profile("nightly", max_examples=5000, deadline=None, suppress_health_check=slow)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder for each test: none reads or writes the user's own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("ENERGYSIM_CACHE_DIR", str(folder))
    return folder
