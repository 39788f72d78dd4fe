"""The application of a review, in one process: what it gives away, and what it refuses."""

from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from ddpm.review import app
from ddpm.review.session import Session
from tests.support.reviews import started

ADDRESS = "http://127.0.0.1:8765"
TOKEN = "token-of-the-tests"
COOKIE = "ddpm-review-8765"
FORM = "position=0&real=yes"


@dataclass
class Asked:
    """A browser that has opened the link; `results` counts the results that have been sent."""

    session: Session
    results: list[None] = field(default_factory=list)

    def __post_init__(self) -> None:
        review = app.Review(self.session, TOKEN, COOKIE, lambda: self.results.append(None))
        self.client = TestClient(review.application(), ADDRESS, follow_redirects=False)
        self.get, self.post = self.client.get, self.client.post
        self.cookie(f"{COOKIE}={TOKEN}")

    def cookie(self, sent: str) -> None:
        self.client.headers["Cookie"] = sent


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    return Asked(started(tmp_path, 4))


def test_the_whole_way_gives_nothing_away_before_the_end(asked: Asked) -> None:
    pages, sizes = [], set()
    for position in range(4):
        pages.append(asked.get("/").text.replace(f"/{position}", "/N"))
        image = asked.get(f"/image/{position}")
        assert image.status_code == 200
        sizes.add((len(image.content), *sorted(image.headers)))
        assert asked.post("/answer", content=f"position={position}&real=yes").status_code == 303
    assert len(sizes) == 1
    assert len({len(page) for page in pages[1:]}) == 1
    assert "wrong" not in "".join(pages)
    assert "wrong" not in asked.get("/").text
    assert not asked.results
    assert asked.post("/finish").status_code == 303
    result = asked.get("/")
    assert (result.status_code, len(asked.results)) == (200, 1)
    assert asked.post("/finish").status_code == 303
    assert len(asked.results) == 1, "a form sent twice reports once"
    assert f"{4 - asked.session.real.sum()} of 4" in result.text
    assert 'href="/' not in result.text
    assert "src=" not in result.text, "the page outlives the server in an open tab"


def test_the_result_of_images_of_one_kind_only(tmp_path: Path) -> None:
    """Coins may fall so: then there is no rate of the other kind."""
    seeds = {kind: next(s for s in range(99) if (started(tmp_path, 2, s).real == kind).all()) for kind in (True, False)}
    for kind, seed in seeds.items():
        asked = Asked(started(tmp_path, 2, seed))
        for position in range(2):
            asked.post("/answer", content=f"position={position}&real=yes")
        assert asked.post("/finish").status_code == 303
        result = asked.get("/")
        assert result.status_code == 200
        assert f"wrong about {0 if kind else 2} of 2" in result.text
        assert ("judged real" in result.text, "judged generated" in result.text) == (not kind, kind)


def test_only_the_image_that_is_due_is_shown(asked: Asked) -> None:
    assert asked.get("/image/1").status_code == 404
    asked.post("/answer", content="position=0&real=no")
    assert [asked.get(f"/image/{i}").status_code for i in (0, 1)] == [404, 200]
    asked.post("/undo")
    assert asked.get("/image/0").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/%2e%2e/params.yaml", "", 404), ("GET", "/image/-1", "", 404), ("GET", "/image/x", "", 404),
        ("GET", "/image/00", "", 404), ("GET", f"/image/{'9' * 9999}", "", 404), ("GET", "/?real=1", "", 404),
        ("GET", "/review.html.jinja", "", 404), ("GET", "/session.py", "", 404), ("GET", "/answer?" + FORM, "", 405),
        ("POST", "/", "", 405), ("POST", "/nowhere", "", 404), ("POST", "/answer", "", 400),
        ("POST", "/answer", "position=0&real=maybe", 400), ("POST", "/answer", "position=0&real=yes&real=no", 400),
        ("POST", "/answer", "position=7&real=yes", 409), ("POST", "/answer", "position=99999999&real=yes", 400),
        ("POST", "/undo", "", 409), ("POST", "/finish", "", 409), ("POST", "/answer", b"\xff" * 9, 400),
        ("POST", "/answer", "&".join(f"x{i}=1" for i in range(9)), 400), ("POST", "/answer", "x" * 2000, 413),
        ("DELETE", "/", "", 405),
    ],
)  # fmt: skip
def test_a_bad_request_is_refused_and_changes_nothing(
    asked: Asked, method: str, path: str, body: str | bytes, status: int
) -> None:
    assert asked.client.request(method, path, content=body).status_code == status
    assert asked.session.answers == []
    assert asked.get("/").status_code == 200


def test_a_body_without_a_length_is_limited_too(asked: Asked) -> None:
    assert asked.post("/answer", content=iter([b"x" * 1000] * 3)).status_code == 413


@pytest.mark.parametrize(
    "host", ["evil.example:8765", "evil.example", "127.0.0.1.evil.example", "evil.example@127.0.0.1", "0.0.0.0", ""]
)
def test_other_hosts_are_refused_whoever_asks(asked: Asked, host: str) -> None:
    for path in ("/", f"/?token={TOKEN}", "/image/0", "/review.js", "/nowhere"):
        assert asked.get(path, headers={"Host": host}).status_code == 400
    assert asked.post("/answer", content=FORM, headers={"Host": host}).status_code == 400
    assert asked.session.answers == []


def test_localhost_is_this_machine_too(asked: Asked) -> None:
    assert asked.get("/", headers={"Host": "localhost:8765"}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:8766", "https://127.0.0.1:8765"])
def test_forms_of_other_pages_are_refused(asked: Asked, origin: str) -> None:
    assert asked.post("/answer", content=FORM, headers={"Origin": origin}).status_code == 403
    assert asked.session.answers == []
    assert asked.post("/answer", content=FORM, headers={"Origin": ADDRESS}).status_code == 303


@pytest.mark.parametrize(
    "cookie",
    ["", f"ddpm-review-1={TOKEN}", f"{COOKIE}=x", f"{COOKIE}=", "\x01;=;", f"{COOKIE}={TOKEN}x"],
)
def test_without_the_token_of_the_link_nothing_is_shown_or_taken(asked: Asked, cookie: str) -> None:
    asked.cookie(cookie)
    for method, path, body in (
        ("GET", "/", ""), ("GET", "/image/0", ""), ("GET", "/review.js", ""), ("GET", "/?token=x", ""),
        ("GET", f"/?token={TOKEN}&x=1", ""), ("GET", f"/image/0?token={TOKEN}", ""), ("HEAD", f"/?token={TOKEN}", ""),
        ("POST", "/answer", FORM), ("POST", "/?token=x", FORM), ("POST", f"/?token={TOKEN}", FORM),
    ):  # fmt: skip
        answer = asked.client.request(method, path, content=body)
        assert (answer.status_code, TOKEN in answer.text + str(answer.headers)) == (403, False)
    assert asked.session.answers == []


def test_the_link_signs_a_browser_in_and_leaves_the_address(asked: Asked) -> None:
    asked.cookie("")
    answer = asked.get(f"/?token={TOKEN}")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    (cookie,) = SimpleCookie(answer.headers["Set-Cookie"]).values()
    assert (cookie.key, cookie.value) == (COOKIE, TOKEN)
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "lax", "/")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_page_cannot_embed_what_a_browser_would_be_let_in_to(asked: Asked, site: str) -> None:
    def sent(mode: str, destination: str) -> dict[str, str]:
        return {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": destination}

    for mode, destination in (("no-cors", "image"), ("navigate", "iframe"), ("no-cors", "script"), ("cors", "empty")):
        assert asked.get("/", headers=sent(mode, destination)).status_code == 403
        assert asked.post("/undo", headers=sent(mode, destination)).status_code == 403
    assert asked.post("/undo", headers=sent("navigate", "document")).status_code == 403
    assert asked.get("/", headers=sent("navigate", "document")).status_code == 200


def test_the_page_loads_nothing_from_elsewhere_and_no_answer_is_kept(asked: Asked) -> None:
    page = asked.get("/")
    assert "http" not in page.text
    assert (asked.get("/review.js").status_code, "/review.js" in page.text) == (200, True)
    refused = asked.get("/", headers={"Host": "evil.example"})
    for answer in (page, asked.get("/review.js"), asked.get("/image/0"), asked.get("/nowhere"), refused):
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
