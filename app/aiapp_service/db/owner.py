"""Which AIApp the tables of a database belong to, where people choose the database: two would mix their tenants.

It is said in a table of the schema that the tables are in, made by whoever migrates first. That need not be the first
schema of the search_path: tables that are there already are found further down in it, and would be used.
"""

from sqlalchemy import Connection, text

TABLE = "aiapp_owner"
_SCHEMA = """
    SELECT coalesce((SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = to_regclass('alembic_version')),
        quote_ident(current_schema()))
"""


class SomebodyElses(Exception):
    """The tables are another AIApp's. The message says what to do."""


def claim(connection: Connection, app: str) -> None:
    """Make the tables that `connection` sees, or would make, `app`'s, if they are nobody's.

    Raises:
        SomebodyElses: they are another one's.
    """
    schema = connection.scalar(text(_SCHEMA))
    if schema is None:
        raise SomebodyElses("postgres.external: no schema of the search_path is there in this database: create one")
    table = f"{schema}.{TABLE}"
    connection.execute(text(f"CREATE TABLE IF NOT EXISTS {table} (app text PRIMARY KEY)"))
    owner = connection.scalar(text(f"SELECT app FROM {table}"))  # noqa: S608  # quoted by PostgreSQL
    if owner is None:
        connection.execute(text(f"INSERT INTO {table} (app) VALUES (:app)"), {"app": app})  # noqa: S608  # as above
    elif owner != app:
        raise SomebodyElses(
            f"postgres.external: the tables in schema {schema} are those of the AIApp {owner}: give each AIApp a"
            f" database of its own, or a schema and no other's (?options=-csearch_path%3DSCHEMA in its URL); if"
            f" {owner} is gone for good, run: DROP TABLE {table}"
        )
