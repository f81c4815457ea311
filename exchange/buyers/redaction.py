"""Takes contact data out of what a company's system says, before anyone keeps or reads it.

A company may quote the lead back at us. What its answer leaves with people and stores is bounded,
printable, and free of the parcel's own contact and of anything that looks like one.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from exchange.flow.ports import Contact

REMOVED: Final = "[removed]"
MAX_TEXT_CHARS: Final = 200  # a sentence; a company's reason, not its log

_MAX_READ_CHARS: Final = 2_000  # bounds the work on a hostile text
_MIN_NAME_CHARS: Final = 2  # below it, a word names nobody
_MIN_WORD_CHARS: Final = 3  # of an address: a state's two letters are no secret
_MIN_PHONE_DIGITS: Final = 7  # a local number; a ZIP code is shorter

# As many digits as a phone number has, with what people write between them.
_DIGITS: Final = re.compile(r"\+?\d(?:[\s().\-/_]{0,3}\d){6,}")
_WORD: Final = re.compile(r"[^\W_]+")
_TELLTALES: Final = ("@", "%40", "://", "www.")  # mail addresses and links, whatever is in them


def redact(text: str, contact: Contact) -> str:
    """Clean a text for people: at most `MAX_TEXT_CHARS`, contact data replaced by `REMOVED`."""
    words = (REMOVED if _tells(word) else word for word in _printable(text))
    text = _DIGITS.sub(REMOVED, " ".join(words))
    secrets = _secret_words(contact)
    text = _WORD.sub(lambda word: REMOVED if _fold(word[0]) in secrets else word[0], text)
    return text[:MAX_TEXT_CHARS].strip()


def clean_reference(text: str, contact: Contact) -> str | None:
    """Clean a company's own id of a lead; None if it is too long, or made of the lead's contact.

    Ids are often long numbers, so only the contact itself is looked for, not what looks like one.
    """
    if not text.isprintable() or not 0 < len(text) <= MAX_TEXT_CHARS or "@" in text:
        return None
    phone = _digits(contact.phone or "")
    if len(phone) >= _MIN_PHONE_DIGITS and phone[-10:] in _digits(text):
        return None
    secrets = _secret_words(contact)
    return None if any(_fold(word) in secrets for word in _words(text)) else text


def _printable(text: str) -> list[str]:
    """Fold look-alikes, drop the invisible, and give the words, the last whole one at most."""
    cut = unicodedata.normalize("NFKC", text[:_MAX_READ_CHARS])
    visible = (char for char in cut if unicodedata.category(char) != "Cf")
    words = "".join(char if char.isprintable() else " " for char in visible).split()
    # Half a number or address at the cut would be recognised by nothing.
    return words[:-1] if len(text) > _MAX_READ_CHARS else words


def _tells(word: str) -> bool:
    lowered = word.lower()
    return any(telltale in lowered for telltale in _TELLTALES)


def _secret_words(contact: Contact) -> set[str]:
    names = [_fold(word) for word in _words(contact.first_name, contact.last_name)]
    address = contact.address or ""
    parts = address.values() if isinstance(address, dict) else (address,)
    others = [_fold(word) for word in _words(contact.phone or "", contact.email or "", *parts)]
    together = ("".join(names), "".join(reversed(names)))
    return {word for word in (*names, *together) if len(word) >= _MIN_NAME_CHARS} | {
        word for word in others if len(word) >= _MIN_WORD_CHARS
    }


def _words(*texts: str) -> list[str]:
    return [word for text in texts for word in _WORD.findall(text)]


def _fold(word: str) -> str:
    """Reduce a word to what it is read as: no accents, no case."""
    plain = unicodedata.normalize("NFKD", word)
    return "".join(char for char in plain if not unicodedata.combining(char)).casefold()


def _digits(text: str) -> str:
    return "".join(char for char in text if char.isdecimal())
