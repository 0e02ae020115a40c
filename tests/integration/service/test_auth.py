"""API keys: right, wrong, absent, rotated."""

import openai
import pytest

from aiapp_service.auth import api_keys
from aiapp_service.config import AuthConfig
from tests.integration.service.conftest import Serve, config

NOBODY = "http://127.0.0.1:9/v1"


@pytest.fixture(autouse=True)
def _look_each_time(monkeypatch):
    monkeypatch.setattr(api_keys, "RECHECK_SECONDS", 0.0)


async def test_key_opens_wrong_key_does_not_and_rotation_needs_no_restart(serve: Serve, tmp_path) -> None:
    file = tmp_path / "alice"
    file.write_text("old-key")
    async with (
        serve(config(NOBODY, auth=AuthConfig(api_keys_dir=tmp_path))) as api,
        api.sdk("old-key") as old,
        api.sdk("new-key") as new,
    ):
        assert (await old.models.list()).data
        with pytest.raises(openai.AuthenticationError) as caught:
            await new.models.list()
        assert caught.value.code == "invalid_api_key"
        assert caught.value.response.headers["www-authenticate"] == "Bearer"
        file.write_text("new-key")
        assert (await new.models.list()).data
        with pytest.raises(openai.AuthenticationError):
            await old.models.list()


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Basic old-key", "old-key", "Bearer wrong", "Bearer old-key\u00e9", "bearer  "],
)
async def test_whatever_else_is_refused(serve: Serve, tmp_path, header) -> None:
    (tmp_path / "alice").write_text("old-key")
    headers = {} if header is None else {"Authorization": header}
    async with serve(config(NOBODY, auth=AuthConfig(api_keys_dir=tmp_path))) as api:
        for path in ("models", "chat/completions", "no/such/path"):
            async with api.http.get(f"{api.url}/v1/{path}", headers=headers) as answer:
                assert answer.status == 401
                assert (await answer.json())["error"]["code"] == "invalid_api_key"


async def test_without_keys_and_without_anonymous_nobody_gets_in(serve: Serve) -> None:
    async with serve(config(NOBODY, auth=AuthConfig())) as api:
        async with api.http.get(f"{api.url}/v1/models", headers={"Authorization": "Bearer x"}) as answer:
            assert answer.status == 401
        async with api.http.get(f"{api.url}/livez") as answer:
            assert answer.status == 200
