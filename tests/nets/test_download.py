"""A download is whole and the published file, or absent, whatever the server does."""

from __future__ import annotations

import hashlib
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.lying_server import (
    Answer,
    Request,
    Server,
    announcing,
    cut_after,
    honest,
    redirect,
    running_server,
    status,
    without_range,
)

from decaf.errors import FolderInUse, NetError
from decaf.nets.download import Limits, copy, download
from decaf.nets.parameters import Download

DATA = np.random.default_rng(0).bytes(300_000)
HALF = len(DATA) // 2
OTHER = DATA[:-1] + bytes([DATA[-1] ^ 1])
QUICK = Limits(tries=3, pause=0, connect=1, silence=0.3)


@pytest.fixture(scope="module")
def listening() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture
def server(listening: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    listening.scripts.clear()
    listening.asked.clear()
    return listening


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Download:
    monkeypatch.setenv("DECAF_CACHE", str(tmp_path))
    return Download("net.onnx", (), hashlib.sha256(DATA).hexdigest(), len(DATA))


def fetched(file: Download, *urls: str, limits: Limits = QUICK) -> bool:
    """Downloads the file; whether it is there, whole, and nothing else is."""
    download(file, urls, limits=limits)
    return file.target.read_bytes() == DATA and left(file) == ["net.onnx"]


def refused(file: Download, *urls: str, limits: Limits = QUICK) -> str:
    """A download that must fail in one line and leave no file under its name; the line."""
    with pytest.raises(NetError) as caught:
        download(file, urls, limits=limits)
    assert not file.target.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def left(file: Download) -> list[str]:
    return [path.name for path in file.target.parent.iterdir() if not path.name.endswith(".lock")]


def part_of(file: Download) -> Path:
    return file.target.with_name("net.onnx.part")


def begun(file: Download, data: bytes) -> Path:
    """What an earlier download left."""
    part = part_of(file)
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(data)
    return part


# What works


def test_a_file_is_fetched(server: Server, file: Download) -> None:
    assert fetched(file, server.serve("/net", honest(DATA)))
    assert server.ranges == [None]


def test_progress_ends_at_the_size_and_never_goes_back(server: Server, file: Download) -> None:
    seen: list[int] = []
    download(file, [server.serve("/net", cut_after(HALF, DATA), honest(DATA))], seen.append, QUICK)
    assert seen[-1] == len(DATA) and seen == sorted(seen)


def test_a_cut_download_continues_where_it_stopped(server: Server, file: Download) -> None:
    url = server.serve("/net", cut_after(HALF, DATA), cut_after(1000, DATA), honest(DATA))
    assert fetched(file, url)
    assert server.ranges == [None, f"bytes={HALF}-", f"bytes={HALF + 1000}-"]


def test_a_later_call_continues_an_earlier_one(server: Server, file: Download) -> None:
    url = server.serve("/net", cut_after(HALF, DATA), status(503), status(503), honest(DATA))
    message = refused(file, url)
    assert f"{HALF:,} bytes of it are kept" in message
    assert left(file) == ["net.onnx.part"]
    assert fetched(file, url)
    assert server.ranges[-1] == f"bytes={HALF}-"


def test_a_server_that_cannot_continue_sends_it_all_again(server: Server, file: Download) -> None:
    assert fetched(file, server.serve("/net", cut_after(HALF, DATA), without_range(DATA)))
    assert server.ranges == [None, f"bytes={HALF}-"]


def test_a_part_that_is_complete_already_is_not_fetched_again(server: Server, file: Download) -> None:
    begun(file, DATA)
    assert fetched(file, server.serve("/net", honest(DATA)))
    assert server.asked == []


def test_a_length_that_is_not_announced_is_no_reason_to_refuse(server: Server, file: Download) -> None:
    assert fetched(file, server.serve("/net", announcing(None, DATA)))


def chunked(data: bytes) -> Answer:
    def answer(request: Request) -> None:
        request.protocol_version = "HTTP/1.1"
        request.begin(Transfer_Encoding="chunked", Connection="close")
        for start in range(0, len(data), 70_001):
            piece = data[start : start + 70_001]
            request.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        request.wfile.write(b"0\r\n\r\n")

    return answer


def test_a_body_in_chunks_is_put_together(server: Server, file: Download) -> None:
    assert fetched(file, server.serve("/net", chunked(DATA)))


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_followed(server: Server, file: Download, code: int) -> None:
    server.serve("/there", honest(DATA))
    assert fetched(file, server.serve("/net", redirect("/there", code)))


def test_a_redirected_download_continues_too(server: Server, file: Download) -> None:
    begun(file, DATA[:HALF])
    server.serve("/there", honest(DATA))
    assert fetched(file, server.serve("/net", redirect("/there")))
    assert server.ranges[-1] == f"bytes={HALF}-"


@pytest.mark.parametrize("code", [429, 500, 502, 503])
def test_a_busy_server_is_asked_again(server: Server, file: Download, code: int) -> None:
    assert fetched(file, server.serve("/net", status(code), status(code), honest(DATA)))


def test_mirrors_are_tried_in_order(server: Server, file: Download) -> None:
    first, second, third = (server.serve(f"/{name}", status(404)) for name in ("a", "b", "c"))
    server.serve("/b", honest(DATA))
    assert download(file, [first, second, third], limits=QUICK) == second
    assert [path for path, _ in server.asked] == ["/a", "/b"]


def test_a_mirror_continues_what_another_began(server: Server, file: Download) -> None:
    cut = server.serve("/cut", cut_after(HALF, DATA), status(404))
    assert fetched(file, cut, server.serve("/net", honest(DATA)))
    assert server.ranges[-1] == f"bytes={HALF}-"


def test_the_password_file_is_not_read(
    server: Server, file: Download, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    sent: list[str | None] = []

    def answer(request: Request) -> None:
        sent.append(request.headers.get("Authorization"))
        honest(DATA)(request)

    assert fetched(file, server.serve("/net", answer))
    assert sent == [None]


# What is refused


def test_a_wrong_file_is_refused_and_removed(server: Server, file: Download) -> None:
    assert "it serves another file (sha256 differs)" in refused(file, server.serve("/net", honest(OTHER)))
    assert left(file) == []
    assert len(server.asked) == 1


def test_after_a_wrong_file_the_next_mirror_is_tried(server: Server, file: Download) -> None:
    wrong = server.serve("/wrong", honest(OTHER))
    assert fetched(file, wrong, server.serve("/net", honest(DATA)))


def test_the_rest_of_another_file_is_noticed_and_it_is_fetched_from_the_start(server: Server, file: Download) -> None:
    begun(file, OTHER[:10] + bytes(HALF))
    assert fetched(file, server.serve("/net", honest(DATA)))
    assert server.ranges == [f"bytes={HALF + 10}-", None]


def test_a_complete_part_of_another_file_is_fetched_anew(server: Server, file: Download) -> None:
    begun(file, OTHER)
    assert fetched(file, server.serve("/net", honest(DATA)))
    assert server.ranges == [None]


@pytest.mark.parametrize("length", [0, 134, len(DATA) - 1, len(DATA) + 1, 10**15])
def test_an_announced_length_that_is_not_that_of_the_file_is_refused_at_once(
    server: Server, file: Download, length: int
) -> None:
    assert f"it announces {length} bytes" in refused(file, server.serve("/net", announcing(length, DATA)))
    assert left(file) == []


@pytest.mark.parametrize("length", ["-1", "0x10", "", "9" * 5000])
def test_a_length_that_is_no_number_is_refused(server: Server, file: Download, length: str) -> None:
    assert len(refused(file, server.serve("/net", announcing(length, DATA)))) < 200


def test_a_body_shorter_than_announced_is_not_taken_for_the_file(server: Server, file: Download) -> None:
    message = refused(file, server.serve("/net", cut_after(HALF, DATA), *[cut_after(0, DATA)] * 2))
    assert "127.0.0.1: the connection" in message
    assert part_of(file).read_bytes() == DATA[:HALF]


def endless(request: Request) -> None:
    request.begin()
    while True:
        request.wfile.write(bytes(65536))


def test_an_endless_stream_is_left_once_it_is_longer_than_the_file(server: Server, file: Download) -> None:
    assert f"it sends more than the {len(DATA):,} bytes" in refused(file, server.serve("/net", endless))
    assert left(file) == []


def test_never_more_bytes_are_written_than_the_file_has(server: Server, file: Download) -> None:
    seen: list[int] = []
    with pytest.raises(NetError):
        download(file, [server.serve("/net", endless)], seen.append, QUICK)
    assert max(seen) <= len(DATA)


def stalling(request: Request) -> None:
    request.begin(Content_Length=len(DATA))
    request.wfile.write(DATA[:HALF])
    request.wfile.flush()
    time.sleep(1)


def silent(request: Request) -> None:
    time.sleep(1)


@pytest.mark.parametrize("answer", [stalling, silent])
def test_a_server_that_says_nothing_more_is_given_up(server: Server, file: Download, answer: Answer) -> None:
    limits = Limits(tries=1, pause=0, silence=0.2)
    start = time.monotonic()
    message = refused(file, server.serve("/net", answer), limits=limits)
    assert "for 0.2 s" in message
    assert time.monotonic() - start < 0.9


def dripping(request: Request) -> None:
    request.begin(Content_Length=len(DATA))
    for byte in DATA:
        request.wfile.write(bytes([byte]))
        request.wfile.flush()
        time.sleep(0.02)


def test_a_server_that_drips_is_given_up(server: Server, file: Download) -> None:
    limits = Limits(tries=1, pause=0, silence=0.3, slowest=10_000)
    assert "slower than 10000 bytes/s" in refused(file, server.serve("/net", dripping), limits=limits)


def test_redirects_in_a_circle_end(server: Server, file: Download) -> None:
    server.serve("/b", redirect("/a"))
    assert "redirects more than 5 times" in refused(file, server.serve("/a", redirect("/b")))
    assert len(server.asked) == 6


@pytest.mark.parametrize(
    "to", ["http://example.org/net", "ftp://127.0.0.1/net", "file:///etc/passwd", "http://[", "http://0.0.0.0/", ""]
)
def test_redirects_lead_only_to_https_or_this_machine(server: Server, file: Download, to: str) -> None:
    refused(file, server.serve("/net", redirect(to)))
    assert {path for path, _ in server.asked} == {"/net"}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody has signed, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed: no certificate to serve https with")
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    new = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(path), *subject]
    made = subprocess.run(new, check=True, capture_output=True, text=True)
    path.write_text(path.read_text() + made.stdout)
    return path


@pytest.fixture
def secure(certificate: Path) -> Iterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with running_server(context) as server:
        yield server


def test_a_certificate_that_nobody_vouches_for_is_refused(secure: Server, file: Download) -> None:
    assert "its certificate is not accepted" in refused(file, secure.serve("/net", honest(DATA)))
    assert secure.asked == []


def test_https_never_leads_to_http(
    secure: Server, server: Server, certificate: Path, file: Download, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    assert fetched(file, secure.serve("/net", honest(DATA)))
    file.target.unlink()
    plain = server.serve("/net", honest(DATA))
    assert "it redirects from https to something else" in refused(file, secure.serve("/net", redirect(plain)))
    assert server.asked == []


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 204, 304])
def test_what_will_not_get_better_is_asked_once(server: Server, file: Download, code: int) -> None:
    assert f"it answers {code}" in refused(file, server.serve("/net", status(code)))
    assert len(server.asked) == 1


def test_a_broken_server_is_asked_no_more_often_than_allowed(server: Server, file: Download) -> None:
    assert "it answers 500" in refused(file, server.serve("/net", status(500)))
    assert len(server.asked) == QUICK.tries


@pytest.mark.parametrize(
    "span", [f"bytes 0-{len(DATA) - 1}/{len(DATA)}", f"bytes {HALF}-{len(DATA)}/{len(DATA) + 1}", "bytes */*", ""]
)
def test_a_continuation_from_elsewhere_is_not_appended(server: Server, file: Download, span: str) -> None:
    begun(file, DATA[:HALF])

    def elsewhere(request: Request) -> None:
        request.begin(206, Content_Length=HALF, Content_Range=span)
        request.wfile.write(DATA[:HALF])

    assert fetched(file, server.serve("/net", elsewhere, honest(DATA)))
    assert server.ranges == [f"bytes={HALF}-", None]


def test_a_part_of_a_file_nobody_asked_for_is_refused(server: Server, file: Download) -> None:
    def partial(request: Request) -> None:
        request.begin(206, Content_Length=len(DATA), Content_Range=f"bytes 0-{len(DATA) - 1}/{len(DATA)}")
        request.wfile.write(DATA)

    assert "it cannot continue the file" in refused(file, server.serve("/net", partial))


def test_a_range_that_is_refused_starts_the_file_again(server: Server, file: Download) -> None:
    begun(file, DATA[:HALF])
    assert fetched(file, server.serve("/net", status(416), honest(DATA)))


def garbage(request: Request) -> None:
    request.wfile.write(b"\x00\xff not HTTP at all\r\n\r\n")


def hangs_up(request: Request) -> None:
    request.connection.close()


@pytest.mark.parametrize("answer", [garbage, hangs_up])
def test_what_is_no_answer_is_asked_again_and_refused(server: Server, file: Download, answer: Answer) -> None:
    assert "127.0.0.1: " in refused(file, server.serve("/net", answer))
    assert 1 <= len(server.asked) <= QUICK.tries


@pytest.mark.parametrize("url", ["http://example.org/net.onnx", "ftp://example.org/x", "https://", "x", "", "http://["])
def test_only_https_is_asked(file: Download, url: str) -> None:
    assert refused(file, url)


def test_a_machine_without_network_is_told_so(file: Download) -> None:
    assert "127.0.0.1: no connection" in refused(file, "http://127.0.0.1:9/net.onnx")


# Files and links


@pytest.mark.parametrize("kind", ["part", "file"])
def test_a_symbolic_link_is_replaced_and_what_it_points_at_is_untouched(
    server: Server, file: Download, tmp_path: Path, kind: str
) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"mine")
    file.target.parent.mkdir()
    (part_of(file) if kind == "part" else file.target).symlink_to(precious)
    assert fetched(file, server.serve("/net", honest(DATA)))
    assert precious.read_bytes() == b"mine" and not file.target.is_symlink()


def test_a_part_longer_than_the_file_is_thrown_away(server: Server, file: Download) -> None:
    begun(file, DATA + b"x")
    assert fetched(file, server.serve("/net", honest(DATA)))
    assert server.ranges == [None]


def test_two_downloads_of_one_file_do_not_mix(server: Server, file: Download) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def waiting(request: Request) -> None:
        asked.set()
        go_on.wait(5)
        honest(DATA)(request)

    url = server.serve("/net", waiting)
    first = threading.Thread(target=download, args=(file, [url]), kwargs={"limits": Limits(silence=5)})
    first.start()
    asked.wait(5)
    with pytest.raises(FolderInUse, match="another process is fetching net"):
        download(file, [url], limits=QUICK)
    go_on.set()
    first.join()
    assert file.target.read_bytes() == DATA


def test_a_file_at_hand_is_taken(file: Download, tmp_path: Path) -> None:
    (tmp_path / "stick.onnx").write_bytes(DATA)
    copy(file, tmp_path / "stick.onnx")
    assert file.target.read_bytes() == DATA and left(file) == ["net.onnx"]


@pytest.mark.parametrize("data", [OTHER, DATA[:-1], DATA + b"x", b""], ids=["other", "short", "long", "empty"])
def test_a_file_at_hand_that_is_another_is_refused(file: Download, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "stick.onnx").write_bytes(data)
    with pytest.raises(NetError, match=r"stick\.onnx is not the published file"):
        copy(file, tmp_path / "stick.onnx")
    assert not file.target.exists() and not part_of(file).exists()


@pytest.mark.parametrize("source", ["/dev/zero", "/no/such/file", "."])
def test_what_is_no_file_is_not_read(file: Download, source: str) -> None:
    with pytest.raises(NetError, match="is not a file"):
        copy(file, Path(source))
