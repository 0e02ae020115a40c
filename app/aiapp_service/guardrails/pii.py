"""PII: what points to a person. RE2 finds what has the shape, libraries say whether it is one.

| kind | verified by |
|---|---|
| EMAIL | its shape: ASCII addresses with a top-level domain of letters |
| IBAN | python-stdnum: check digits, and the country's own rules |
| IP_ADDRESS | the standard library, IPv4 and IPv6 |
| CREDIT_CARD | the number ranges of card brands, and the Luhn digit; in one piece or in groups |
| SSN | python-stdnum: US numbers, with their hyphens |
| PHONE | phonenumbers: with a country code (+49..., 0049...), and US numbers with their separators |
"""

import ipaddress
import re
from collections.abc import Iterator, Sequence
from typing import Any

import phonenumbers
from stdnum import iban, luhn
from stdnum.us import ssn

from aiapp_service.guardrails.rules import START, Hit, Rule, rule

_EMAIL = START + r"([A-Za-z0-9_][A-Za-z0-9._%+\-]{0,63}@[A-Za-z0-9][A-Za-z0-9.\-]{0,100}\.[A-Za-z]{2,24})\b"
_IBAN = START + r"([A-Za-z]{2}[0-9]{2}(?: ?[A-Za-z0-9]){11,30})\b"
_IP = START + r"([0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f]{0,4}(?:::?[0-9A-Fa-f]{1,4}){1,7}(?:\.[0-9]{1,3}){0,3})\b"
_NUMBER = r"(?:\\[nrtf]|\b|[+(]{1,2})[0-9](?:[ .()/\-]{0,2}[0-9]){6,24}\b"

_BRANDS = re.compile(
    rb"4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11}|35\d{14}|6\d{15,18}"
)
_SSN = re.compile(rb"(?<!\d)\d{3}-\d{2}-\d{4}(?!\d)")
_US_PHONE = re.compile(rb"(?:1[ .-])?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}")
_RUN = re.compile(rb"\d+")
_CARD_DIGITS = range(13, 20)
_PHONE_DIGITS = range(7, 18)  # with the zeros in front
_CARD_GAPS = re.compile(rb"[ -]?")


def rules() -> list[Rule]:
    """In the order in which they look: an address is not taken for a number."""
    return [
        rule("EMAIL", _EMAIL, group=1),
        rule("IBAN", _IBAN, _ibans),
        rule("IP_ADDRESS", _IP, _addresses),
        rule("NUMBER", _NUMBER, _numbers),
    ]


def _ibans(match: Any) -> Sequence[Hit]:
    """Words behind it may have been taken for groups of it."""
    start = match.start(1)
    text = match.group(1)
    while len(text) >= 15:
        if iban.is_valid(text.decode()):
            return (Hit(start, start + len(text), "IBAN"),)
        text = text.rpartition(b" ")[0]
    return ()


def _addresses(match: Any) -> Sequence[Hit]:
    try:
        ipaddress.ip_address(match.group(1).decode())
    except ValueError:
        return ()
    return (Hit(match.start(1), match.end(1), "IP_ADDRESS"),)


def _numbers(match: Any) -> Sequence[Hit]:
    """All there are in a row of digits and separators, which may be several numbers one after the other."""
    text, offset = match.group(), match.start()
    runs = [run.span() for run in _RUN.finditer(text)]
    hits: list[Hit] = []
    at = 0
    for number, (start, _) in enumerate(runs):
        if start < at:
            continue
        found = next(_read(text, runs[number:], at), None)
        if found is not None:
            first, at, kind = found
            hits.append(Hit(offset + first, offset + at, kind))
    return hits


def _read(text: bytes, runs: Sequence[tuple[int, int]], lowest: int) -> Iterator[tuple[int, int, str]]:
    """What begins with the first of these runs of digits, the longest first; not before `lowest`."""
    start = runs[0][0]
    found = _SSN.match(text, start)
    if found is not None and ssn.is_valid(found.group().decode()):
        yield start, found.end(), "SSN"
    for end in _ends(runs, _CARD_DIGITS, least_run=3):
        if _is_card(text[start:end]):
            yield start, end, "CREDIT_CARD"
    first = start
    while first > lowest and text[first - 1 : first] in (b"+", b"("):
        first -= 1
    if first < start or text.startswith(b"00", start) or _US_PHONE.match(text, start):
        for end in _ends(runs, _PHONE_DIGITS, least_run=1):
            if _is_phone(text[first:end]):
                yield first, end, "PHONE"


def _ends(runs: Sequence[tuple[int, int]], digits: range, *, least_run: int) -> list[int]:
    """Where a number of so many digits may end, the last place first."""
    ends, count = [], 0
    for start, end in runs:
        count += end - start
        if end - start < least_run or count >= digits.stop:
            break
        if count in digits:
            ends.append(end)
    return ends[::-1]


def _is_card(text: bytes) -> bool:
    digits = b"".join(_RUN.findall(text))
    if _BRANDS.fullmatch(digits) is None or not all(_CARD_GAPS.fullmatch(gap) for gap in _RUN.split(text)):
        return False
    return luhn.is_valid(digits.decode())


def _is_phone(text: bytes) -> bool:
    region = None
    if text.startswith(b"00"):
        text = b"+" + text[2:]
    elif _US_PHONE.fullmatch(text):
        region = "US"
    elif b"+" not in text[:2]:
        return False
    try:
        number = phonenumbers.parse(text.decode(), region)
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_valid_number(number)
