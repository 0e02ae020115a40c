"""How clients say that they want no answer from a cache.

Cache-Control: no-cache     a new answer, which is then the one that is kept
Cache-Control: no-store     neither give a kept answer nor keep this one
{"x_cache": false}          the same, for clients that cannot set headers
"""

from collections.abc import Mapping
from typing import Any

from aiapp_service.http.errors import bad_request
from aiapp_service.pipeline.call import Caching

FIELD = "x_cache"


def caching_of(headers: Mapping[str, str], body: dict[str, Any]) -> Caching:
    """What this request allows; takes the field, which is ours alone, out of `body`.

    Raises:
        ApiError: the field is something else than true, false or null.
    """
    wanted = body.pop(FIELD, None)
    if wanted is not None and not isinstance(wanted, bool):
        raise bad_request(f"{FIELD} has to be true or false", FIELD)
    if wanted is False:
        return Caching.OFF
    given = headers.get("Cache-Control")
    if not given:
        return Caching.USE
    directives = {directive.strip().lower() for directive in given.split(",")}
    if "no-store" in directives:
        return Caching.OFF
    return Caching.REFRESH if "no-cache" in directives else Caching.USE
