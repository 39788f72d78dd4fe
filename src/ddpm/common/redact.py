"""Remove secrets from the addresses in a text: user names, passwords, signatures and tokens.

All text from other programs is redacted before it is shown or stored, because error messages often repeat addresses in
full. Values are redacted before they are serialised (`each`), so that JSON stays valid.
"""

import contextlib
import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote_plus

START = re.compile(r"://|:\\/\\/")
"""The start of an address after its scheme, also in JSON that escapes slashes."""
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,40}$")
WEB = re.compile(
    r"(?:https?|wss?|ftps?|sftp|ssh|git|file|s3[an]?|gs|gcs|azure|az|adl|abfss?|wasbs?|webdavs?|(?:web)?hdfs|oss|gdrive"
    r"|remote|mlflow-artifacts|dbfs)(?:\+\w+)?|git\+\w+",
    re.IGNORECASE,
)
"""Schemes whose user and password end before the path. Others are parsed like SQLAlchemy's URLs, in which a password
extends to the @, whatever it contains."""
PORT = re.compile(r"[^:@/?#]*:\d{0,5}(?![^\s/?#.,;:)\]}>\"'`])")
"""A host with a port, as opposed to a user with a password."""
WHOLE = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]{0,40}://[^\n]*@[\w.\-\[\]:]*(?:/\S*)?(?:\?[^\n]*)?\s*")
"""A text that is one address, whose password may contain blanks."""
CLOSING = {"'": "'", '"': '"', "`": "`", "<": ">"}
LONGEST_PASSWORD = 300
PARAMETER = re.compile(r"([?&;#]|%3[fF]|%26)([^?&;#=\s]{1,100})=((?:(?![&#]|;[\w.%-]+=).)*)", re.DOTALL)
SECRET = re.compile(
    r"token|pass|pwd|secret|sig|credential|key|auth|session|jwt|bearer|ticket|otp|hmac|cookie|^code$", re.IGNORECASE
)
"""Names of query parameters that hold secrets, for example in presigned URLs."""
BARE = re.compile(r"(?<![\w.+/@:-])[\w.+-]{1,64}:(?!//|sha\d+:)[^\s@/:\"'<>]{1,200}@(?!sha\d+:)(?=[\w-]+[.:\w-])")
"""`user:password@host` without a scheme, as in proxy settings."""


def redact_text(text: str) -> str:
    """The text without user names, passwords and signatures in its addresses."""
    return BARE.sub("", _without(text)) if ":" in text else text


def redact_address(address: str) -> str:
    """The same for a value that is one address, so that blanks and quotes belong to its password or query."""
    found = START.search(address)
    if found is None or not SCHEME.search(address[: found.start()]):
        return redact_text(address)
    return address[: found.end()] + _rest(address[: found.start()].strip(), address[found.end() :])


def error_output(done: "subprocess.CompletedProcess[bytes]") -> str:
    """The last lines of a failed process, for a message; empty if it succeeded."""
    if done.returncode == 0:
        return ""
    lines = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()[-6:]
    return "\n".join(map(redact_text, lines)) or "it printed nothing"


def redact_json(value: Any, change: Callable[[str], str] = redact_text) -> Any:
    """A JSON value with `change` applied to each text in it; by default redacted."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {redact_json(key, change): redact_json(one, change) for key, one in value.items()}
    return [redact_json(one, change) for one in value] if isinstance(value, list | tuple) else value


def redact_line(line: str) -> str:
    """A line of another program's output without secrets; JSON stays valid JSON."""
    if line.startswith(("{", "[")):
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(line)
            clean = redact_json(value)
            return line if clean == value else json.dumps(clean)
    return redact_text(line)


def has_secret(address: str) -> bool:
    """Return True if an address contains a password or a signature, which must not be stored with the data."""
    return _without(address) != address


def _without(text: str) -> str:
    if WHOLE.fullmatch(text):
        return redact_address(text)
    pieces, done = [], 0
    for scheme, start, end in _addresses(text):
        pieces += [text[done:start], _rest(scheme, text[start:end])]
        done = end
    return "".join([*pieces, text[done:]])


def _addresses(text: str) -> Iterator[tuple[str, int, int]]:
    """Scheme of each address in a text, with start and end of the part after its `://`."""
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
        if end < following and _unfinished(text[start:end]):  # a password with blanks
            line = text[start : min(following, start + LONGEST_PASSWORD)].partition("\n")[0]
            if "@" in line:
                end = _end(text, start + line.rindex("@"), "")
        yield (scheme[0] if scheme else ""), start, end
        done = end


def _end(text: str, start: int, closing: str) -> int:
    """The end of an address: its closing quote on the same line, or else a blank."""
    blank = re.compile(r"\s").search(text, start)
    if closing:
        line = re.compile(r"$", re.MULTILINE).search(text, start)
        limit = min(line.start() if line else len(text), start + LONGEST_PASSWORD)
        if found := re.compile(rf"\\?{closing}(?!\w)").search(text, start, limit + 1):
            return found.start()
    return blank.start() if blank else len(text)


def _unfinished(rest: str) -> bool:
    """Return True if it begins with a password but has no @."""
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
