"""Building blocks of the API types: the strict base model, CEL rules, quantities, names, references."""

from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel


class Rule(NamedTuple):
    """One `x-kubernetes-validations` entry: a CEL expression and what the user should do when it is false.

    `message_expression` is CEL too; where given it wins over `message`, as in Kubernetes.
    """

    rule: str
    message: str
    message_expression: str = ""


class ApiModel(BaseModel):
    """Base of all API types: camelCase names, unknown fields refused, immutable once read.

    `cel` holds the rules that the API server checks at this level of the object.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)
    cel: ClassVar[tuple[Rule, ...]] = ()


QUANTITY_PATTERN = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)


def _int_to_str(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


# Kubernetes accepts `cpu: 2` as well as `cpu: "2"`; inside it is always text.
Quantity = Annotated[
    str,
    BeforeValidator(_int_to_str),
    Field(pattern=QUANTITY_PATTERN, max_length=32),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": QUANTITY_PATTERN,
            "maxLength": 32,
            "x-kubernetes-int-or-string": True,
        }
    ),
]
StorageSize = Quantity

# A DNS label that also fits behind the app's name in the name of a Service (63 characters).
PartName = Annotated[str, Field(min_length=1, max_length=30, pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$")]
# What clients send as "model": may hold dots, slashes and colons, as model names of the field do.
ModelName = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.:/]*[A-Za-z0-9])?$")]
ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
SecretKey = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
Image = Annotated[str, Field(max_length=512, pattern=r"^$|^[A-Za-z0-9]([-A-Za-z0-9_./:@]*[A-Za-z0-9])?$")]
Duration = Annotated[str, Field(max_length=32, pattern=r"^([0-9]+(ms|s|m|h))+$")]
Decimal = Annotated[str, Field(max_length=20, pattern=r"^[0-9]+(\.[0-9]{1,12})?$")]
Argument = Annotated[str, Field(max_length=4096)]


class SecretRef(ApiModel):
    """A Secret of the AIApp's own namespace."""

    name: ObjectName = Field(description="Name of a Secret in the namespace of this AIApp.")


class SecretKeyRef(SecretRef):
    """One key of a Secret of the AIApp's own namespace."""

    key: SecretKey = Field(description="Key inside the Secret's data.")


class Resources(ApiModel):
    """Compute resources of a container, in Kubernetes quantities."""

    requests: dict[str, Quantity] = Field(
        default_factory=dict,
        max_length=16,
        description="What the scheduler reserves, for example cpu: 500m, memory: 1Gi.",
    )
    limits: dict[str, Quantity] = Field(
        default_factory=dict,
        max_length=16,
        description="What the container may use at most, for example memory: 2Gi.",
    )


class Storage(ApiModel):
    """A persistent volume: it can grow, it never shrinks and never changes its class."""

    size: StorageSize = Field(
        default="10Gi",
        description="Size of the volume. Can be raised later where the storage class allows it, never lowered.",
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": "quantity(string(self)).compareTo(quantity('0')) > 0",
                    "message": "size has to be more than 0",
                },
                {
                    "rule": "quantity(string(self)).compareTo(quantity(string(oldSelf))) >= 0",
                    "message": "size cannot shrink: restore the larger size, or move the data to a new AIApp",
                },
            ]
        },
    )
    storage_class_name: Annotated[str, Field(max_length=253)] = Field(
        default="",
        description="Storage class of the volume; empty means the cluster's default class. Cannot change.",
    )
    cel: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "(has(self.storageClassName) ? self.storageClassName : '') == "
            "(has(oldSelf.storageClassName) ? oldSelf.storageClassName : '')",
            "storageClassName cannot change: set it back, or move the data to a new AIApp",
        ),
    )


class Toggle(ApiModel):
    """A part that can be left out."""

    enabled: bool = Field(default=True, description="false leaves this part out and removes what was made for it.")
