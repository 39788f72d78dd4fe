"""Identity of servers: addresses are bound before they are shown, and servers prove their identity."""

import json
import os
import stat
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from flows import ROOT
from flows.service import access, guard, prefect_server, servers
from flows.service.access import MLFLOW, PREFECT, Exposure, ServerRecord
from tests.support.databases import give_prefect


class Stranger(BaseHTTPRequestHandler):
    """A healthy server that is not ours: it answers all requests, and relays requests for a proof."""

    passes_to = ""

    def do_GET(self) -> None:
        answer = b'{"proof": "0"}'
        if self.path.startswith(guard.PROOF) and self.passes_to:
            with urllib.request.urlopen(f"{self.passes_to}{self.path}") as page:
                answer = page.read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing."""


@pytest.fixture
def stranger() -> Iterator[str]:
    """The address of another user's server."""
    Stranger.passes_to = ""
    with ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as found:
        threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, prefect_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout without servers."""
    monkeypatch.chdir(tmp_path)
    give_prefect(tmp_path / ".state/prefect", prefect_home)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / ".state/prefect"))
    for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING", "MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(name, "")  # put back at the end, whatever is set meanwhile
        monkeypatch.delenv(name)
    return tmp_path


def port(url: str) -> int:
    return int(url.rpartition(":")[2])


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_stale_record_whose_port_another_server_has_is_ignored(stranger: str) -> None:
    assert prefect_server.healthy(f"{stranger}/api")
    ServerRecord(stranger, "ddpm:x", "k", 1).write(prefect_server.record_file())
    assert prefect_server.find() is None
    prefect_server.record_file().write_text(json.dumps({"url": f"{stranger}/api"}))
    assert prefect_server.find() is None
    for text in ("", "[]", "{", '{"url": 1, "auth": null}'):
        prefect_server.record_file().write_text(text)
        assert prefect_server.find() is None


def test_a_started_server_avoids_a_taken_port_and_proves_its_identity(stranger: str) -> None:
    """The server works for a run; the stranger, which relays requests for a proof to it, is not accepted."""
    made = prefect_server.start(port(stranger))
    try:
        assert made.url != f"{stranger}/api"
        made.wait()
        assert made.record is not None
        Stranger.passes_to = made.record.url
        assert made.answers()
        assert not replace(made.record, url=stranger).is_genuine(PREFECT)
        assert not replace(made.record, key="another").is_genuine(PREFECT)
        assert not made.record.is_genuine(MLFLOW)
        assert status(f"{made.url}/admin/version") == 401
        made.record.write(prefect_server.record_file())
        found = prefect_server.find()
        assert found is not None
        assert found.record == made.record
        os.environ["PREFECT_API_URL"] = made.url
        named = prefect_server.find()
        assert named is not None
        named.use()
        assert os.environ["PREFECT_API_AUTH_STRING"] == access.secret()
        assert access.secret() in named.sign_in
        assert access.secret() not in named.page
    finally:
        made.stop()
    os.environ.pop("PREFECT_API_URL")
    assert prefect_server.find() is None, "it has ended"


def test_a_server_named_in_the_environment_is_used_unchecked(stranger: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", f"{stranger}/api")
    found = prefect_server.find()
    assert found == prefect_server.Server(f"{stranger}/api")
    found.use()
    assert "PREFECT_API_AUTH_STRING" not in os.environ
    assert found.answers()
    ServerRecord(stranger, "ddpm:x", "k", 1).write(prefect_server.record_file())
    assert prefect_server.find() == found, "the record is no longer of that server"


USES = """\
import prefect
from flows.service import prefect_server
SERVER.use()
from prefect.settings import get_current_settings
settings = get_current_settings()
print(settings.api.url, settings.api.auth_string.get_secret_value(), settings.server.ephemeral.enabled)
"""


def test_a_process_that_has_imported_prefect_uses_the_server(stranger: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """This can happen in a test or a notebook. Prefect alone would start an unprotected server."""
    record = f"prefect_server.new_record('{stranger[7:]}', 'a:b')"
    program = USES.replace("SERVER", f"prefect_server.Server('{stranger}/api', {record})")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [f"{stranger}/api", "a:b", "False"]


def test_an_address_is_bound_before_it_is_shown() -> None:
    with servers.BoundAddress("127.0.0.1", 0, "another port") as first:
        address = prefect_server.address("127.0.0.1", first.require())
        with servers.BoundAddress("127.0.0.1", port(address), "make ui PREFECT_PORT=1") as second:
            assert not second.bind()
            with pytest.raises(
                prefect_server.ServerError, match=r"port \d+ of 127.0.0.1 is taken. Try: make ui PREFECT_PORT=1"
            ):
                second.require()
    with servers.BoundAddress("127.0.0.1", port(address), "") as third:
        assert third.bind()
    with pytest.raises(prefect_server.ServerError, match=r"cannot listen at port 1 of 192\.0\.2\.1"):
        prefect_server.listen("192.0.2.1", 1)
    with pytest.raises(prefect_server.ServerError, match=r"cannot listen at port 70000 of 127\.0\.0\.1: .*0-65535"):
        prefect_server.listen("127.0.0.1", 70000)


def test_servers_get_their_own_ports_despite_stale_records_of_strangers(stranger: str) -> None:
    for path in (prefect_server.record_file(), Path(".state/mlflow/server.json")):
        ServerRecord(stranger, "ddpm:x", "k", 1).write(path)
    with servers.find_or_start(0, 0, Exposure(), command="ui") as found:
        assert len(found.processes) == 2
        assert found.prefect.page != stranger
        assert found.mlflow != stranger
        assert all(each.ready() for each in found.processes)
        del os.environ["PREFECT_API_URL"]
        with pytest.raises(prefect_server.ServerError, match=r"ddpm ui --prefect-port \d+"), servers.find_or_start(
            0, port(found.prefect.page), Exposure(), command="ui"
        ):  # fmt: skip
            pass


def test_the_server_of_another_command_is_taken_over_with_its_address_and_secret(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listening = prefect_server.listen("127.0.0.1", 0)
    assert listening is not None
    record = replace(prefect_server.new_record(prefect_server.address("127.0.0.1", listening), access.secret()), pid=1)
    with listening:
        record.write(prefect_server.record_file())
        monkeypatch.setattr(ServerRecord, "is_genuine", lambda self, name: name == PREFECT and self.key == record.key)
        with servers.find_or_start(0, 4200, Exposure(), command="ui") as found:
            assert found.prefect.page == record.url
            assert found.prefect.record == replace(record, pid=os.getpid())
            assert not found.processes[0].ready()
            listening.close()
            assert found.processes[0].ready()
        assert access.read(prefect_server.record_file()) == record, "it is the other command's to remove"


def test_a_port_taken_by_a_stranger_ends_the_service_with_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "PATIENCE_WITH_STRANGERS", -1.0)
    listening = prefect_server.listen("127.0.0.1", 0)
    assert listening is not None
    with listening:
        record = prefect_server.new_record(prefect_server.address("127.0.0.1", listening), "ddpm:x")
        place = servers.BoundAddress("127.0.0.1", port(record.url), "another port")
        listening.settimeout(0)
        member = servers._prefect_process(record, place, Exposure())
        with pytest.raises(prefect_server.ServerError, match=r"is taken\. Try: another port"):
            member.ready()


def test_only_this_user_can_read_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    first = access.secret()
    path = access.secret_file()
    assert first.startswith("ddpm:")
    assert len(first) > 40
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert access.secret() == first
    path.chmod(0o644)
    second = access.secret()
    assert second != first, "somebody may have read it"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("")
    assert len(access.secret()) > 40
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "me:chosen")
    assert access.secret() == "me:chosen"


def test_sign_in_links_are_shown_on_a_terminal_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [ServerRecord(f"http://127.0.0.1:{number}", "ddpm:x-y", "k", 1) for number in (1, 2)]
    shown = servers.Servers(prefect_server.Server(f"{records[0].url}/api", records[0]), records[1].url, records[1], [])
    shown.show()
    said = capsys.readouterr().out
    assert "ddpm:x-y" not in said
    assert f"with the line of {access.secret_file()}" in said
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    shown.show()
    said = capsys.readouterr().out
    for each in records:
        assert f"{each.url}/ddpm/sign-in#ddpm:x-y" in said
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "ddpm:x-y")  # chosen by the user: not to be shown
    shown.show()
    said = capsys.readouterr().out
    assert "with PREFECT_SERVER_API_AUTH_STRING" in said
    assert "x-y" not in said + shown.prefect.sign_in
