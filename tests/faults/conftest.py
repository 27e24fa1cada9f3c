"""Options that make the tests of this folder longer: pytest tests/faults --soak-seconds 600 --malformed
1000000."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak-seconds", type=float, default=6.0, help="How long eight clients click.")
    parser.addoption("--malformed", type=int, default=5_000, help="How many malformed messages are sent.")
    parser.addoption("--reconnects", type=int, default=40, help="How many clients come and go.")


@pytest.fixture
def soak_seconds(pytestconfig: pytest.Config) -> float:
    return pytestconfig.getoption("--soak-seconds", default=6.0)


@pytest.fixture
def malformed(pytestconfig: pytest.Config) -> int:
    return pytestconfig.getoption("--malformed", default=5_000)


@pytest.fixture
def reconnects(pytestconfig: pytest.Config) -> int:
    return pytestconfig.getoption("--reconnects", default=40)
