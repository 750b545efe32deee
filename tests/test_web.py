"The page of `make web`, in a real browser: headless Chromium, driven by Playwright."
import re
import shutil
import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import cv2
import numpy as np
import pytest
from PIL import Image

from flmk.core.files import read_image
from flmk.core.pose import euler_angles
from flmk.inference.landmarks import predict_crops
from flmk.models import TorchPredictor
from flmk.render.generate import render_face

root = Path(__file__).parent.parent
sync = pytest.importorskip('playwright.sync_api', reason='Playwright is not installed')
CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'google-chrome', 'chromium-browser'))), None)
if not CHROMIUM: pytest.skip('there is no Chromium on this machine', allow_module_level=True)
if not shutil.which('npm'): pytest.skip('there is no npm on this machine', allow_module_level=True)
FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
         '--disable-component-update', '--disable-sync']


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    "The page, built as the README says."
    out = tmp_path_factory.mktemp('site')
    done = subprocess.run(['make', '-o', 'install', 'site', f'SITE={out}', f'BIN={Path(sys.executable).parent}'], cwd=root, capture_output=True, text=True)
    if re.search('ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT', done.stderr): pytest.skip('npm cannot reach its registry')
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    "A rendered face as a PNG, and in the other ways that people have."
    out, face = tmp_path_factory.mktemp('images'), Image.fromarray(render_face(5, 7, 384)[0])
    face.save(out/'face.png')
    face.crop((20, 0, 301, 384)).save(out/'tall.png')
    face.resize((90, 90)).save(out/'small.png')
    face.resize((150, 140)).save(out/'middle.png')                             # shrunk by less than a half: another interpolation
    face.save(out/'face.jpg', quality=90)
    exif = Image.Exif(); exif[0x0112] = 6                                      # to be turned a quarter clockwise
    face.rotate(90).save(out/'turned.jpg', quality=90, exif=exif)
    face.convert('CMYK').save(out/'cmyk.jpg', quality=90)
    face.save(out/'face.webp', quality=90)
    face.convert('L').save(out/'grey.png')
    alpha = face.convert('RGBA'); alpha.putalpha(Image.linear_gradient('L').resize(face.size)); alpha.save(out/'alpha.png')
    (out/'text.png').write_text('This is no picture.')
    (out/'empty.jpg').touch()
    with open(out/'camera.y4m', 'wb') as f:                                    # a still face, left of the middle
        frame = np.full((480, 640, 3), 110, np.uint8)
        frame[120:370, 100:350] = face.resize((250, 250), Image.Resampling.BOX)
        f.write(b'YUV4MPEG2 W640 H480 F10:1 Ip A1:1 C420jpeg\n' + (b'FRAME\n' + cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420).tobytes())*2)
    return out


@pytest.fixture(scope='module')
def address(site):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args): pass
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=site))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://localhost:{server.server_port}/'
    server.shutdown()


@pytest.fixture(scope='module')
def browser(images):
    camera = ['--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream', f'--use-file-for-fake-video-capture={images/"camera.y4m"}']
    with sync.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS + camera, timeout=120_000)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, address):
    "A function that opens the page; at the end nothing may have gone elsewhere or been complained about in the console."
    contexts, elsewhere, complaints = [], [], []
    def _visit(quiet=True, prepare=None, **kw):
        contexts.append(browser.new_context(**kw))
        page = contexts[-1].new_page()
        page.set_default_timeout(120_000)
        page.on('request', lambda r: r.url.startswith((address, 'data:', 'blob:')) or elsewhere.append(r.url))
        if quiet:
            page.on('console', lambda m: m.type in ('error', 'warning') and complaints.append(m.text))
            page.on('pageerror', lambda e: complaints.append(str(e)))
        if prepare: prepare(page)
        page.goto(address)
        page.locator('body.ready').wait_for()
        return page
    yield _visit
    for c in contexts: c.close()
    assert not elsewhere and not complaints


def said(page, *words, where='status'):
    sync.expect(page.locator(f'#{where}')).to_have_text(re.compile('.*'.join(map(re.escape, words))))

def numbers(page): return np.array(page.locator('#numbers').text_content().split(), float).reshape(68, 3)

def points(page): return numbers(page)[:, :2]

def predict(image): return predict_crops(TorchPredictor(root/'best.pth.tar'), image)

def angles(page):
    text = [page.locator(f'#{a}').text_content() for a in ('pitch', 'yaw', 'roll')]
    return np.array([float(t.split('°')[0].replace('−', '-')) for t in text])

def drop(page, path):
    "Drop a file on the page, as from the desktop."
    page.evaluate('''([bytes, name]) => { const d = new DataTransfer()
        d.items.add(new File([new Uint8Array(bytes)], name))
        document.getElementById('frame').dispatchEvent(new DragEvent('drop', {dataTransfer: d, bubbles: true, cancelable: true})) }''',
        [list(path.read_bytes()), path.name])


def test_dropped(visit, images):
    "Points within 0.1 px of Python's, angles as exact as they are shown, and nothing asked from elsewhere."
    page = visit()
    drop(page, images/'face.png')
    said(page, 'face.png', 'whole picture', '68 points')
    want, sigma = predict(read_image(images/'face.png'))
    assert np.abs(points(page) - want).max() < .1 and np.abs(numbers(page)[:, 2] - sigma).max() < .1
    assert page.locator('#marks .sigma').get_attribute('d').count('M') == 68
    assert np.abs(angles(page) - euler_angles(want)).max() < .1
    for id in ('cut', 'net'): assert re.fullmatch(r'[\d.]+ ms', page.locator(f'#{id}').text_content())
    assert page.locator('#marks .dots').count() == 8 and page.locator('#alert').text_content() == ''


def test_formats(visit, images):
    "Other shapes, sizes, formats and orientations give what Python gives, though decoders of JPEG differ a little."
    page = visit()
    for name in ('tall.png', 'small.png', 'middle.png', 'grey.png', 'alpha.png', 'face.jpg', 'turned.jpg', 'face.webp', 'cmyk.jpg'):
        page.set_input_files('#file', images/name)
        said(page, name, '68 points')
        diff = np.abs(points(page) - predict(read_image(images/name))[0]).max()
        assert diff < .2, (name, diff)


def test_square(visit, images):
    "A square drawn by the mouse or moved by the keyboard cuts what Python cuts; Escape takes the whole picture again."
    page = visit(viewport=dict(width=1200, height=900))
    page.set_input_files('#file', images/'face.png')
    said(page, 'face.png', '68 points')
    box = page.locator('#picture').bounding_box()
    at = lambda x, y: (box['x'] + x*box['width']/384, box['y'] + y*box['height']/384)
    page.mouse.move(*at(40, 20)); page.mouse.down(); page.mouse.move(*at(200, 200)); page.mouse.move(*at(340, 320)); page.mouse.up()
    said(page, 'square of 300 pixels at 40, 20:')
    page.locator('#frame').focus()
    for key in ('ArrowRight', 'Shift+ArrowDown', '-'): page.keyboard.press(key)
    said(page, 'square of 290 pixels at 48, 55:')
    cut = read_image(images/'face.png')[55:345, 48:338]
    assert np.abs(points(page) - predict(cut)[0] - [48, 55]).max() < .1
    page.get_by_role('button', name='Fit to the points').click()
    sync.expect(page.locator('#status')).not_to_have_text(re.compile('square of 290'))
    page.locator('#frame').focus(); page.keyboard.press('Escape')
    said(page, 'face.png', 'whole picture')


@pytest.mark.parametrize('name, why', [('text.png', 'is not one, is damaged'), ('empty.jpg', 'is empty')])
def test_no_picture(visit, images, name, why):
    page = visit()
    drop(page, images/name)
    said(page, name, 'cannot be read as a picture', why, where='alert')
    page.get_by_role('button', name='Try a rendered face').click()              # and the page goes on
    said(page, 'A rendered face', '68 points')
    assert page.locator('#alert').text_content() == ''


@pytest.mark.parametrize('file', ['landmarks.onnx', 'model.json', 'ort-wasm-simd-threaded.wasm', 'ort.wasm.bundle.min.mjs'])
def test_missing(visit, file):
    page = visit(quiet=False, prepare=lambda p: p.route(f'**/{file}', lambda r: r.fulfill(status=404)))
    said(page, f'{file} is missing', 'make web', where='alert')
    assert page.locator('#choose').is_disabled()


def test_broken_model(visit):
    page = visit(quiet=False, prepare=lambda p: p.route('**/landmarks.onnx', lambda r: r.fulfill(body='no model')))
    said(page, 'The network cannot be loaded', where='alert')


def test_no_webassembly(visit):
    page = visit(prepare=lambda p: p.add_init_script('delete window.WebAssembly'))
    said(page, 'WebAssembly', where='alert')


def test_camera(visit):
    "The square finds a face beside the middle, and stays on it; what is filmed is shown as in a mirror."
    page = visit()
    page.get_by_role('button', name='Use the camera').click()
    page.wait_for_function('''() => { const p = document.querySelector('#marks .square')?.getAttribute('d').match(/M(\\S+) (\\S+)h(\\S+)v/)
        return p && Math.abs(+p[1] + p[3]/2 - (640 - 225)) < 30 && +p[3] > 180 && +p[3] < 330 }''')
    page.get_by_role('button', name='Stop the camera').click()
    said(page, 'Camera, square of', '68 points')
    xy = points(page)
    assert 640 - 350 < xy[:, 0].min() and xy[:, 0].max() < 640 - 100 and np.ptp(xy[:, 1]) > 90


def test_keyboard(visit, images):
    "Tab reaches all that can be used, each with a name, and what has the focus shows it."
    page = visit()
    page.set_input_files('#file', images/'face.png')
    said(page, '68 points')
    page.locator('summary').click()
    page.evaluate('document.activeElement.blur(); getSelection().removeAllRanges(); document.body.tabIndex = -1; document.body.focus()')
    reached = []
    for _ in range(12):
        page.keyboard.press('Tab')
        reached.append(page.evaluate('''() => { const e = document.activeElement
            return [e.id || e.tagName, getComputedStyle(e).outlineStyle, (e.ariaLabel || e.textContent).trim()] }'''))
    names = [r[0] for r in reached]
    assert names[:11] == ['choose', 'camera', 'example', 'frame', 'smaller', 'larger', 'fit', 'whole', 'SUMMARY', 'numbers', 'copy'], names
    assert all(style == 'solid' and label for _, style, label in reached[:11]), reached


def luminance(colour):
    c = np.array([int(v) for v in re.findall(r'\d+', colour)[:3]])/255
    return np.where(c <= .04045, c/12.92, ((c + .055)/1.055)**2.4) @ [.2126, .7152, .0722]

def test_light_and_dark(visit, images):
    "The colours follow the system, and text stands out from what is behind it by 4.5 to 1, as WCAG asks."
    papers = []
    for scheme in ('light', 'dark'):
        page = visit(color_scheme=scheme)
        drop(page, images/'text.png')
        said(page, 'text.png', where='alert')
        pairs = page.evaluate('''() => ['h1', 'header p', '#choose', '#camera', '#alert', '#status', '#invitation', 'dt', 'dd', 'h2', 'footer p', 'footer a'].map(q => {
            let e = document.querySelector(q), ink = getComputedStyle(e).color, behind
            for (; e; e = e.parentElement) if ((behind = getComputedStyle(e).backgroundColor) !== 'rgba(0, 0, 0, 0)') break
            return [q, ink, behind] })''')
        for q, ink, behind in pairs:
            low, high = sorted((luminance(ink), luminance(behind)))
            assert (high + .05)/(low + .05) >= 4.5, (scheme, q, ink, behind)
        papers.append(luminance(pairs[0][2]))
    assert papers[0] > .8 and papers[1] < .02


def test_phone(visit, images):
    "At 360 pixels nothing sticks out, and the picture has the width."
    page = visit(viewport=dict(width=360, height=740))
    page.set_input_files('#file', images/'face.png')
    said(page, '68 points')
    assert page.evaluate('document.documentElement.scrollWidth') <= 360
    assert page.locator('#picture').bounding_box()['width'] > 300
