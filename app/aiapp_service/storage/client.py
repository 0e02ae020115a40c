"""A client of the S3 API: deadlines, retries, and an access key that is read again when its files change."""

import asyncio
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TYPE_CHECKING

from aiobotocore.config import AioConfig
from aiobotocore.credentials import AioCredentials
from aiobotocore.session import AioSession
from botocore.credentials import ReadOnlyCredentials

from aiapp_service.config import ObjectStoreConfig
from aiapp_service.credentials import SecretFile
from aiapp_service.storage.failures import ObjectStoreRefused

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

CONNECT_SECONDS = 2.0
# Between two pieces of an answer.
READ_SECONDS = 10.0
TRIES = 3
# One for each transfer under way.
MOST_CONNECTIONS = 64


class _FileCredentials(AioCredentials):  # type: ignore[misc]  # the library says nothing of its types
    """The access key as it stands in the files when a request is signed."""

    def __init__(self, config: ObjectStoreConfig) -> None:
        super().__init__("", "", method="files")
        self._access, self._secret = SecretFile(config.access_key_file), SecretFile(config.secret_key_file)

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Both halves now.

        Raises:
            ObjectStoreRefused: a file is not there, or empty.
        """
        access, secret = self._access.get(), self._secret.get()
        if not access or not secret:
            missing = "AWS_SECRET_ACCESS_KEY" if access else "AWS_ACCESS_KEY_ID"
            raise ObjectStoreRefused(
                f"there is no {missing}: put it into the Secret of spec.objectStore.s3.credentialsSecretRef"
            )
        return ReadOnlyCredentials(access, secret, None)


class _FileProvider:
    """The one place where credentials are looked for: not the environment, nor the machine's identity."""

    METHOD = CANONICAL_NAME = "files"

    def __init__(self, config: ObjectStoreConfig) -> None:
        self._credentials = _FileCredentials(config)

    async def load(self) -> AioCredentials:
        return self._credentials


class LazyClient:
    """Opened with the first call: the library takes a while to read what it knows of S3."""

    def __init__(self, config: ObjectStoreConfig) -> None:
        self._config = config
        self._open: S3Client | None = None
        self._opening = asyncio.Lock()
        self._exits = AsyncExitStack()

    async def get(self) -> "S3Client":
        """The client."""
        if self._open is None:
            async with self._opening:
                if self._open is None:
                    self._open = await self._exits.enter_async_context(self._made())
        return self._open

    async def close(self) -> None:
        """Give up the connections."""
        self._open = None
        await self._exits.aclose()

    def _made(self) -> "AbstractAsyncContextManager[S3Client]":
        config, session = self._config, AioSession()
        resolver = session.get_component("credential_provider")
        resolver.providers = [_FileProvider(config)]
        return session.create_client(  # type: ignore[no-any-return]  # its stubs come without the session
            "s3",
            region_name=config.region,
            endpoint_url=config.endpoint,
            config=AioConfig(
                connect_timeout=CONNECT_SECONDS,
                read_timeout=READ_SECONDS,
                retries={"mode": "standard", "total_max_attempts": TRIES},
                max_pool_connections=MOST_CONNECTIONS,
                s3={"addressing_style": config.addressing},
                signature_version="s3v4",
                # Not every store knows the checksums that AWS has added; what is read back is compared by us.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                ignore_configured_endpoint_urls=True,
                warm_up_loader_caches=True,
            ),
        )
