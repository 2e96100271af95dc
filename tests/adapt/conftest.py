"""SKADA switches scikit-learn's routing of metadata on where it is imported; here for the test that does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sklearn


@pytest.fixture(autouse=True)
def own_settings() -> Iterator[None]:
    """scikit-learn's settings are what they were after each test."""
    with sklearn.config_context():
        yield
