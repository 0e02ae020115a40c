"""What templates may do, and what values of variables may not."""

import pytest

from aiapp_service.config import PromptConfig, WrongConfig
from aiapp_service.files import Unusable, WatchedFiles
from aiapp_service.prompts.library import Library, Unknown
from aiapp_service.prompts.template import MOST_RENDERED, NotRendered, parse

HEAD = """---
parameters: {temperature: 0.2, model: chat}
messages:
  - {role: user, content: "Who are you, {{ name }}?"}
---
You are {{ name }}.
"""


def said(text: str, **variables: object) -> str:
    return str(parse(text).render(variables)[0]["content"])


def test_plain_text_is_the_system_message():
    assert parse("Hello {{ name }}.").render({"name": "Bob"}) == [{"role": "system", "content": "Hello Bob."}]


def test_head_has_parameters_and_messages():
    template = parse(HEAD)
    assert template.parameters == {"temperature": 0.2, "model": "chat"}
    assert template.variables == {"name"}
    assert template.render({"name": "Eve"}) == [
        {"role": "system", "content": "You are Eve."},
        {"role": "user", "content": "Who are you, Eve?"},
    ]


def test_head_alone():
    template = parse("---\nmessages: [{role: assistant, content: hi}]\n")
    assert template.render({}) == [{"role": "assistant", "content": "hi"}]


def test_rule_amid_a_text_is_no_head():
    assert said("a\n---\nb") == "a\n---\nb"


@pytest.mark.parametrize(
    "value",
    ["{{ 7 * 7 }}", "{% for x in range(9) %}x{% endfor %}", "{# no #}", "---\nmessages: []\n---", "<b>&</b>"],
)
def test_values_are_data(value: str):
    assert said("<{{ value }}>", value=value) == f"<{value}>"


@pytest.mark.parametrize(
    ("template", "variables", "expected"),
    [
        ("{% for x in list %}{{ loop.index }}{{ x.name }} {% endfor %}", {"list": [{"name": "a"}]}, "1a "),
        ("{{ name | default('nobody') }}", {}, "nobody"),
        ("{{ list | join(', ') | upper }}", {"list": ["a", "b"]}, "A, B"),
        ("{{ 2 * number }}", {"number": 3}, "6"),
        ("{% set ns = namespace(n=0) %}{% for x in [1, 2] %}{% set ns.n = ns.n + x %}{% endfor %}{{ ns.n }}", {}, "3"),
        ("{{ data | tojson }}", {"data": {"a": [1, None]}}, '{"a": [1, null]}'),
    ],
)
def test_language(template: str, variables: dict[str, object], expected: str):
    assert said(template, **variables) == expected


@pytest.mark.parametrize(
    ("template", "variables", "words"),
    [
        ("{{ city }}", {}, "'city' is undefined"),
        ("{{ user.city }}", {"user": {}}, "'city'"),
        ("{{ city }}", {"city": "x", "town": "y"}, "no variable 'town'; there are: city"),
        ("plain", {"x": 1}, "no variable 'x'; there are: none"),
        ("{{ range(2) | list }}", {"range": 1}, "no variable 'range'; there are: none"),
        ("{{ x + 1 }}", {"x": "a"}, "TypeError"),
        ("{{ 1 / x }}", {"x": 0}, "ZeroDivisionError"),
        ("{{ x * 1000000000 }}", {"x": "a"}, "SecurityError"),
        ("{{ 9 ** x }}", {"x": 999999999}, "SecurityError"),
        ("{{ [0] * 1000000000 }}", {}, "SecurityError"),
        ("{% for a in range(100000) %}{% for b in range(100) %}{{ x }}{% endfor %}{% endfor %}", {"x": "a"}, "longer"),
        ("{{ range(1000000) | list }}", {}, "OverflowError"),
        ("{{ x }}", {"x": "a" * (MOST_RENDERED + 1)}, "longer"),
        ("{{ x.__class__ }}", {"x": "a"}, "SecurityError|undefined"),
        ("{{ x.__class__.__mro__ }}", {"x": "a"}, "SecurityError|undefined|unsafe"),
        ("{{ x['__class__'].__base__ }}", {"x": "a"}, "SecurityError|undefined|unsafe"),
        ("{{ x | attr('__class__') }}", {"x": "a"}, "SecurityError|undefined|unsafe"),
        ("{{ x.format(1) }}", {"x": "{0.__class__}"}, "SecurityError|undefined|unsafe"),
        ("{{ x.append(1) }}", {"x": []}, "SecurityError|undefined|unsafe"),
        ("{{ self.__init__ }}", {}, "SecurityError|undefined|unsafe"),
        ("{{ namespace.__init__.__globals__ }}", {}, "SecurityError|undefined|unsafe"),
        ("{{ range.__self__ }}", {}, "no attribute"),
    ],
)
def test_what_cannot_be_rendered(template: str, variables: dict[str, object], words: str):
    with pytest.raises(NotRendered, match=words):
        parse(template).render(variables)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "neither a text nor a message"),
        ("{{ a", "line 1"),
        ("a\n{% if %}", "line 2"),
        ("{{ x | nofilter }}", "nofilter"),
        ("{{ x | center(1000000000) }}", "center"),
        ("{% include 'other' %}", "take in others"),
        ("{% import 'other' as o %}", "take in others"),
        ("---\nparameter: {}\n---\nx", "parameter: Extra inputs"),
        ("---\nmessages: [{role: tool, content: x}]\n---\n", "messages.0.role"),
        ("---\nparameters: {stream: true}\n---\nx", "parameters.stream"),
        ("---\n[\n---\nx", "head:"),
    ],
)
def test_what_is_no_template(text: str, words: str):
    with pytest.raises(ValueError, match=words):
        parse(text)


def test_highest_version_in_natural_order(tmp_path):
    versions = ["1", "9", "10", "2.10", "2.9", "10-beta"]
    for version in versions:
        (tmp_path / version).write_text(f"version {version}")
    library = Library([PromptConfig(name="p", version=v, file=tmp_path / v) for v in versions], WatchedFiles())
    assert library.find("p", None)[0] == "10-beta"
    assert library.find("p", "2.9")[1].render({})[0]["content"] == "version 2.9"
    with pytest.raises(Unknown, match=r"no version '3'; there are: 1, 2\.9, 2\.10, 9, 10, 10-beta"):
        library.find("p", "3")
    with pytest.raises(Unknown, match="no prompt 'q'; there are: p"):
        library.find("q", None)


def test_what_is_wrong_is_named(tmp_path):
    file = tmp_path / "p.md"
    prompt = PromptConfig(name="p", version="1", file=file)
    library = Library([prompt], WatchedFiles())
    with pytest.raises(Unusable, match="prompt p version 1 cannot be used: its file is missing"):
        library.find("p", None)
    file.write_text("x")
    with pytest.raises(WrongConfig, match="prompt p: version 1 is there twice"):
        Library([prompt, prompt], WatchedFiles())
