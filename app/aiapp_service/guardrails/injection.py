"""PromptInjection: texts of users and tools that try to take over, by weighted signs.

Each sign counts once in a text; from a weight of 1 on it is an attack. Signs that nobody writes by chance are enough
alone; those that also occur in honest texts need another one. What systems and developers say is not looked at: they
are the ones to take over from. Like every heuristic it makes attacks harder, no more: a model's rights belong into its
tools.

| sign | weight | finds |
|---|---|---|
| override | 1 | ignore, forget, disregard ... previous instructions; in five languages |
| markers | 1 | the tokens that separate messages for models: `<|im_start|>`, `[INST]`, `<<SYS>>` |
| persona | 1 | DAN, "do anything now", "developer mode enabled", a mode without restrictions |
| role | 0.5 | a line that claims to be the system's: `system:`, `### Instruction` |
| reveal | 0.6 | show, repeat, print ... the system prompt, the initial instructions |
| unbound | 0.6 | no rules, filters, restrictions; bypass your guidelines; jailbreak |
| pretend | 0.4 | you are now, from now on you, act as if you had |
| silent | 0.5 | do not tell the user |
| send | 0.5 | send, post, append ... to a URL; an image whose address has a placeholder |
| fresh | 0.5 | new instructions, your real task |
| encoded | 0.5 | decode this and do what it says |
"""

from aiapp_service.guardrails.rules import Rule, rule

TRUSTED = frozenset({"system", "developer"})
_GAP = r"[^.!?\n]{0,40}"
_OLD = r"(?:previous|prior|above|earlier|preceding|foregoing|all|your|any|existing|system)"
_ORDERS = r"(?:instructions?|prompts?|rules|directions?|commands?|guidelines|context|messages)"

_SIGNS: dict[str, tuple[float, str]] = {
    "override": (
        1.0,
        (
            rf"\b(?:ignore|disregard|forget|override|overrule|discard|neglect)\b{_GAP}\b{_OLD}\b{_GAP}\b{_ORDERS}\b"
            r"|\b(?:ignor|vergiss|missachte)\w*\b[^.!?\n]{0,30}\b(?:vorherig|bisherig|obig|vorig|früher)\w*\b"
            r"[^.!?\n]{0,20}\b(?:anweisung|instruktion|regel|befehl|vorgabe)\w*"
            r"|\b(?:ignore[zr]?|oublie[zr]?)\b[^.!?\n]{0,30}\b(?:instructions|consignes|r.gles)\b"
            r"[^.!?\n]{0,20}\bpr.c.dent\w*"
            r"|\b(?:ignora|olvida|desestima)\b[^.!?\n]{0,30}\b(?:instrucciones|reglas|.rdenes|istruzioni|regole)\b"
            r"[^.!?\n]{0,20}\b(?:anterior|previa|precedent)\w*"
        ),
    ),
    "markers": (
        1.0,
        (
            r"<\|(?:im_start|im_end|system|start_header_id|end_header_id|eot_id|endoftext)\|>|\[/?INST\]|<</?SYS>>"
            r"|<(?:start|end)_of_turn>"
        ),
    ),
    "persona": (
        1.0,
        (
            r"\byou(?: are|'re| will be| shall be)(?: now)?(?: going to act as)? dan\b|\bdo anything now\b"
            r"|\b(?:developer|debug|god|sudo|jailbreak|unrestricted) mode"
            r" (?:(?:is )?(?:now )?(?:enabled|activated)|is on)\b"
            r"|\benter (?:developer|god|sudo|jailbreak|unrestricted) mode\b"
        ),
    ),
    "role": (
        0.5,
        r"(?m)^\s*(?:#{1,4}\s*)?(?:system|assistant|developer)(?: message| prompt| note)?\s*:|^#{2,4} ?instruction",
    ),
    "reveal": (
        0.6,
        (
            r"\b(?:reveal|show|print|repeat|output|display|leak|tell me|give me|write out|recite|dump)\b[^.!?\n]{0,30}"
            r"\b(?:system|initial|hidden|original|secret|developer)[ -](?:prompt|instructions?|message|rules)\b"
        ),
    ),
    "unbound": (
        0.6,
        (
            r"\b(?:without|no|free (?:of|from)|bypass|disable|remove|circumvent)\b[^.!?\n]{0,20}\b(?:your|any|all|"
            r"content|ethical|moral|safety)\b[^.!?\n]{0,20}\b(?:restrictions?|filters?|guidelines|limitations?|safeguards|rules)\b"
            r"|\bjailbr(?:eak|oken)\w*"
        ),
    ),
    "pretend": (0.4, r"\byou are now\b|\bfrom now on,? you\b|\bact as (?:if|though) you (?:had|have|were)\b"),
    "silent": (
        0.5,
        (
            r"\b(?:do not|don't|never|without)\b (?:tell|telling|inform|informing|mention|alert|notify)\w*"
            r"[^.!?\n]{0,20}\buser\b"
        ),
    ),
    "send": (
        0.5,
        (
            r"\b(?:send|post|append|upload|forward|exfiltrate|leak)\b[^.!?\n]{0,60}\bhttps?://"
            r"|!\[[^\]\n]{0,60}\]\(https?://[^)\n]{0,200}[?&]\w+=(?:\{|<|\[)"
        ),
    ),
    "fresh": (
        0.5,
        (
            r"\b(?:new|updated|real|actual|true)\b (?:system )?(?:instructions?|orders|directives?|task)\b"
            r" ?(?:is|are|:|follow)"
        ),
    ),
    "encoded": (
        0.5,
        (
            r"\b(?:decode|decrypt|base64|rot13)\b[^.!?\n]{0,40}\b(?:and|then)\b[^.!?\n]{0,20}"
            r"\b(?:execute|follow|obey|do what|comply|run)\b"
        ),
    ),
}


def rules() -> list[Rule]:
    """One for each sign."""
    return [rule(name, f"(?i){sign}") for name, (_, sign) in _SIGNS.items()]


def is_attack(signs: set[str]) -> bool:
    """Whether these signs in one text are enough."""
    return sum(_SIGNS[sign][0] for sign in signs) >= 1
