"""Secrets: keys of well-known services, private keys, tokens, and what is called a secret and looks random.

| kind | shape |
|---|---|
| PRIVATE_KEY | a PEM block, up to its end where that is there |
| JWT | three parts in base64url, the first two JSON objects |
| AWS_KEY, GITHUB_TOKEN, GITLAB_TOKEN, SLACK_TOKEN, GOOGLE_KEY, STRIPE_KEY, HUGGINGFACE_TOKEN | their prefixes |
| API_KEY | `sk-...` (OpenAI, Anthropic and others), if it looks random |
| SECRET | what follows `password =`, `api_key:` and the like, if it looks random |

What looks random has letters and digits, and at least three bits of entropy a character, as counted in itself. Names
(`token = get_token_of_request`) have no digits, placeholders (`sk-xxxxxxxxxxxxxxxx0000`) have less entropy.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from aiapp_service.guardrails.rules import Hit, Rule, rule

_SHAPES = {
    "PRIVATE_KEY": r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
    r"(?:[A-Za-z0-9+/=\s\\:,.]|-[A-Za-z0-9])*(?:-----END [A-Z0-9 ]+-----)?",
    "JWT": r"\beyJ[A-Za-z0-9_\-]{8,}\.eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}",
    "AWS_KEY": r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b",
    "GITHUB_TOKEN": r"\bgh[pousr]_[A-Za-z0-9]{36,}|\bgithub_pat_[A-Za-z0-9_]{22,}",
    "GITLAB_TOKEN": r"\bglpat-[A-Za-z0-9_\-]{20,}",
    "SLACK_TOKEN": r"\bxox[abeoprs]-[A-Za-z0-9\-]{10,}",
    "GOOGLE_KEY": r"\bAIza[A-Za-z0-9_\-]{35}",
    "STRIPE_KEY": r"\b[rs]k_live_[A-Za-z0-9]{20,}",
    "HUGGINGFACE_TOKEN": r"\bhf_[A-Za-z0-9]{34,}",
    "API_KEY": r"\bsk-[A-Za-z0-9_\-]{20,}",
}
_ASSIGNED = (
    r"(?i)\b(?:api[_\-]?key|secret|token|password|passwd|pwd|access[_\-]?key)[A-Za-z0-9_]{0,16}"
    r"\\?[\"']?\s{0,4}(?:=|:|:=)\s{0,4}\\?[\"']?([A-Za-z0-9+/_.~=\-]{16,})"
)
_WEAK = frozenset({"API_KEY", "SECRET"})
_LEAST_BITS = 3.0
_LETTER = re.compile(rb"[A-Za-z]")
_DIGIT = re.compile(rb"[0-9]")


def rules() -> list[Rule]:
    """Known shapes first: they have a name of their own."""
    known = [rule(kind, shape, _judge(kind, 0)) for kind, shape in _SHAPES.items()]
    return [*known, rule("SECRET", _ASSIGNED, _judge("SECRET", 1))]


def _judge(kind: str, group: int) -> Any:
    weak = kind in _WEAK

    def judge(match: Any) -> Sequence[Hit]:
        if weak and not _looks_random(match.group(group)):
            return ()
        return (Hit(match.start(group), match.end(group), kind),)

    return judge


def _looks_random(text: bytes) -> bool:
    return bool(_LETTER.search(text) and _DIGIT.search(text)) and _entropy(text) >= _LEAST_BITS


def _entropy(text: bytes) -> float:
    """Bits a character, by how often each of them is there."""
    size = len(text)
    return -sum(n / size * math.log2(n / size) for n in Counter(text).values())
