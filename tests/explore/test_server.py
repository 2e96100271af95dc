"""The server: what it gives out, to whom, and what it makes of clients that mean it ill."""

from __future__ import annotations

import io
import re
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from decaf.errors import ExploreError, ImageError
from decaf.explore import patience
from decaf.explore.app import Answers
from decaf.explore.guard import POLICY, Access, is_loopback, new_token
from decaf.explore.served import Bundle, ServedPictures, kind_of, write_bundle
from decaf.explore.server import listen
from decaf.explore.uploads import Bounds, check_scans
from tests.explore import pages
from tests.explore.serving import RAW, House, by_colour, house, read_all, running

SECRET = b"what lies outside of the set"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    (folder / "secret.txt").write_bytes(SECRET)
    write_bundle(folder / "page.zip", pages.site(), pages.Plain())
    return folder / "page.zip"


@pytest.fixture(scope="module")
def served(bundle: Path) -> Iterator[House]:
    with house(bundle, bounds=Bounds(upload=2**20, linger=0.2)) as running_house:
        yield running_house


def png(row: int = 30, side: int = 40) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((side, side, 3), pages.colour(row), np.uint8)).save(out, "PNG")
    return out.getvalue()


# What is given out


def test_the_page_its_data_and_its_pictures(served: House, bundle: Path) -> None:
    page = served.ask("/")
    assert page.status == 200 and page.headers["content-type"] == "text/html; charset=utf-8"
    scripts = re.findall(r'src="([^"]+)"', page.body.decode())
    assert len(scripts) > 10 and all(served.ask(f"/{name}").status == 200 for name in scripts)
    site = served.ask("/data/site.js")
    assert site.body == Bundle(bundle).read("site.js") and site.headers["content-type"].startswith("text/javascript")
    picture = served.ask("/picture/30")
    assert picture.headers["content-type"] == "image/jpeg"
    assert pages.near(Image.open(io.BytesIO(picture.body)).getpixel((5, 5)), pages.colour(30))
    assert served.ask("/drop").json() == {"drop": True, "bytes": 2**20}


def test_an_original_is_the_file_as_it_is(served: House) -> None:
    reply = served.ask("/original/30")
    assert reply.body == pages.Plain().original(30) and reply.headers["content-type"] == "image/png"
    assert (
        "script" not in reply.headers["content-security-policy"]
        and reply.headers["x-content-type-options"] == "nosniff"
    )


def test_head_says_what_get_would(served: House) -> None:
    for path in ("/", "/data/site.js", "/picture/30", "/original/30"):
        head, get = served.ask(path, "HEAD"), served.ask(path)
        assert head.status == 200 and head.body == b"" and head.headers["content-type"] == get.headers["content-type"]
        assert head.headers["content-length"] == get.headers["content-length"] == str(len(get.body))


@pytest.mark.parametrize("path", ["/", "/data/site.js", "/picture/30", "/original/30", "/nowhere", "/drop"])
def test_every_answer_is_bound(served: House, path: str) -> None:
    headers = served.ask(path).headers
    assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
    assert headers["cross-origin-resource-policy"] == "same-origin" and headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"].replace("style-src 'unsafe-inline'", "")
    assert "server" not in headers


def test_the_header_allows_no_more_than_the_page_itself(served: House) -> None:
    own = re.search(rb'http-equiv="Content-Security-Policy" content="([^"]+)"', served.ask("/").body)
    assert own and f"{own[1].decode()}; frame-ancestors 'none'" == POLICY


def test_content_decides_what_is_given_out(bundle: Path) -> None:
    class Odd(pages.Plain):
        def original(self, row: int) -> bytes | None:
            script = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
            return {1: script, 2: b"<html><script>alert(1)</script>", 3: None, 4: b"II*\0 tiff"}.get(row, b"")

    with house(bundle, source=Odd()) as odd:
        for row in range(1, 6):
            reply = odd.ask(f"/original/{row}")
            assert reply.headers["content-type"] == "image/jpeg"
            assert Image.open(io.BytesIO(reply.body)).format == "JPEG"


def test_kinds_by_content() -> None:
    for kind, name in (("JPEG", "jpeg"), ("PNG", "png"), ("GIF", "gif"), ("BMP", "bmp"), ("WEBP", "webp")):
        out = io.BytesIO()
        Image.new("RGB", (4, 4)).save(out, kind)
        assert kind_of(out.getvalue()) == f"image/{name}"
    assert kind_of(b"") is None and kind_of(b"<svg/>") is None and kind_of(b"GIF80a") is None


def test_previews_are_kept_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    from decaf.explore import served as module

    class Counted(pages.Plain):
        loads: Counter[int] = Counter()

        def load(self, row: int) -> np.ndarray:
            self.loads[row] += 1
            return super().load(row)

    source = Counted()
    pictures = ServedPictures(source, pages.COUNT)
    monkeypatch.setattr(module, "_KEPT", 3 * len(pictures.preview(0)) + 50)
    for row in (0, 1, 2, 0, 3, 0, 1):
        pictures.preview(row)
    assert source.loads == {0: 1, 1: 2, 2: 1, 3: 1}  # 1 was used least when 3 came
    assert len(pictures._kept) == 3


# Paths, numbers and names


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt", "/data/../secret.txt", "/data/..%2fsecret.txt", "/data/%2e%2e/%2e%2e/secret.txt",
        "/data/..%5csecret.txt", "/data//etc/passwd", "//etc/passwd", "/%2fetc%2fpasswd", "/data/site.js%00.txt",
        "/..%252f..%252fsecret.txt", "/index.html/", "/data/", "/data", "/static/", "/page.zip", "/data/site.js/",
        "/picture/", "/picture/-1", "/picture/1.5", "/picture/1e1", "/picture/%D9%A3", "/picture/ 3", "/picture/+3",
        "/picture/999999999999999999999", f"/picture/{'9' * 6000}", "/picture/144", "/picture/../original/3",
        "/original/..%2f3", "/original/%00", "/original//etc/passwd", "/.git/config", "/__init__.py", "/writer.py",
    ],
)  # fmt: skip
def test_no_path_leads_out(served: House, path: str) -> None:
    reply = served.say(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
    assert re.match(rb"HTTP/1.1 (404|400)", reply), reply[:80]
    assert SECRET not in reply and b"root:" not in reply and b"PK\3\4" not in reply


def test_a_picture_that_cannot_be_read_says_nothing_of_where_it_lies(bundle: Path) -> None:
    class Gone(pages.Plain):
        def load(self, row: int) -> np.ndarray:
            raise ImageError("/home/me/secret.jpg is not there")

        def original(self, row: int) -> bytes | None:
            raise OSError(2, "No such file", "/home/me/secret.jpg")

    with house(bundle, source=Gone()) as gone:
        for path in ("/picture/3", "/original/3"):
            reply = gone.ask(path)
            assert reply.status == 404 and b"home" not in reply.body


def test_an_error_is_told_here_and_not_outside(bundle: Path, caplog: pytest.LogCaptureFixture) -> None:
    def fail(data: bytes) -> dict[str, object]:
        raise RuntimeError("inner matters: /home/me")

    with house(bundle, Answers(fail)) as failing:
        reply = failing.drop(png())
        assert (reply.status, reply.body) == (500, b"Internal Server Error")
        assert failing.is_well()
    assert "inner matters" in caplog.text


# Who may ask


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", "127.0.0.1@evil.example",
     "", "[::1", "127.0.0.1:", "127.0.0.1:80:80", "localhost.", "0x7f000001", "2130706433.example", "a b", "\xff"],
)  # fmt: skip
def test_a_foreign_name_is_refused(served: House, host: str) -> None:
    reply = served.say(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode("latin-1"))
    assert re.match(rb"HTTP/1.1 (403|400)", reply), reply[:60]


def test_own_names_are_known(served: House) -> None:
    for host in ("127.0.0.1", "localhost", "LOCALHOST:8000", "[::1]", f"127.0.0.1:{served.port}", "127.1.2.3"):
        assert served.ask("/", headers={"Host": host}).status == 200, host


@pytest.mark.parametrize("request_line", [b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n"])
def test_without_a_name_nothing_is_answered(served: House, request_line: bytes) -> None:
    assert re.match(rb"HTTP/1.1 (400|403)", served.say(request_line))


def test_two_names_are_refused(served: House) -> None:
    said = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    assert b" 400 " in served.say(said)[:20]


def test_forwarding_headers_change_nothing(served: House) -> None:
    headers = {"X-Forwarded-Host": "evil.example", "X-Forwarded-For": "10.1.1.1", "Forwarded": "host=evil.example"}
    assert served.ask("/", headers=headers).status == 200
    assert served.ask("/", headers=headers | {"Host": "evil.example", "X-Forwarded-Host": "127.0.0.1"}).status == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1:1"])
@pytest.mark.parametrize(("method", "path"), [("POST", "/drop"), ("GET", "/data/paths.js")])
def test_pages_of_other_sites_may_not_ask(served: House, origin: str, method: str, path: str) -> None:
    headers = RAW | {"Origin": origin.format(port=served.port)}
    assert served.ask(path, method, png() if method == "POST" else None, headers).status == 403


def test_the_own_page_may_ask(served: House) -> None:
    reply = served.drop(png(), Origin=f"http://127.0.0.1:{served.port}", **{"Sec-Fetch-Site": "same-origin"})
    assert reply.status == 200 and reply.json()["layers"][1]["near"][0] == 30


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_scripts_and_pictures_are_not_for_other_sites(served: House, site: str) -> None:
    loaded = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"}
    for path in ("/", "/data/paths.js", "/picture/3", "/original/3"):
        assert served.ask(path, headers=loaded).status == 403
    opened = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert served.ask("/", headers=opened).status == 200
    assert served.ask("/original/3", headers=opened).status == 403
    assert served.ask("/", headers=opened | {"Sec-Fetch-Dest": "iframe"}).status == 403


def test_a_form_of_another_site_is_no_upload(served: House) -> None:
    for kind in ("text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "image/png"):
        assert served.ask("/drop", "POST", png(), {"Content-Type": kind}).status == 415


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "PROPFIND"])
def test_other_methods_are_refused(served: House, method: str) -> None:
    assert served.ask("/drop", method).status == served.ask("/", method).status == 405


def test_a_token_is_asked_for_and_becomes_a_cookie(bundle: Path) -> None:
    token = new_token()
    access = Access(loopback=False, names=frozenset(["studio"]), token=token, cookie="decaf-1")
    with house(bundle, access=access) as guarded:
        for path in ("/", "/data/site.js", "/picture/3", "/drop", "/nowhere"):
            assert guarded.ask(path).status == 401
            assert guarded.ask(path, headers={"Cookie": "decaf-1=wrong"}).status == 401
            assert guarded.ask(f"{path}?token={token[:-1]}").status == 401
        assert guarded.ask(f"/picture/3?token={token}").status == 401  # it belongs into the address once
        entrance = guarded.ask(f"/?token={token}")
        cookie = entrance.headers["set-cookie"]
        assert entrance.status == 200 and "HttpOnly" in cookie and "SameSite=strict" in cookie
        assert b"url=./" in entrance.body and token.encode() not in entrance.body
        let_in = {"Cookie": f"other=1; {cookie.partition(';')[0]}"}
        assert all(guarded.ask(path, headers=let_in).status == 200 for path in ("/", "/data/site.js", "/picture/3"))
        assert guarded.ask("/drop", "POST", png(), RAW | let_in).status == 200
        assert guarded.ask("/", headers=let_in | {"Host": "studio:1"}).status == 200
        assert guarded.ask("/", headers=let_in | {"Host": "192.168.1.7"}).status == 200
        assert guarded.ask("/", headers=let_in | {"Host": "evil.example"}).status == 403
        for odd in ("decaf-1", "decaf-1=\xe9", '="; decaf-1=', "a" * 9000):
            assert (
                guarded.say(f"GET / HTTP/1.0\r\nHost: studio\r\nCookie: {odd}\r\n\r\n".encode("latin-1"))[9:12]
                == b"401"
            )


def test_tokens_are_long_and_new() -> None:
    assert len({new_token() for _ in range(100)}) == 100 and min(len(new_token()) for _ in range(100)) >= 43


def test_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LocalHost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "example", "", "localhost.example")))


# What is dropped


def bomb(width: int, height: int) -> bytes:
    """A PNG of zeros: a few kilobytes of any number of pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(min((width // 8 + 1) * height, 10_000_000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def many_scans(count: int) -> bytes:
    """A JPEG file that says it has so many scans."""
    out = io.BytesIO()
    Image.new("RGB", (16, 16)).save(out, "JPEG", progressive=True)
    data = out.getvalue()
    start = data.index(b"\xff\xda")
    end = data.index(b"\xff", data.index(b"\xff\xda") + 14)
    return data[:start] + data[start:end] * count + data[end:]


SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
NO_PICTURES = {
    "svg with a script": SVG,
    "svg with a prologue": b"<?xml version='1.0'?><!DOCTYPE svg [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>" + SVG,
    "html": b"<!doctype html><script>alert(1)</script>",
    "nothing": b"",
    "text": b"hello",
    "zip": b"PK\3\4" + bytes(50),
    "pdf": b"%PDF-1.7\n",
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "half a picture": png()[:60],
    "elf": b"\x7fELF" + bytes(100),
    "40,000 x 40,000 pixels": bomb(40_000, 40_000),
    "2 billion pixels a side": bomb(2**31 - 1, 2**31 - 1),
    "a million pixels, and one row more": bomb(1000, 1001),
    "too many scans": many_scans(300),
}


@pytest.mark.parametrize("what", NO_PICTURES)
def test_what_is_no_picture_is_refused_by_its_content(served: House, what: str) -> None:
    reply = served.drop(NO_PICTURES[what])
    assert reply.status == 422 and "No picture that can be read" in reply.json()["error"]
    assert served.drop(png(12)).json()["layers"][1]["near"][0] == 12


def test_scans_are_counted_where_they_are() -> None:
    check_scans(many_scans(150))
    with pytest.raises(ImageError, match="200 scans"):
        check_scans(many_scans(250))
    noise = np.random.default_rng(0).integers(0, 256, 2**22, dtype=np.uint8).tobytes()
    out = io.BytesIO()
    Image.new("RGB", (16, 16)).save(out, "JPEG", comment=b"\xff\xda" * 500)
    check_scans(out.getvalue() + b"\xff\xda" * 500 + noise)  # in a comment, and behind the end: a film, say
    check_scans(noise)
    check_scans(b"\xff\xd8")


def test_an_upload_that_says_it_is_too_large_is_not_read(served: House) -> None:
    head = f"POST /drop HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {RAW['Content-Type']}\r\nConnection: close\r\n"
    for length in ("1048577", "10000000000", "9" * 30):
        reply = served.say(f"{head}Content-Length: {length}\r\n\r\n".encode())
        assert re.match(rb"HTTP/1.1 (413|400)", reply), reply[:50]


def test_an_endless_stream_is_cut(served: House) -> None:
    head = "POST /drop HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/octet-stream\r\n"
    part = b"10000\r\n" + bytes(65536) + b"\r\n"
    sent = 0
    with served.connect() as client:
        client.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        try:
            while sent < 2**28:
                client.sendall(part)
                sent += len(part)
        except OSError:
            pass
        said = read_all(client)
    assert sent < 2**25  # of what would be 10 GB
    assert said == b"" or b" 413 " in said[:20]
    assert served.is_well()


def test_a_refused_upload_is_told_to_who_sends_it_whole(served: House) -> None:
    reply = served.drop(bytes(2**20 + 1000))
    assert reply.status == 413 and "More than 1 MB" in reply.json()["error"]


def test_two_hundred_at_a_time(bundle: Path) -> None:
    def slowly(data: bytes) -> dict[str, object]:
        time.sleep(0.05)
        return by_colour(data)

    with house(bundle, Answers(slowly), bounds=Bounds(upload=2**20)) as busy, ThreadPoolExecutor(200) as pool:
        replies = list(pool.map(lambda _: busy.drop(png(30)), range(200)))
        counts = Counter(reply.status for reply in replies)
        assert counts[200] >= 6 and counts[200] + counts[429] + counts[503] == 200 and counts[429] > 0
        assert all(int(reply.headers["retry-after"]) > 0 for reply in replies if reply.status != 200)
        assert all(reply.json()["layers"][1]["near"][0] == 30 for reply in replies if reply.status == 200)
        assert busy.is_well() and busy.drop(png(7)).status == 200


def test_work_that_takes_too_long_keeps_its_seat_until_it_ends(bundle: Path) -> None:
    go_on = threading.Event()

    def hang(data: bytes) -> dict[str, object]:
        go_on.wait(10)
        return {}

    with house(bundle, Answers(hang), bounds=Bounds(work=0.1, seats=2, seats_each=2)) as hanging:
        assert hanging.drop(png()).status == hanging.drop(png()).status == 504
        assert hanging.drop(png()).status == 503
        go_on.set()
        for _ in range(100):
            if hanging.drop(png()).status == 200:
                return
            time.sleep(0.02)
        pytest.fail("the seats were not given back")


# Clients that are slow


def test_a_slow_body_is_not_waited_for(bundle: Path) -> None:
    with house(bundle, bounds=Bounds(pause=0.2, seconds=0.7)) as hasty:
        head = "POST /drop HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/octet-stream\r\n"
        head += "Content-Length: 999\r\n\r\n"
        with hasty.connect() as client:  # nothing comes
            client.sendall(head.encode() + b"x")
            assert b" 408 " in client.recv(4096)[:20]
        with hasty.connect() as client:  # a byte now and then
            client.sendall(head.encode())
            started = time.monotonic()
            try:
                for _ in range(100):
                    client.sendall(b"x")
                    time.sleep(0.05)
            except OSError:
                pass
            assert time.monotonic() - started < 4
        assert hasty.is_well()


def test_a_slow_header_is_not_waited_for(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "HEADER_SECONDS", 0.4)
    with house(bundle) as hasty:
        clients = [hasty.connect() for _ in range(20)]
        started = time.monotonic()
        for client in clients:
            client.sendall(b"GET / HTTP/1.1\r\n")
        while time.monotonic() - started < 1 and hasty.server.server_state.connections:
            for client in clients:
                with suppress(OSError):
                    client.sendall(b"X")  # a letter of a header, again and again
            time.sleep(0.05)
        assert not hasty.server.server_state.connections
        for client in clients:
            client.close()
        with hasty.connect() as client:  # a second request on a connection has no more time than the first
            client.sendall(b"GET /nowhere HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert b"404" in client.recv(4096)
            client.sendall(b"GET /")
            started = time.monotonic()
            read_all(client)
            assert time.monotonic() - started < 2
        assert hasty.is_well()


def test_an_answer_nobody_takes_is_not_kept(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "STALLED_SECONDS", 0.3)

    class Large(pages.Plain):
        def original(self, row: int) -> bytes | None:
            return b"\xff\xd8\xff" + bytes(2**24)

    with house(bundle, source=Large()) as large:
        clients = [large.connect() for _ in range(4)]
        for client in clients:
            client.sendall(b"GET /original/3 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        time.sleep(0.2)
        assert large.ask("/original/3").status in (429, 503)  # all places are taken
        for _ in range(100):
            if large.ask("/original/3").status == 200:
                break
            time.sleep(0.05)
        else:
            pytest.fail("stalled clients were not let go")
        for client in clients:
            client.close()


def test_more_connections_than_there_is_room_for(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "MOST_CONNECTIONS", 10)
    with house(bundle) as small:
        clients = [small.connect() for _ in range(10)]
        time.sleep(0.1)
        with small.connect() as client:
            assert b" 503 " in read_all(client)[:20]
        for client in clients:
            client.close()
        time.sleep(0.1)
        assert small.is_well()


@pytest.mark.parametrize(
    "said",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(50),  # TLS
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"CONNECT evil.example:443 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: y\r\n" * 9000 + b"\r\n",
        b"POST /drop HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /drop HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -3\r\n\r\n",
        b"POST /drop HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nA:b\nc\r\n\r\n", b"GET / HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n",
        b"GET /\0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"\r\n" * 100, b"\0" * 100, b"GET",
    ],
)  # fmt: skip
def test_what_is_no_request_is_no_trouble(served: House, said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "HEADER_SECONDS", 0.3)
    reply = served.say(said)
    assert re.match(rb"HTTP/1.1 (4\d\d)|^$", reply), reply[:80]
    assert served.is_well()


def test_upgrades_are_not_followed(served: House) -> None:
    said = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\r\n"
    assert not served.say(said).startswith(b"HTTP/1.1 101")


# Beginning and end


def test_a_port_that_is_taken() -> None:
    with listen("127.0.0.1", 0).socket as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ExploreError, match=f"port {port} .*name another with --host or --port"):
            listen("127.0.0.1", port)
    with pytest.raises(ExploreError, match="cannot listen on no"):
        listen("no.such.host.invalid", 0)


def test_without_a_port_another_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    from decaf.explore import server

    with listen("127.0.0.1", 0).socket as taken:
        taken.listen()
        monkeypatch.setattr(server, "PORT", taken.getsockname()[1])
        other = listen("127.0.0.1")
        assert other.port not in (0, server.PORT) and other.address == f"http://127.0.0.1:{other.port}/"
        other.socket.close()


def test_it_ends_while_clients_dawdle(bundle: Path) -> None:
    started = time.monotonic()
    with house(bundle) as running_house:
        dawdling = running_house.connect()
        dawdling.sendall(b"POST /drop HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n")
    dawdling.close()
    assert time.monotonic() - started < 5


def test_a_bundle_is_whole_or_none(tmp_path: Path) -> None:
    for content in (b"", b"PK\3\4", b"no zip"):
        (tmp_path / "page.zip").write_bytes(content)
        with pytest.raises(ValueError):
            Bundle(tmp_path / "page.zip")


def test_nothing_is_left_of_making_a_bundle(bundle: Path) -> None:
    assert sorted(path.name for path in bundle.parent.iterdir()) == ["page.zip", "secret.txt"]
    assert Bundle(bundle).unseen == [pages.BROKEN]


def test_running_can_be_used_again() -> None:
    async def app(scope: object, receive: object, send: object) -> None:
        pass

    for _ in range(2):
        with running(app, listen("127.0.0.1", 0)):
            pass
