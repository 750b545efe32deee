"The page with its rendered scene, as a picture for the README: `python web/picture.py SITE nbs/images/page.jpg`, with SITE of `make site`."
import shutil
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from playwright.sync_api import sync_playwright

from flmk.core.files import atomic_write


HIDDEN = '#numbers, aside h2:not(#whose), aside > dl, aside > .buttons, aside > details { visibility: hidden }'       # times tell of the machine that drew it


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args): pass


def photograph(site, size=(1120, 660), clip=dict(x=30, y=70, width=1060, height=408)):
    "The page's JPEG, after the scene of three people went through it: points, numbers, gaze and head pose."
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=site))
    Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=shutil.which('chromium') or shutil.which('google-chrome'), args=['--no-sandbox', '--disable-gpu'])
        page = browser.new_page(viewport=dict(width=size[0], height=size[1]), color_scheme='light', bypass_csp=True)
        page.goto(f'http://localhost:{server.server_port}/')
        page.get_by_role('button', name='Try a rendered scene').click(timeout=240_000)
        page.get_by_role('button', name='Show face 0').click(timeout=240_000)
        page.add_style_tag(content=HIDDEN)
        page.evaluate('document.activeElement.blur(); scrollTo(0, document.querySelector("main").offsetTop - 20)')
        return page.screenshot(type='jpeg', quality=82, clip=clip)


if __name__ == '__main__':
    site, out = map(Path, sys.argv[1:])
    with atomic_write(out) as part: part.write_bytes(photograph(site))
