"The page with its rendered scene, as a picture for the README: `python web/picture.py SITE nbs/images/page.jpg`, with SITE of `make site`."
import shutil
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from playwright.sync_api import sync_playwright

from flmk.core.files import atomic_write


def photograph(site, size=(1120, 660)):
    "The page's JPEG, after the scene of three people went through it: its 68 points, numbers, gaze and head pose."
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(SimpleHTTPRequestHandler, directory=site))
    Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=shutil.which('chromium') or shutil.which('google-chrome'), args=['--no-sandbox'])
        page = browser.new_page(viewport=dict(width=size[0], height=size[1]), color_scheme='light')
        page.goto(f'http://localhost:{server.server_port}/')
        page.get_by_role('button', name='Try a rendered scene').click(timeout=240_000)
        page.get_by_role('button', name='Show face 2').click(timeout=240_000)
        return page.screenshot(type='jpeg', quality=82)


if __name__ == '__main__':
    site, out = map(Path, sys.argv[1:])
    with atomic_write(out) as part: part.write_bytes(photograph(site))
