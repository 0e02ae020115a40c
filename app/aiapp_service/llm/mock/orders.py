"""What a request orders of the mock in its field `x_mock`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiapp_service.llm.translated import dicts


@dataclass(frozen=True)
class Orders:
    """What is not there, or of another type, keeps its default. `statuses` are for the first requests or for all."""

    delay_seconds: float = 0.0
    token_seconds: float = 0.0
    tokens: int | None = None
    calls: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    finish_reason: str | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    statuses: tuple[int, ...] = ()
    always: bool = False
    retry_after: str | None = None
    drop_after: int | None = None

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> "Orders":
        """Read the field."""
        given = body.get("x_mock")
        fields = given if isinstance(given, dict) else {}
        status, finish = fields.get("status"), fields.get("finish_reason")
        retry_after = _number(fields, "retry_after")
        return cls(
            delay_seconds=_number(fields, "delay_seconds") or 0.0,
            token_seconds=_number(fields, "token_seconds") or 0.0,
            tokens=_count(fields, "tokens"),
            calls=_calls(fields.get("tool_call")),
            finish_reason=finish if isinstance(finish, str) else None,
            cached_tokens=_count(fields, "cached_tokens"),
            reasoning_tokens=_count(fields, "reasoning_tokens"),
            statuses=_statuses(status if isinstance(status, list) else [status]),
            always=not isinstance(status, list),
            retry_after=None if retry_after is None else f"{retry_after:g}",
            drop_after=_count(fields, "drop_after"),
        )


def _number(fields: Mapping[str, Any], name: str) -> float | None:
    value = fields.get(name)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0 else None


def _count(fields: Mapping[str, Any], name: str) -> int | None:
    value = _number(fields, name)
    return None if value is None else int(value)


def _statuses(given: list[Any]) -> tuple[int, ...]:
    return tuple(status for status in given if isinstance(status, int) and 100 <= status <= 599)


def _calls(given: Any) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    wanted = dicts(given if isinstance(given, list) else [given])
    calls = [(call.get("name"), call.get("arguments", {})) for call in wanted]
    return tuple((name, args) for name, args in calls if isinstance(name, str) and isinstance(args, dict))
