"""Addresses of data sources: which are accepted, and that credentials are not shown."""

import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ddpm.data import pointer
from flows.tasks import data_update

Make = Callable[..., Path]


class Pages(http.server.BaseHTTPRequestHandler):
    """`/page` is an index, `/set.zip` an archive, `/nothing` has no content; any other path is missing."""

    def do_HEAD(self) -> None:
        known = {"/page": ("text/html", 9), "/set.zip": ("application/zip", 9), "/nothing": ("application/zip", 0)}
        kind, length = known.get(self.path, ("", 0))
        self.send_response(200 if kind else 404)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        return


@pytest.fixture
def address() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize(
    ("path", "said"), [("/page", "is a page"), ("/gone.zip", "is gone"), ("/nothing", "is empty"), ("/set.zip", "")]
)
def test_addresses(path: str, said: str, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data.dvc").write_text(f"deps:\n- path: {address}{path}\nouts:\n- path: data\n")
    if not said:
        data_update.probe()
        return
    with pytest.raises(data_update.SourceError, match=said):
        data_update.probe()


def test_credentials_in_the_address_are_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data.dvc").write_text("deps:\n- path: http://me:hunter2@127.0.0.1:9/set.zip\nouts:\n- path: data\n")
    with pytest.raises(data_update.SourceError, match="does not answer") as error:
        data_update.probe()
    assert "hunter2" not in str(error.value)
    assert pointer.sources()[0]["path"].startswith("http://me:hunter2@")
