"""Which sites are associated in which mode."""

from __future__ import annotations

from typing import Any

import pytest

from shared.config import AssociationConfig


@pytest.mark.parametrize(
    ("settings", "mode"),
    [
        ({}, "live"),
        ({"retention_seconds": 60}, "live"),
        ({"linkage": "average"}, "reference"),
        ({"min_similarity": 0.6}, "reference"),
        ({"mode": "live", "min_similarity": 0.6}, "live"),
        ({"mode": "reference"}, "reference"),
    ],
)
def test_a_site_that_was_tuned_for_the_reference_mode_keeps_it(settings: dict[str, Any], mode: str) -> None:
    config = AssociationConfig.model_validate(settings)
    assert config.mode == mode
    assert AssociationConfig.model_validate(config.model_dump()).mode == mode
