"""The days and months of budgets, in UTC by this replica's clock."""

from datetime import UTC, datetime, timedelta

from aiapp_service.config import BudgetPeriod


class Calendar:
    """Which period it is. Asked once a request, so that it works out only what has changed."""

    def __init__(self) -> None:
        self._known: dict[BudgetPeriod, tuple[str, datetime]] = {}
        self._until = 0.0

    def at(self, seconds: float, period: BudgetPeriod) -> tuple[str, datetime]:
        """Name and end of the period at a time since 1970: `2026-11-24` or `2026-11`, and when the next one begins."""
        if not self._until - 86_400 <= seconds < self._until:
            day = datetime.fromtimestamp(seconds, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
            tomorrow = day + timedelta(days=1)
            self._known = {
                BudgetPeriod.DAY: (f"{day:%Y-%m-%d}", tomorrow),
                BudgetPeriod.MONTH: (f"{day:%Y-%m}", (day.replace(day=1) + timedelta(days=32)).replace(day=1)),
            }
            self._until = tomorrow.timestamp()
        return self._known[period]
