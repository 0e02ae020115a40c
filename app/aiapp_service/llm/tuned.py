"""Models that came of fine-tuning: they route like configured ones, for the tenant that had them made."""

from collections.abc import Sequence
from dataclasses import dataclass

from aiapp_service.config import BackendConfig, ModelConfig, ServiceConfig


@dataclass(frozen=True)
class Tuned:
    """A row of table `tuned_models`: made of the app's model `base`; its provider names it `model`."""

    name: str
    tenant: str
    base: str
    provider: str
    model: str


class TunedModel(ModelConfig):
    """As a model of the configuration."""

    tenant: str
    base: str


def joined(config: ServiceConfig, tuned: Sequence[Tuned]) -> ServiceConfig:
    """`config` with these models; those whose provider or base is not there any more are left out."""
    models = {model.name: model for model in config.models}
    providers = {provider.name for provider in config.providers}
    more = [
        TunedModel(
            name=one.name,
            kind=models[one.base].kind,
            backends=(BackendConfig(provider=one.provider, model=one.model),),
            timeouts=models[one.base].timeouts,
            tenant=one.tenant,
            base=one.base,
        )
        for one in tuned
        if one.provider in providers and one.base in models and one.name not in models
    ]
    return config.model_copy(update={"models": (*config.models, *more)}) if more else config
