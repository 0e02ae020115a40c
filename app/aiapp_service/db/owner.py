"""Which AIApp the tables of a database belong to, where people choose the database: two would mix their tenants.

It is said in a table of the schema that the tables are in, made by whoever migrates first.
"""

from sqlalchemy import Connection, text

TABLE = "aiapp_owner"
_SCHEMA = "SELECT current_schema()"
_MADE = f"CREATE TABLE IF NOT EXISTS {TABLE} (app text PRIMARY KEY)"
_OWNER = f"SELECT app FROM {TABLE}"  # noqa: S608  # made of constants
_CLAIM = f"INSERT INTO {TABLE} (app) VALUES (:app)"  # noqa: S608  # as above


class SomebodyElses(Exception):
    """The tables are another AIApp's. The message says what to do."""


def claim(connection: Connection, app: str) -> None:
    """Make the schema that `connection` works in `app`'s, if it is nobody's.

    Raises:
        SomebodyElses: it is another one's.
    """
    schema = connection.scalar(text(_SCHEMA))
    if schema is None:
        raise SomebodyElses("postgres.external: there is no schema of the search_path in this database: create it")
    connection.execute(text(_MADE))
    owner = connection.scalar(text(_OWNER))
    if owner is None:
        connection.execute(text(_CLAIM), {"app": app})
    elif owner != app:
        # The transaction is rolled back, and the table with it if it is new.
        raise SomebodyElses(
            f"postgres.external: schema {schema} of this database is used by the AIApp {owner}: give each AIApp a"
            f" database of its own, or a schema (?options=-csearch_path%3DSCHEMA in its URL); if {owner} is gone for"
            f" good, run: DROP TABLE {schema}.{TABLE}"
        )
