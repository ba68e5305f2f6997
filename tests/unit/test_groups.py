"""Shows that tests of one group share a worker, and with it what they start."""

import pytest


@pytest.mark.xdist_group("shown")
def test_the_id_of_a_test_names_its_group(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("loadgroup", False):
        assert request.node.nodeid.endswith("@shown")
