"""Text without the secrets of the addresses in it: user names, passwords, signatures and tokens.

Everything from other programs passes here on its way to people: error messages like to repeat an address in full.
Values are redacted before they are serialised (`each`), so that JSON stays valid.
"""

import contextlib
import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote_plus

START = re.compile(r"://|:\\/\\/")
"""Where an address begins, also inside of JSON that escapes its slashes."""
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,40}$")
WEB = re.compile(
    r"(?:https?|wss?|ftps?|sftp|ssh|git|file|s3[an]?|gs|gcs|azure|az|adl|abfss?|wasbs?|webdavs?|(?:web)?hdfs|oss|gdrive"
    r"|remote|mlflow-artifacts|dbfs)(?:\+\w+)?|git\+\w+",
    re.IGNORECASE,
)
"""Schemes whose user and password end before the path. All others are read as SQLAlchemy reads them: a password runs to
the @, whatever it holds."""
PORT = re.compile(r"[^:@/?#]*:\d{0,5}(?![^\s/?#.,;:)\]}>\"'`])")
"""A host with its port, which is not a user with a password."""
WHOLE = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]{0,40}://[^\n]*@[\w.\-\[\]:]*(?:/\S*)?(?:\?[^\n]*)?\s*")
"""Text that is one address, whose password may hold blanks."""
CLOSING = {"'": "'", '"': '"', "`": "`", "<": ">"}
LONGEST_PASSWORD = 300
PARAMETER = re.compile(r"([?&;#]|%3[fF]|%26)([^?&;#=\s]{1,100})=((?:(?![&#]|;[\w.%-]+=).)*)", re.DOTALL)
SECRET = re.compile(
    r"token|pass|pwd|secret|sig|credential|key|auth|session|jwt|bearer|ticket|otp|hmac|cookie|^code$", re.IGNORECASE
)
"""In the name of a parameter that holds a secret, as in addresses that a store has signed."""
BARE = re.compile(r"(?<![\w.+/@:-])[\w.+-]{1,64}:(?!//|sha\d+:)[^\s@/:\"'<>]{1,200}@(?!sha\d+:)(?=[\w-]+[.:\w-])")
"""`user:password@host` without a scheme, as in the settings of a proxy."""


def shown(text: str) -> str:
    """The text without user names, passwords and signatures of the addresses in it."""
    return BARE.sub("", _without(text)) if ":" in text else text


def shown_address(address: str) -> str:
    """The same of a value that is one address: blanks and quotes belong to its password or query."""
    found = START.search(address)
    if found is None or not SCHEME.search(address[: found.start()]):
        return shown(address)
    return address[: found.end()] + _rest(address[: found.start()].strip(), address[found.end() :])


def last_words(done: "subprocess.CompletedProcess[bytes]") -> str:
    """The last lines of a process that failed, for a message; an empty text if it succeeded."""
    if done.returncode == 0:
        return ""
    lines = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()[-6:]
    return "\n".join(map(shown, lines)) or "it said nothing"


def each(value: Any, change: Callable[[str], str] = shown) -> Any:
    """A JSON value with every text in it changed, by default redacted."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {each(key, change): each(one, change) for key, one in value.items()}
    return [each(one, change) for one in value] if isinstance(value, list | tuple) else value


def shown_output(line: str) -> str:
    """A line of another program's output without secrets. What is JSON stays JSON."""
    if line.startswith(("{", "[")):
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(line)
            clean = each(value)
            return line if clean == value else json.dumps(clean)
    return shown(line)


def has_secret(address: str) -> bool:
    """Whether an address contains a password or a signature, which must not be kept with the data."""
    return _without(address) != address


def _without(text: str) -> str:
    if WHOLE.fullmatch(text):
        return shown_address(text)
    pieces, done = [], 0
    for scheme, start, end in _addresses(text):
        pieces += [text[done:start], _rest(scheme, text[start:end])]
        done = end
    return "".join([*pieces, text[done:]])


def _addresses(text: str) -> Iterator[tuple[str, int, int]]:
    """Scheme of each address in a text, and where what follows its `://` begins and ends."""
    starts = [found for found in START.finditer(text) if SCHEME.search(text, max(0, found.start() - 41), found.start())]
    done = 0
    for number, found in enumerate(starts):
        if found.start() < done:
            continue  # an address in the query of another
        scheme = SCHEME.search(text, max(0, found.start() - 41), found.start())
        before = text[scheme.start() - 1 : scheme.start()] if scheme else ""
        start = found.end()
        end = _end(text, start, CLOSING.get(before, ""))
        following = starts[number + 1].start() if number + 1 < len(starts) else len(text)
        if end < following and _unfinished(text[start:end]):  # a password with blanks in it
            line = text[start : min(following, start + LONGEST_PASSWORD)].partition("\n")[0]
            if "@" in line:
                end = _end(text, start + line.rindex("@"), "")
        yield (scheme[0] if scheme else ""), start, end
        done = end


def _end(text: str, start: int, closing: str) -> int:
    """Where an address ends: at the quote that closes it on its line, or else at a blank."""
    blank = re.compile(r"\s").search(text, start)
    if closing:
        line = re.compile(r"$", re.MULTILINE).search(text, start)
        limit = min(line.start() if line else len(text), start + LONGEST_PASSWORD)
        if found := re.compile(rf"\\?{closing}(?!\w)").search(text, start, limit + 1):
            return found.start()
    return blank.start() if blank else len(text)


def _unfinished(rest: str) -> bool:
    """Whether a password begins that no @ ends."""
    return "@" not in rest and re.match(r"[^:/?#\[]*:[^/]", rest) is not None and not PORT.match(rest)


def _rest(scheme: str, rest: str) -> str:
    """The part after `://`, without secrets."""
    return PARAMETER.sub(_parameter, rest[_user(scheme, rest) :])


def _user(scheme: str, rest: str) -> int:
    """The length of user and password, with their @."""
    if WEB.fullmatch(scheme):
        authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
        if "@" in authority:
            return authority.rindex("@") + 1
        begun = ":" in authority and not authority.startswith("[") and not PORT.match(rest)
        return rest.rindex("@") + 1 if begun and "@" in rest else 0
    if not re.match(r"[^:/]*(?::[^@]*)?@", rest):
        return 0
    query = rest.find("?", rest.index("@"))
    return rest.rindex("@", 0, query if query >= 0 else len(rest)) + 1


def _parameter(found: re.Match[str]) -> str:
    lead, name, value = found.groups()
    inner = unquote_plus(value)
    secret = SECRET.search(unquote_plus(name)) or (START.search(inner) and ("@" in inner or SECRET.search(inner)))
    return f"{lead}{name}={'...' if secret and value else value}"
