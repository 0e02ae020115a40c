"""What a database holds, table by table: rows and a checksum that is the same wherever the rows are.

The checksum is the sum of the SHA-256 of each row's text, so the order of rows does not matter while
each row, and how often it is there, does. The settings below make the text of a value depend on the
value alone.
"""

import psycopg
from psycopg import sql

from aiapp_service.backup.manifest import TableContent

_SETTINGS = {
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "lc_monetary": "C",
    "search_path": "",
    "row_security": "off",  # an error is better than rows that are left out
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}
_OURS = """n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' AND c.relpersistence <> 't'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                  WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')"""
_TABLES = f"""SELECT n.nspname, c.relname
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND {_OURS} ORDER BY 1, 2"""  # noqa: S608  # made of constants
_ANYTHING = f"""SELECT pg_catalog.count(*)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND {_OURS}"""  # noqa: S608  # made of constants
_CONTENT = sql.SQL(
    "SELECT count(*), coalesce(sum(('x' || encode(substr(hash, 1, 8), 'hex'))::bit(64)::bigint), 0), "
    "coalesce(sum(('x' || encode(substr(hash, 9, 8), 'hex'))::bit(64)::bigint), 0) "
    "FROM (SELECT sha256(convert_to((aiapp_row.*)::text, 'UTF8')) AS hash FROM ONLY {} AS aiapp_row) AS hashed"
)
_HALF = 1 << 64


def prepare(connection: psycopg.Connection) -> None:
    """Set the connection so that rows read the same everywhere and nothing cuts a long look off."""
    for name, value in _SETTINGS.items():
        connection.execute("SELECT pg_catalog.set_config(%s, %s, false)", (name, value))


def tables(connection: psycopg.Connection) -> tuple[TableContent, ...]:
    """Every table that is dumped, by name; as the transaction of the (prepared) connection sees it."""
    found = connection.execute(_TABLES).fetchall()
    return tuple(_content(connection, schema, name) for schema, name in found)


def relations(connection: psycopg.Connection) -> int:
    """How many tables, views and sequences there are that belong to no extension."""
    row = connection.execute(_ANYTHING).fetchone()
    return int(row[0]) if row else 0


def differences(expected: tuple[TableContent, ...], found: tuple[TableContent, ...]) -> list[str]:
    """What differs, a sentence for each table."""
    wanted, there = ({table.name: table for table in tables_} for tables_ in (expected, found))
    said = []
    for name in sorted(wanted | there):
        left, right = wanted.get(name), there.get(name)
        if left is None:
            said.append(f"{name} is not in the backup")
        elif right is None:
            said.append(f"{name} is missing")
        elif left.rows != right.rows:
            said.append(f"{name} has {right.rows} rows instead of {left.rows}")
        elif left.checksum != right.checksum:
            said.append(f"{name} has other content")
    return said


def _content(connection: psycopg.Connection, schema: str, name: str) -> TableContent:
    row = connection.execute(_CONTENT.format(sql.Identifier(schema, name))).fetchone()
    assert row is not None  # noqa: S101  # an aggregate always gives a row
    rows, first, second = (int(value) for value in row)
    return TableContent(name=f"{schema}.{name}", rows=rows, checksum=f"{first % _HALF:016x}{second % _HALF:016x}")
