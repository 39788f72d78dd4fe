#!/usr/bin/env bash
# The tests of the pages need Chromium. Where it is missing and may be installed (root, apt-get), install it; else say
# that those tests are skipped. Never fails: the tests say themselves what they lack.
set -uo pipefail
[ -n "${CHROMIUM:-}" ] && exit 0
for name in chromium chromium-browser google-chrome google-chrome-stable; do
    command -v "$name" > /dev/null && exit 0
done
skip() { echo "make test: $1; the tests of the pages in a browser are skipped"; exit 0; }
command -v apt-get > /dev/null || skip "there is no Chromium and no apt-get to install it"
[ "$(id -u)" = 0 ] || skip "there is no Chromium (apt-get install chromium)"
echo "make test: installing Chromium, in which the pages are tested (a minute or two)"
log=$({ apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium; } 2>&1) ||
    skip "Chromium could not be installed: $(tail -n 1 <<< "$log")"
