"""JSONSchema: the content of an answer is JSON that fits a schema. It is known when the answer is complete.

An answer that only calls tools has no content, and passes.
"""

import json

import jsonschema
from jsonschema.protocols import Validator

from aiapp_service.files import Unusable, WatchedFile
from aiapp_service.guardrails.passage import Place, Unavailable


class SchemaFile:
    """A schema in a file, read again when it changes. While there is none answers pass if `fail_open`."""

    def __init__(self, file: WatchedFile[Validator], *, fail_open: bool) -> None:
        self._file = file
        self._fail_open = fail_open

    def fits(self, text: str) -> bool:
        """Whether `text` is JSON that the schema allows.

        Raises:
            Unavailable: there is no schema, and answers must not pass without.
        """
        try:
            validator = self._file.get()
        except Unusable as error:
            if self._fail_open:
                return True
            raise Unavailable(str(error)) from error
        try:
            return bool(validator.is_valid(json.loads(text)))
        except (ValueError, RecursionError):
            return False


class JsonSchema:
    """Gathers the content of one choice."""

    def __init__(self, schema: SchemaFile) -> None:
        self.violated = False
        self._schema = schema
        self._content: list[str] = []
        self._calls_tools = False

    def feed(self, place: Place, text: str) -> str:
        """The text."""
        if place.field == "content":
            self._content.append(text)
        elif place.field == "arguments":
            self._calls_tools = True
        return text

    def finish(self, _place: Place) -> str:
        """Nothing was held back."""
        return ""

    async def conclude(self) -> None:
        """Look at what has become of it."""
        content = "".join(self._content)
        if content or not self._calls_tools:
            self.violated = not self._schema.fits(content)


def validator(content: str) -> Validator:
    """Of the text of a schema. Raises ValueError where it is none."""
    schema = json.loads(content)
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise ValueError(f"{'.'.join(map(str, error.absolute_path)) or 'the schema'}: {error.message}") from error
    return kind(schema)
