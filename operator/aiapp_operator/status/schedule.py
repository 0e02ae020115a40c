"""When a schedule of five cron fields was due: enough to say that something is overdue."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
# The rarest date there is, the 29th of February, comes at least once in so many days.
_MOST_DAYS = 8 * 366 + 1


def before(schedule: str, moment: datetime) -> Iterator[datetime]:
    """The times that `schedule` (checked by the CRD's pattern) was due at, in UTC, going back from `moment`."""
    minutes, hours, days, months, weekdays = (
        _values(field, *bounds) for field, bounds in zip(schedule.split(" "), _RANGES, strict=True)
    )
    # As cron has it: with both given, a day has to fit one of them.
    either = not (schedule.split(" ")[2].startswith("*") or schedule.split(" ")[4].startswith("*"))
    midnight = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for back in range(_MOST_DAYS):
        day = midnight - timedelta(days=back)
        fits = (day.day in days, day.isoweekday() % 7 in weekdays)
        if day.month in months and (any(fits) if either else all(fits)):
            for hour in sorted(hours, reverse=True):
                for minute in sorted(minutes, reverse=True):
                    due = day.replace(hour=hour, minute=minute)
                    if due <= moment:
                        yield due


def _values(field: str, lowest: int, highest: int) -> frozenset[int]:
    found: set[int] = set()
    for item in field.split(","):
        span, _, step = item.partition("/")
        first, _, last = span.partition("-")
        if span == "*":
            start, end = lowest, highest
        else:
            start = int(first)
            end = int(last) if last else (highest if step else start)
        found.update(range(start, end + 1, int(step or 1)))
    return frozenset(found)
