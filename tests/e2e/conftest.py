"""One installed product for the session; a namespace for each test."""

from collections.abc import Iterator

import pytest
from rich.console import Console

from tests.e2e.apps import AppFactory
from tests.stack.install import Platform, install

CLUSTER = "test"


@pytest.fixture(scope="session")
def platform() -> Platform:
    """A cluster with the operator installed by its chart; left running for the next session's speed."""
    return install(CLUSTER, Console(highlight=False, width=160))


@pytest.fixture
def apps(platform: Platform, request: pytest.FixtureRequest) -> Iterator[AppFactory]:
    """Makes AIApps in a namespace of this test, which is removed at its end."""
    factory = AppFactory.for_test(platform, request.node.name)
    yield factory
    factory.forget()


@pytest.fixture(scope="module")
def module_apps(platform: Platform, request: pytest.FixtureRequest) -> Iterator[AppFactory]:
    """As `apps`, shared by the tests of one module."""
    factory = AppFactory.for_test(platform, request.node.name)
    yield factory
    factory.forget()
