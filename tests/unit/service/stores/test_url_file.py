"""The newest URL first, and the last that worked while the newest is refused or away."""

import pytest

from aiapp_service.stores.url_file import UrlFile


def test_the_last_good_one_is_the_second_choice(tmp_path):
    file = tmp_path / "url"
    urls = UrlFile(file)
    with pytest.raises(OSError, match="No such file"):
        urls.candidates()
    file.write_text("one\n", encoding="utf-8")
    assert urls.candidates() == ["one"]
    urls.worked("one")
    file.write_text("two", encoding="utf-8")
    assert urls.candidates() == ["two", "one"]
    file.unlink()
    assert urls.candidates() == ["one"]
    file.write_text("two", encoding="utf-8")
    urls.worked("two")
    assert urls.candidates() == ["two"]
