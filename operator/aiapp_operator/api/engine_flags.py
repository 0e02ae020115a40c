"""Flags of engines that the operator sets itself, with what to do instead of giving them in `args`.

One table for both places that refuse them: the API server, by a CEL rule, and the builder, for what was never stored.
"""

from aiapp_operator.api.base import Rule

_NO_KEY = "remove it: only pods of this AIApp reach the engine, and they send no key; clients do, see api.auth"
_HOST = "remove it: the engine listens on all addresses of its pod"
_PORT = "set port"
_NAME = "set name: clients ask for an entry of spec.models"
_SOURCE = "set model.source"
_REVISION = "set model.revision"
_GPUS = "set gpu.count"
_CONTEXT = "set contextLength"
_ADAPTERS = "set adapters"

# By engine, as in the spec; flags with dashes, whichever way they are written.
OWNED: dict[str, dict[str, str]] = {
    "vLLM": {
        "--host": _HOST,
        "--port": _PORT,
        "--model": _SOURCE,
        "--revision": _REVISION,
        "--served-model-name": _NAME,
        "--tensor-parallel-size": _GPUS,
        "-tp": _GPUS,
        "--max-model-len": _CONTEXT,
        "--api-key": _NO_KEY,
        "--enable-lora": _ADAPTERS,
        "--lora-modules": _ADAPTERS,
    },
    "SGLang": {
        "--host": _HOST,
        "--port": _PORT,
        "--model-path": _SOURCE,
        "--model": _SOURCE,
        "--revision": _REVISION,
        "--served-model-name": _NAME,
        "--tensor-parallel-size": _GPUS,
        "--tp-size": _GPUS,
        "--tp": _GPUS,
        "--context-length": _CONTEXT,
        "--api-key": _NO_KEY,
    },
    "llamaCpp": {
        "--host": _HOST,
        "--port": _PORT,
        "--model": _SOURCE,
        "-m": _SOURCE,
        "--model-url": _SOURCE,
        "-mu": _SOURCE,
        "--hf-repo": _SOURCE,
        "-hf": _SOURCE,
        "-hfr": _SOURCE,
        "--hf-file": _SOURCE,
        "-hff": _SOURCE,
        "--alias": _NAME,
        "-a": _NAME,
        "--ctx-size": _CONTEXT,
        "-c": _CONTEXT,
        "--api-key": _NO_KEY,
        "--api-key-file": _NO_KEY,
    },
}


def refused(engine: str, args: list[str]) -> str:
    """Which of `args` is the operator's, and what to do instead; empty where none is."""
    owned = OWNED.get(engine, {})
    flags = (argument.split("=", 1)[0].replace("_", "-") for argument in args)
    found = next((flag for flag in flags if flag in owned), None)
    return f"args: {found} is set by the operator: {owned[found]}" if found is not None else ""


def rules() -> tuple[Rule, ...]:
    """The same, for the API server: one rule for each engine."""
    return tuple(_rule(engine, owned) for engine, owned in OWNED.items())


def _rule(engine: str, owned: dict[str, str]) -> Rule:
    # Comparisons with constants alone: the API server has to know beforehand what a rule costs at most.
    spellings = [spelling for flag in owned for spelling in _spellings(flag)]
    listed = ", ".join(f"'{spelling}'" for spelling in spellings)
    prefixes = " || ".join(f"a.startsWith('{spelling}=')" for spelling in spellings)
    words = f"args: {', '.join(owned)} are set by the operator: use the fields of this entry instead"
    choice = "".join(
        f"self.args.exists(a, {_is_one_of(flag)}) ? 'args: {flag} is set by the operator: {remedy}' : "
        for flag, remedy in owned.items()
    )
    return Rule(
        f"self.engine != '{engine}' || !has(self.args) || !self.args.exists(a, a in [{listed}] || {prefixes})",
        words,
        f"{choice}'{words}'",
    )


def _is_one_of(flag: str) -> str:
    return " || ".join(f"a == '{spelling}' || a.startsWith('{spelling}=')" for spelling in _spellings(flag))


def _spellings(flag: str) -> list[str]:
    """Engines take long flags with underscores too."""
    other = f"--{flag.removeprefix('--').replace('-', '_')}" if flag.startswith("--") else flag
    return [flag] if other == flag else [flag, other]
