"""What all sections of the configuration have in common."""

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel

# US dollars. Decimal strings, so that nothing is rounded on the way.
Dollars = Annotated[Decimal, Field(ge=0), PlainSerializer(str, when_used="json")]


class Section(BaseModel):
    """Base of all sections: camelCase names, unknown fields refused, immutable once read."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class WrongConfig(ValueError):
    """The service cannot work with its configuration; the message names what is wrong."""
