"""What is kept in the cache is found again only while it is made of the same."""

from tests.cluster import gotools
from tests.cluster.gotools import TOOLS, GoTool
from tests.cluster.images import catalogue, pause_ref


def test_key_of_a_program_follows_its_modules(tmp_path, monkeypatch):
    monkeypatch.setattr(gotools, "MODULES", tmp_path)
    (tmp_path / "tool").mkdir()
    (tmp_path / "tool" / "go.mod").write_text("module a\n")
    (tmp_path / "tool" / "go.sum").write_text("")
    tool = GoTool("tool", {"tool": "."})
    keys = {tool.key}
    (tmp_path / "tool" / "go.sum").write_text("x v1 h1:=\n")
    keys |= {tool.key, GoTool("tool", {"tool": "./cmd"}).key, GoTool("tool", {"tool": "."}, "-X a=b").key}
    assert len(keys) == 4


def test_every_program_has_one_tool():
    names = [program for tool in TOOLS.values() for program in tool.binaries]
    assert len(names) == len(set(names))


def test_references_are_stable_and_differ():
    refs = {name: image.ref for name, image in catalogue().items()}
    assert refs == {name: image.ref for name, image in catalogue().items()}
    assert len(set(refs.values())) == len(refs)
    assert refs["pause"] == pause_ref()
