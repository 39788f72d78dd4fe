"""Are there known vulnerabilities in the versions of a lock file? `python scripts/audit.py requirements-dev.lock`

Asks PyPI's database by pip-audit. Where that does not answer it says that nothing was audited, and is content: the
check must not need the internet. Exit status 1 when something is known.
"""

import argparse
import json
import subprocess
import sys
import urllib.request
from typing import Any

PROBE = "https://pypi.org/pypi/pip/24.0/json"
SECONDS = 3
IGNORED: dict[str, str] = {}
"""Identity of a vulnerability that does not concern this project -> why."""


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lock", metavar="LOCK", help="the lock file")
    lock = parser.parse_args().lock
    if why := unreachable():
        print(f"audit: NOT DONE, PyPI's vulnerability database does not answer ({why}); run `make audit` with internet")
        return 0
    ignore = [word for known in IGNORED for word in ("--ignore-vuln", known)]
    command = ["pip_audit", "-r", lock, "--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
    done = subprocess.run([sys.executable, "-m", *command, *ignore], capture_output=True, text=True, check=False)
    try:
        return report(json.loads(done.stdout)["dependencies"], lock)
    except ValueError:
        print(f"audit: NOT DONE, pip-audit failed:\n{done.stderr.strip()[-2000:]}")
        return 0 if unreachable() else 1


def unreachable() -> str:
    """Return the reason why the database cannot be queried; "" if it answers as expected."""
    try:
        with urllib.request.urlopen(PROBE, timeout=SECONDS) as answer:
            return "" if "vulnerabilities" in json.load(answer) else "it answers something else"
    except (OSError, ValueError) as error:
        return str(error)


def report(dependencies: list[dict[str, Any]], lock: str) -> int:
    """Print the findings; return the exit status. A package that is missing from the database was not audited."""
    found = [(each, one) for each in dependencies for one in each.get("vulns", [])]
    for each, one in found:
        fixed = ", ".join(one["fix_versions"]) or "no version yet"
        print(f"audit: {each['name']} {each['version']} has {one['id']}, fixed in {fixed}")
    skipped = sorted(each["name"] for each in dependencies if "skip_reason" in each)
    asked = len(dependencies) - len(skipped)
    print(f"audit: {asked} packages of {lock} audited, {len(found)} known vulnerabilities")
    if skipped:
        print(f"audit: NOT audited, unknown to the database: {', '.join(skipped)}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
