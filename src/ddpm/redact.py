"""Text as it may be printed, logged or recorded: without the secrets of the addresses in it.

What comes from other programs passes here on its way to people: their messages like to repeat an address in full.
"""

import re

USER = re.compile(r"(?<=://)[^\s/\"'<>]*@")
"""User and password: all up to the last @ before the path, since a password may hold one itself."""
QUERY = re.compile(
    r"(?i)([?&;][\w.%-]*(?:token|passw|pwd|secret|signature|sig|credential|key|auth)[\w.%-]*=)[^\s&;#\"'<>]+"
)
"""What a query says under a name that tells of a secret, as in addresses that a store has signed."""


def shown(text: str) -> str:
    """The text without user names, passwords and signatures of the addresses in it."""
    if "://" not in text:
        return text
    return QUERY.sub(r"\1...", USER.sub("", text))


def has_secret(address: str) -> bool:
    """Whether an address tells more than may be kept with the data: a password, or a signature."""
    return shown(address) != address
