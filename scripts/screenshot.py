"""Takes the README's picture of the page: the sample pictures, indexed and searched, 1280 pixels wide.

.venv/bin/python scripts/screenshot.py [--query "shoes"]
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from playwright.sync_api import sync_playwright

import open_autoglm
from open_autoglm.serving import create_app

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "images" / "search.jpg"
WIDTH, HEIGHT = 1280, 820


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--query", default="shoes")
    query = parser.parse_args().query
    with tempfile.TemporaryDirectory() as folder:
        index = open_autoglm.Index.create(Path(folder) / "samples.index", open_autoglm.load())
        index.add(ROOT / "samples")
        with index, _served(index) as address:
            _take(address, query)
    print(f"{PICTURE.relative_to(ROOT)}: the page after searching for {query!r}")


@contextmanager
def _served(index: open_autoglm.Index) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(create_app(index), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def _take(address: str, query: str) -> None:
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("google-chrome"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(address)
        page.fill("#query", query)
        page.press("#query", "Enter")
        page.wait_for_selector("#grid img.loaded")
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(500)  # the pictures fade in
        page.evaluate("document.activeElement.blur()")
        page.screenshot(path=PICTURE, type="jpeg", quality=85)
        browser.close()


if __name__ == "__main__":
    main()
