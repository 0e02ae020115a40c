"""Configuration for tests in which an SDK runs in the same process.

It builds its types when it first needs them: on a busy machine the event loop stands still for seconds, which must
not count as a backend that does not answer.
"""

from typing import Any

from aiapp_service.config import ServiceConfig, TimeoutsConfig
from tests.integration.service.conftest import config

PATIENT = TimeoutsConfig(connect=5, first_token=30, idle=30, total=60)


def patient(*urls: str, **fields: Any) -> ServiceConfig:
    """As `config`, with time."""
    return config(*urls, timeouts=PATIENT, **fields)
