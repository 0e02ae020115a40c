"""Filters as conditions of PostgreSQL on a column of attributes; all values are parameters."""

from psycopg import sql
from psycopg.types.json import Jsonb

from aiapp_service.retrieval.filters import Comparison, Compound, Filter, Operator

_ORDER = {Operator.GT: ">", Operator.GTE: ">=", Operator.LT: "<", Operator.LTE: "<="}


def condition(filter_: Filter, column: sql.Composable, values: dict[str, object]) -> sql.Composable:
    """The condition; its parameters are added to `values`."""
    if isinstance(filter_, Compound):
        parts = [condition(part, column, values) for part in filter_.parts]
        return sql.SQL("({})").format(sql.SQL(" AND " if filter_.all else " OR ").join(parts))
    return _comparison(filter_, column, values)


def _comparison(filter_: Comparison, column: sql.Composable, values: dict[str, object]) -> sql.Composable:
    operator, plain = filter_.operator, [Jsonb(value) for value in filter_.values]
    found = sql.SQL("({} -> {})").format(column, _parameter(filter_.key, values))
    if operator.orders:
        # Numbers and texts have an order among each other, which nobody means.
        pattern = sql.SQL("(jsonb_typeof({0}) = 'number' AND {0} {1} {2})")
        return pattern.format(found, sql.SQL(_ORDER[operator]), _parameter(plain[0], values))
    listed = _parameter(plain, values)
    if operator in (Operator.EQ, Operator.IN):
        return sql.SQL("coalesce({} = ANY({}::jsonb[]), false)").format(found, listed)
    return sql.SQL("coalesce({} <> ALL({}::jsonb[]), true)").format(found, listed)


def _parameter(value: object, values: dict[str, object]) -> sql.Placeholder:
    name = f"filter_{len(values)}"
    values[name] = value
    return sql.Placeholder(name)
