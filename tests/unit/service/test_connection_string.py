"""A URL out of a Secret reaches libpq as it was meant."""

from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from aiapp_service.db.connect import connection_string, read_url


@pytest.mark.parametrize(
    ("url", "field", "value"),
    [
        ("postgresql://u:p@h/d?options=-crole%3Da%20-csearch_path%3Db%2Cc", "options", "-crole=a -csearch_path=b,c"),
        ("postgresql://u:p@h/d?application_name=a%2Bb", "application_name", "a+b"),
        ("postgresql://u:a%2Bb%3Fc%40@h/d?sslmode=require", "password", "a+b?c@"),
        ("postgresql://u@h:6432/d", "port", "6432"),
    ],
)
def test_parts_are_as_written(tmp_path: Path, url: str, field: str, value: str) -> None:
    file = tmp_path / "url"
    file.write_text(url)
    assert conninfo_to_dict(connection_string(read_url(file)))[field] == value
