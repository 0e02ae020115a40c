"""The statements of one migration as SQL, without a database."""

import importlib.util
import io
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext

_DIALECT = "postgresql"


class _Database:
    """What a migration that asks its database gets: no table is there but its own, no column, everything else is."""

    def __init__(self, context: MigrationContext) -> None:
        self._context = context

    def scalar(self, question: Any, _parameters: Any = None) -> bool | None:
        words = str(question)
        if "EXISTS" in words:
            return False
        return None if "to_regclass" in words and "IS NOT NULL" not in words else True

    def execute(self, statement: Any, _parameters: Any = None) -> None:
        self._context.impl.static_output(f"{str(statement).strip()};")

    def begin_nested(self) -> nullcontext[None]:
        return nullcontext()


def load(file: Path) -> ModuleType:
    """The module of a migration."""
    spec = importlib.util.spec_from_file_location(f"migration_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def statements(migration: ModuleType) -> str:
    """The SQL of `upgrade`, in a transaction but for what is in autocommit blocks."""
    output = io.StringIO()
    options = {"as_sql": True, "output_buffer": output, "transactional_ddl": True, "transaction_per_migration": True}
    context = MigrationContext.configure(dialect_name=_DIALECT, opts=options)
    context.impl.connection = _Database(context)
    with Operations.context(context), context.begin_transaction(_per_migration=True):
        migration.upgrade()
    return output.getvalue()
