"""Two thousand hostile requests to `decaf explore`: what it answers, whether it lives, and what it keeps in memory.

    python benchmarks/hostile.py [DIR] [--requests 2000] [--seconds 600] [--seed 0]

DIR is a feature folder; without one, features of a few drawn pictures are made. Everything stays on this machine: the
server listens on 127.0.0.1, on a port of its own, and ends with the script. Beside it lies a file that is not of the
set; no answer may hold what is in it.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

SECRET = b"this is not of the set"
RAW = "Content-Type: application/octet-stream\r\n"
THREADS = 16
QUIET = 0.3  # seconds without a byte after which an answer counts as whole
LONGEST = 12  # seconds to wait for one


def jpeg(side: int, seed: int) -> bytes:
    """A picture of noise."""
    out = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(out, "JPEG")
    return out.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG that claims so many pixels, with up to ten million of them."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = zlib.compress(bytes(min((width // 8 + 1) * height, 10_000_000)))
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def scans(count: int) -> bytes:
    """A progressive JPEG that goes over its pixels again and again."""
    out = io.BytesIO()
    Image.new("RGB", (1000, 1000)).save(out, "JPEG", progressive=True)
    data = out.getvalue()
    start = data.index(b"\xff\xda")
    end = data.index(b"\xff\xc4", start) if b"\xff\xc4" in data[start:] else data.index(b"\xff\xda", start + 2)
    return data[:start] + data[start:end] * count + data[end:]


SVG = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'><script>alert(1)</script></svg>"
XML = b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><svg>&e;</svg>"
FILES = {
    "bomb 40,000 x 40,000": bomb(40_000, 40_000),
    "bomb 2^31 x 2^31": bomb(2**31 - 1, 2**31 - 1),
    "bomb just allowed": bomb(7000, 7000),
    "svg with a script": SVG,
    "xml that reads a file": XML,
    "jpeg of 5,000 scans": scans(5_000),
    "half a jpeg": jpeg(200, 0)[:3000],
    "noise": np.random.default_rng(0).integers(0, 256, 50_000, dtype=np.uint8).tobytes(),
    "tiff header": b"II*\0\xff\xff\xff\xff" + bytes(100),
    "gif without an end": b"GIF89a\xff\xff\xff\xff" + b"\x2c" + bytes(5000),
}
PATHS = (
    "/../secret.txt", "/data/..%2f..%2fsecret.txt", "/%2e%2e/%2e%2e/secret.txt", "//etc/passwd", "/data/%00",
    "/picture/99999999999999999999", f"/original/{'9' * 5000}", "/original/-1", "/original/..%2f..%2fsecret.txt",
    "/data/..\\..\\secret.txt", "/<script>alert(1)</script>", "/?token=" + "a" * 3000,
)  # fmt: skip
HOSTS = ("evil.example", "127.0.0.1.evil.example", "127.0.0.1:1:1", "", "10.0.0.1", "localhost.", "[::1")


def get(path: str, host: str = "127.0.0.1", more: str = "") -> bytes:
    """A request as bytes."""
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}Connection: close\r\n\r\n".encode("latin-1")


def post(data: bytes, more: str = RAW) -> bytes:
    """An upload as bytes."""
    head = f"POST /drop HTTP/1.1\r\nHost: 127.0.0.1\r\n{more}Content-Length: {len(data)}\r\nConnection: close\r\n\r\n"
    return head.encode() + data


class Target:
    """The server, and ways to be unkind to it."""

    def __init__(self, port: int) -> None:
        self.port = port

    def say(self, data: bytes) -> bytes:
        """Send bytes; returns what comes back."""
        with socket.create_connection(("127.0.0.1", self.port), LONGEST) as client:
            with suppress(OSError):
                client.sendall(data)
            return self._read(client)

    def _read(self, client: socket.socket) -> bytes:
        parts: list[bytes] = []
        try:
            while part := client.recv(65536):
                parts.append(part)
                client.settimeout(QUIET if len(parts) > 1 else LONGEST)
        except OSError:
            pass
        return b"".join(parts)

    def stream(self) -> bytes:
        """A body that says it has 10 GB, or does not say, and goes on until it is cut."""
        head = f"POST /drop HTTP/1.1\r\nHost: 127.0.0.1\r\n{RAW}Transfer-Encoding: chunked\r\n\r\n"
        part = b"40000\r\n" + bytes(2**18) + b"\r\n"
        with socket.create_connection(("127.0.0.1", self.port), LONGEST) as client:
            client.sendall(head.encode())
            try:
                for _ in range(40_000):
                    client.sendall(part)
            except OSError:
                pass
            return self._read(client) or b"HTTP/1.1 cut"

    def leave(self, data: bytes) -> bytes:
        """Begin and go away."""
        with socket.create_connection(("127.0.0.1", self.port), LONGEST) as client:
            client.sendall(data)
        return b"HTTP/1.1 -"


def attacks(target: Target, rng: random.Random) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Kinds of requests and how to make one, without an end."""
    good = jpeg(300, 1)
    while True:
        name, file = rng.choice(list(FILES.items()))
        yield name, lambda file=file: target.say(post(file))  # type: ignore[misc]
        path, host = rng.choice(PATHS), rng.choice(HOSTS)
        yield "path", lambda path=path: target.say(get(path))  # type: ignore[misc]
        yield "host", lambda host=host: target.say(get("/", host))  # type: ignore[misc]
        yield "origin", lambda: target.say(post(good, RAW + "Origin: http://evil.example\r\n"))
        yield "form", lambda: target.say(post(good, "Content-Type: text/plain\r\n"))
        yield "too large", lambda: target.say(post(b"", RAW).replace(b"Length: 0", b"Length: 10000000000"))
        yield "header", lambda: target.say(get("/", more="X: " + "a" * 60_000 + "\r\n"))
        yield "no request", lambda: target.say(rng.randbytes(300) + b"\r\n\r\n")
        yield "left early", lambda: target.leave(post(good)[:2000])
        yield "a real picture", lambda: target.say(post(good))
        yield "a preview", lambda: target.say(get(f"/picture/{rng.randrange(40)}"))
        yield "an original nobody reads", lambda: target.leave(get(f"/original/{rng.randrange(40)}"))
        if rng.random() < 0.05:
            yield "endless stream", target.stream


def memory(pid: int) -> float:
    """Resident memory, MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))


def drawn_set(folder: Path) -> Path:
    """Features of forty drawn pictures."""
    import decaf

    (folder / "photos" / "kind").mkdir(parents=True)
    for number in range(40):
        (folder / "photos" / "kind" / f"{number}.jpg").write_bytes(jpeg(120, number))
    decaf.extract(folder / "photos", layers=["pool"], out=folder / "features")
    return folder / "features"


def start(folder: Path) -> tuple[subprocess.Popen[str], int]:
    """The command as it is typed."""
    code = "import sys; from decaf.cli.main import main; main(sys.argv[1:])"
    command = [
        sys.executable,
        "-c",
        code,
        "explore",
        str(folder),
        "--port",
        "0",
        "--no-open",
        "--method",
        "pca",
        "--json",
    ]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout
    said = ""
    while not said.rstrip().endswith("}"):
        line = server.stdout.readline()
        if not line:
            raise SystemExit(f"decaf explore ended with {server.wait()}")
        said += line
    return server, int(json.loads(said)["url"].rsplit(":", 1)[1].strip("/"))


def burst(target: Target, count: int) -> Counter[str]:
    """So many uploads at the same time."""
    good = post(jpeg(300, 2))
    with ThreadPoolExecutor(count) as pool:
        return Counter(status(reply) for reply in pool.map(lambda _: target.say(good), range(count)))


def status(reply: bytes) -> str:
    """What an answer says in short."""
    return reply[9:12].decode("latin-1").strip() if reply.startswith(b"HTTP/1.1 ") else "closed"


def run(
    target: Target, pid: int, requests: int, seconds: float, seed: int
) -> tuple[dict[str, Counter[str]], list[float]]:
    """Attack; returns what was answered to each kind, and memory after each tenth."""
    kinds: dict[str, Counter[str]] = {}
    sizes, end = [], time.monotonic() + seconds
    made = attacks(target, random.Random(seed))
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(10):
            part = [next(made) for _ in range(requests // 10)]
            for (kind, _), reply in zip(part, pool.map(lambda attack: attack[1](), part), strict=True):
                assert SECRET not in reply and b"root:" not in reply, kind
                kinds.setdefault(kind, Counter())[status(reply)] += 1
            sizes.append(memory(pid))
            if time.monotonic() > end:
                print(f"stopped after {seconds:g} s", file=sys.stderr)
                break
    return kinds, sizes


def main() -> None:
    """Attack and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        Path(place, "secret.txt").write_bytes(SECRET)
        server, port = start(given.folder or drawn_set(Path(place)))
        target = Target(port)
        try:
            for _ in range(20):  # until everything is loaded, and buffers have the size they keep
                target.say(post(jpeg(300, 1)))
            target.say(post(FILES["bomb just allowed"]))
            before, started = memory(server.pid), time.monotonic()
            kinds, sizes = run(target, server.pid, given.requests, given.seconds, given.seed)
            took = time.monotonic() - started
            print(f"200 uploads at a time: {dict(burst(target, 200))}")
            good = target.say(post(jpeg(300, 1)))
            after = memory(server.pid)
        finally:
            server.send_signal(signal.SIGINT)
            code = server.wait(15)
        for kind, counts in sorted(kinds.items()):
            print(f"{kind:26} {sum(counts.values()):5}  {dict(counts.most_common())}")
        total = sum(counts.total() for counts in kinds.values())
        print(f"{total} requests in {took:.0f} s; alive: {status(good) == '200'}; ended with {code}; seed {given.seed}")
        meanwhile = ", ".join(f"{size:.0f}" for size in sizes)
        print(f"memory, MB: before {before:.0f}, after {after:.0f}; meanwhile {meanwhile}")
        left = [name for name in os.listdir(tempfile.gettempdir()) if name.startswith("decaf-")]
        print(f"temporary files of decaf: {len(left)}")


if __name__ == "__main__":
    main()
