"""Time and memory of a page of pictures in a real browser, drawn in software.

    python benchmarks/explore.py                      100,000 synthetic pictures
    python benchmarks/explore.py --page SITE          a page that `decaf map -o SITE` wrote

Needs playwright and a Chromium. Without a graphics card Chromium draws with SwiftShader on the processor: the slowest
case there is. Times are medians; a frame is what lies between two animation frames while the map moves in each.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from decaf.explore import Column, PictureSettings, Site, write_site

SOFTWARE = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
# Moves the map by a little in every frame; returns the times between frames, ms.
PAN = """async (zoom) => {
    const { scene } = decaf.app;
    scene.camera.set({ x: 0, y: 0, scale: scene.camera.fitted * zoom });
    scene.draw();
    await new Promise((resolve) => setTimeout(resolve, 4000));
    const times = [];
    let before = 0;
    const end = performance.now() + 4000;
    while (performance.now() < end) {
        scene.camera.panBy(times.length % 40 < 20 ? 4 : -4, 0);
        scene.draw();
        const now = await new Promise(requestAnimationFrame);
        if (before) times.push(now - before);
        before = now;
    }
    const { frameTime, quads, showsPictures } = scene;
    return { times: times.slice(3), script: frameTime, pictures: showsPictures ? quads.count : 0 };
}"""


class Synthetic:
    """Pictures as smooth and as varied as small photographs, from their number."""

    def __init__(self, classes: np.ndarray) -> None:
        self._classes = classes
        random = np.random.default_rng(0)
        self._tints = random.integers(60, 200, (classes.max() + 1, 3))
        self._grain = random.normal(0, 24, (256, 12, 16, 3))

    def load(self, row: int) -> np.ndarray:
        """(72, 96, 3) uint8."""
        coarse = self._tints[self._classes[row]] + self._grain[row % 256] + self._grain[row // 256 % 256]
        return np.clip(np.kron(coarse, np.ones((6, 6, 1))), 0, 255).astype(np.uint8)

    def original(self, row: int) -> None:
        """There is no file."""
        return None


def synthetic(n: int, out: Path) -> float:
    """Write a page of n pictures in 100 classes and two layers; returns seconds."""
    random = np.random.default_rng(0)
    classes = random.integers(0, 100, n)
    centres = random.normal(size=(2, 100, 2))
    layouts = {name: centres[i, classes] + random.normal(0, 0.09, (n, 2)) for i, name in enumerate(("first", "last"))}
    near = random.integers(0, n, (n, 12)).astype(np.int32)
    columns = [
        Column("label", np.array([f"class {number:02d}" for number in classes], object)),
        Column("number", random.normal(size=n)),
    ]
    paths = [f"class {number:02d}/picture_{row:06d}.jpg" for row, number in enumerate(classes)]
    started = time.perf_counter()
    write_site(out, Site("Synthetic", paths, columns, layouts, {"last": near}), Synthetic(classes), PictureSettings(0))
    return time.perf_counter() - started


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def memory(browser: object) -> dict[str, float]:
    """Proportional set size of the browser's processes by their kind, MB."""
    session = browser.new_browser_cdp_session()  # type: ignore[attr-defined]
    found: dict[str, float] = {}
    for process in session.send("SystemInfo.getProcessInfo")["processInfo"]:
        lines = Path(f"/proc/{process['id']}/smaps_rollup").read_text().splitlines()
        size = next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
        found[process["type"]] = round(found.get(process["type"], 0) + size)
    return found


def measure(url: str, width: int, height: int) -> dict[str, object]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=SOFTWARE)
        page = browser.new_page(viewport={"width": width, "height": height})
        page.goto(url)
        page.wait_for_selector("body[data-ready=yes]", timeout=120_000)
        marks = page.evaluate("performance.getEntriesByName('first view')[0].startTime")
        told: dict[str, object] = {
            "renderer": page.evaluate(
                """() => { const { gl } = decaf.app.scene.painter;
                return gl.getParameter(gl.getExtension("WEBGL_debug_renderer_info").UNMASKED_RENDERER_WEBGL); }"""
            ),
            "first view, ms": round(marks),
            "all loaded, ms": round(page.evaluate("performance.now()")),
            "memory of the first view, MB": memory(browser),
        }
        for zoom in (1, 4, 16, 64):
            found = page.evaluate(PAN, zoom)
            median, worst = np.percentile(found["times"], [50, 95])
            told[f"zoom {zoom}"] = (
                f"{median:.0f} ms a frame (95 %: {worst:.0f}), of it script {found['script']:.0f}; "
                f"{found['pictures'] or 'no'} pictures"
            )
        told["memory after that, MB"] = memory(browser)
        browser.close()
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=1440)
    parser.add_argument("--height", type=int, default=900)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = options.page or Path(folder) / "page"
        if not options.page:
            seconds = synthetic(options.pictures, out)
            size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
            print(f"written in {seconds:.0f} s; {size / 1e6:.0f} MB, {size / options.pictures / 1000:.2f} kB a picture")
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(out)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for url in (f"http://127.0.0.1:{server.server_address[1]}/index.html", (out / "index.html").resolve().as_uri()):
            print(url.split(":")[0], json.dumps(measure(url, options.width, options.height), indent=1))
        server.shutdown()


if __name__ == "__main__":
    main()
