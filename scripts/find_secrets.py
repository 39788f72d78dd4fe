"""Search for secrets in tracked files with Yelp's detect-secrets, against the committed baseline; offline.

`python scripts/find_secrets.py` lists findings that are not in the baseline and exits with 1. `--accept` rewrites the
baseline: only for false positives, such as the made-up passwords of tests.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from detect_secrets.core import baseline
from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import transient_settings

BASELINE = Path(".secrets.baseline")
Found = tuple[str, str, str]


def main() -> int:
    """Search the tracked files; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accept", action="store_true", help="rewrite the baseline")
    accept = parser.parse_args().accept
    known = json.loads(BASELINE.read_text(encoding="utf-8"))
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, check=True).stdout
    names = [name for name in listed.split("\0") if name and Path(name).is_file() and name != str(BASELINE)]
    secrets = SecretsCollection()
    with transient_settings({key: known[key] for key in ("plugins_used", "filters_used")}):
        for name in names:
            secrets.scan_file(name)
        if accept:
            secrets.trim()
            BASELINE.write_text(json.dumps(stable(baseline.format_for_output(secrets)), indent=2) + "\n")
            print(f"secrets: {BASELINE} accepts {sum(1 for _ in secrets)} places; review its diff before you commit it")
            return 0
    accepted = {(name, one["type"], one["hashed_secret"]) for name, many in known["results"].items() for one in many}
    new = [(name, one) for name, one in secrets if (name, one.type, one.secret_hash) not in accepted]
    for name, one in new:
        print(f"secrets: {name}:{one.line_number}: {one.type}")
    if new:
        print("secrets: remove them, and revoke those that are valid: they stay in git's history")
    else:
        print(f"secrets: none in {len(names)} files, {len(accepted)} places accepted before")
    return 1 if new else 0


def stable(content: dict[str, object]) -> dict[str, object]:
    """Remove the time, which would make every baseline differ."""
    return {key: value for key, value in content.items() if key != "generated_at"}


if __name__ == "__main__":
    sys.exit(main())
