"The page of `make web`, in a real browser: headless Chromium, driven by Playwright."
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path
from threading import Thread

import cv2
import numpy as np
import pytest
from PIL import Image

import flmk
from flmk.core.files import read_image
from flmk.inference.detector import pad_image, reduce_image
from flmk.inference.faces import FaceDetector
from flmk.inference.landmarks import Crop, crop_to_input, predict_crops
from flmk.render.generate import render_face
from flmk.render.scenes import render_backgrounds, render_cutouts
from flmk.tools.confirm import sample_portrait, weigh_boxes

root = Path(__file__).parent.parent
sync = pytest.importorskip('playwright.sync_api', reason='Playwright is not installed')
sync.expect.set_options(timeout=180_000)
CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'google-chrome', 'chromium-browser'))), None)
if not CHROMIUM: pytest.skip('there is no Chromium on this machine', allow_module_level=True)
if not shutil.which('npm'): pytest.skip('there is no npm on this machine', allow_module_level=True)
FLAGS = ['--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking',
         '--disable-component-update', '--disable-sync']


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    "The page, built as the README says."
    out = tmp_path_factory.mktemp('site')
    done = subprocess.run(['make', '-o', 'install', 'site', f'SITE={out}', f'BIN={Path(sys.executable).parent}'], cwd=root, capture_output=True, text=True)
    if re.search('ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ENETUNREACH|ETIMEDOUT|E429|E50[0-9]', done.stderr): pytest.skip('npm cannot reach its registry')
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    "A rendered face as a PNG, and in the other ways that people have."
    out, face = tmp_path_factory.mktemp('images'), Image.fromarray(render_face(5, 9, 384)[0])
    face.save(out/'face.png')
    Image.new('RGB', (400, 300), 'grey').save(out/'wall.png')
    face.resize((1500, 1500), Image.Resampling.BICUBIC).save(out/'large.png')
    face.crop((20, 0, 301, 384)).save(out/'tall.png')
    face.resize((200, 200)).save(out/'small.png')
    face.save(out/'face.jpg', quality=90)
    exif = Image.Exif(); exif[0x0112] = 6                                      # to be turned a quarter clockwise
    face.rotate(90).save(out/'turned.jpg', quality=90, exif=exif)
    face.convert('CMYK').save(out/'cmyk.jpg', quality=90)
    face.save(out/'face.webp', quality=90)
    face.convert('L').save(out/'grey.png')
    alpha = face.convert('RGBA'); alpha.putalpha(Image.linear_gradient('L').resize(face.size)); alpha.save(out/'alpha.png')
    (out/'text.png').write_text('This is no picture.')
    (out/'empty.jpg').touch()
    frame = np.full((480, 640, 3), 110, np.uint8)                              # a still face, left of the middle
    frame[120:370, 100:350] = face.resize((250, 250), Image.Resampling.BOX)
    with open(out/'camera.y4m', 'wb') as f:
        f.write(b'YUV4MPEG2 W640 H480 F10:1 Ip A1:1 C420jpeg\n' + (b'FRAME\n' + cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420).tobytes())*2)
    clip = cv2.VideoWriter(str(out/'clip.webm'), cv2.VideoWriter_fourcc(*'VP80'), 10, (640, 480))
    for _ in range(20): clip.write(frame[..., ::-1].copy())
    clip.release()
    return out


class Host(ThreadingHTTPServer):
    "A static host on this machine; while it is `down`, it hangs up without a word."
    down = False
    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *args): pass
        def do_GET(self):
            if self.server.down: self.close_connection = True
            else: super().do_GET()


@pytest.fixture(scope='module')
def host(site):
    server = Host(('127.0.0.1', 0), partial(Host.Handler, directory=site.parent))
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture(scope='module')
def address(host, site): return f'http://localhost:{host.server_port}/{site.name}/'      # a sub-path, as on many static hosts


@pytest.fixture(scope='module')
def chromium():
    "A function that starts Chromium with further flags."
    with sync.sync_playwright() as p:
        yield lambda *flags: p.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags], timeout=180_000)


@pytest.fixture(scope='module')
def browser(chromium, images):
    browser = chromium('--disable-gpu', '--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream', f'--use-file-for-fake-video-capture={images/"camera.y4m"}')
    yield browser
    browser.close()


@pytest.fixture
def visit(browser, address):
    "A function that opens the page; at the end nothing may have gone elsewhere or been complained about in the console."
    contexts, elsewhere, complaints = [], [], []
    def _visit(quiet=True, prepare=None, other=None, **kw):
        contexts.append((other or browser).new_context(**kw))
        page = contexts[-1].new_page()
        page.set_default_timeout(180_000)
        page.on('request', lambda r: r.url.startswith((address, 'data:', 'blob:')) or elsewhere.append(r.url))
        if quiet:
            page.on('console', lambda m: m.type in ('error', 'warning') and 'No available adapters' not in m.text and complaints.append(m.text))
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

def until(page, condition):
    "Wait for what JavaScript says; the page forbids the `eval` of Playwright's own way."
    page.evaluate(f'async () => {{ while (!({condition})) await new Promise(r => setTimeout(r, 50)) }}')

def numbers(page):
    "Points and sigma of all faces on the page: (n, 68, 3)."
    return np.array([f.split()[1:] for f in page.locator('#numbers').text_content().split('face ')[1:]], float).reshape(-1, 68, 3)

def same_faces(page, faces, most, name=''):
    "The page's faces are Python's."
    n = numbers(page)
    assert len(n) == len(faces)
    for got, want in zip(n, faces):
        apart = np.abs(got - np.column_stack([want.points, want.sigma])).max()
        assert apart < most, (name, apart)

def by_python(path, model='small'): return flmk.predict(path, model, FaceDetector('rendered'))

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
    "Points and sigma within 0.5 px of Python's, angles as exact as they are shown, and nothing asked from elsewhere."
    page = visit()
    drop(page, images/'face.png')
    said(page, 'face.png: 1 face. Pitch')
    face, = by_python(images/'face.png')
    same_faces(page, [face], .5)
    assert np.abs(angles(page) - [face.pitch, face.yaw, face.roll]).max() < .3
    assert page.locator('#marks .sigma').get_attribute('d').count('M') == 68 and page.locator('#marks .gaze').count() == 1
    for id in ('search', 'net'): assert re.fullmatch(r'[\d.]+ ms', page.locator(f'#{id}').text_content())
    assert page.locator('#marks .dots').count() == 8 and page.locator('#alert').text_content() == ''


def test_scene(visit, site):
    "Three rendered people: the same three faces as Python finds, within 0.5 px, each with its points, its number, its pose and a row."
    page = visit()
    page.get_by_role('button', name='Try a rendered scene').click()
    said(page, 'Three rendered people: 3 faces.')
    faces = by_python(site/'example.png')
    assert len(faces) == 3
    same_faces(page, faces, .5)
    assert page.locator('#marks .face').count() == page.locator('#marks .gaze').count() == page.locator('#rows tr').count() == 3
    for k, face in enumerate(faces):
        page.get_by_role('button', name=f'Show face {k}').click()
        assert page.locator('#whose').text_content() == f'Head pose of face {k}'
        assert np.abs(angles(page) - [face.pitch, face.yaw, face.roll]).max() < .3


def test_no_face(visit, images):
    "A picture without a face says so, and what was there before is gone."
    page = visit()
    page.set_input_files('#file', images/'face.png')
    said(page, 'face.png: 1 face')
    page.set_input_files('#file', images/'wall.png')
    said(page, 'wall.png: no face found')
    assert page.locator('#marks .face').count() == 0 and page.locator('#numbers').text_content() == ''


def test_four_turns(visit, tmp_path):
    "A face that only a picture's four turns together show: the same as Python's, within 0.5 px."
    cutouts, backgrounds = render_cutouts(20, 78), render_backgrounds(5, 78)
    for k in range(400):
        image = np.ascontiguousarray(sample_portrait(np.random.default_rng([78, k]), cutouts, backgrounds)[0])
        faces, detector = flmk.predict(image, 'small'), FaceDetector()
        detector.any_rotation = False
        if not faces or np.isnan(faces[0].score) or flmk.predict(image, 'small', detector): continue
        _, evidence, turns, _ = weigh_boxes(flmk.load_predictor('small'), detector, image)
        best = np.sort(evidence[turns >= 0])[::-1]
        if best[0] - best[1] > .1: break                                       # no tie, which rounding would decide
    else: pytest.skip('none of 400 scenes has such a face')
    Image.fromarray(image).save(tmp_path/'hard.png')
    page = visit()
    page.set_input_files('#file', tmp_path/'hard.png')
    said(page, f'hard.png: {len(faces)} face')
    same_faces(page, faces, .5)


def test_face_crop(visit, tmp_path):
    "A face that fills the picture, and that the detector does not show: the same as Python's, within 0.5 px, as a picture and as a frame."
    for k in range(400):
        image = render_face(77, k, 384)[0]
        faces = flmk.predict(image, 'small')
        if faces and np.isnan(faces[0].score): break
    else: pytest.fail('none of 400 faces is shown by the whole picture alone')
    Image.fromarray(image).save(tmp_path/'crop.png')
    page = visit()
    page.set_input_files('#file', tmp_path/'crop.png')
    said(page, 'crop.png: 1 face')
    same_faces(page, faces, .5)
    followed = page.evaluate('''async () => { const {Tracker} = await import('./net.js'), {width, height} = document.querySelector('canvas')
        const {faces} = await new Tracker().step(document.querySelector('canvas').getContext('2d').getImageData(0, 0, width, height), 0)
        return faces.map(f => f.points) }''')
    assert np.abs(np.reshape(followed, (-1, 68, 2)) - faces[0].points).max() < .5


def test_formats(visit, images):
    "Other shapes, sizes, formats and orientations give what Python gives; only decoders of lossy pictures differ a little."
    page = visit()
    for name in ('tall.png', 'small.png', 'large.png', 'grey.png', 'alpha.png', 'face.jpg', 'turned.jpg', 'face.webp', 'cmyk.jpg'):
        page.set_input_files('#file', images/name)
        faces = by_python(images/name)
        said(page, f'{name}: 1 face' if faces else f'{name}: no face')
        same_faces(page, faces, .5 if name in ('face.jpg', 'turned.jpg', 'cmyk.jpg', 'face.webp') else .2, name)


RANDOM = '''(w, h) => { const data = new Uint8Array(4*w*h); let x = 1            // a picture that Python can make, too: MINSTD
    for (let i = 0; i < data.length; i++) { x = x*48271 % 2147483647; data[i] = i % 4 < 3 ? x >> 8 : 255 }
    return {data, width: w, height: h} }'''
def random_picture(w, h):
    x, out = 1, []
    for _ in range(4*w*h): x = x*48271 % 2147483647; out.append(x >> 8 & 255)
    return np.ascontiguousarray(np.array(out, np.uint8).reshape(h, w, 4)[..., :3])

def test_bytes(visit):
    "Every byte that the networks get is OpenCV's: reduced pictures for the detector, turned and resized squares for the landmarks."
    page = visit()
    def bytes_of(js, *given):
        return np.array(page.evaluate(f"async given => {{ const F = await import('./flmk.js'), random = {RANDOM}; return [...({js})(F, random, ...given)] }}", given), np.uint8)
    for (w, h), side in product([(96, 96), (70, 96), (125, 83), (90, 60), (96, 64)], [40, 48, 32, 30, 19]):      # many halves, and whole factors
        js = '(F, random, w, h, side) => F.searchInput(random(w, h), side).input'
        want = pad_image(reduce_image(random_picture(w, h), side))
        assert (bytes_of(js, w, h, side).reshape(want.shape) == want).all(), (w, h, side)
    rng, image = np.random.default_rng(0), random_picture(90, 70)
    for k in range(30):
        x, y, side, angle = *rng.uniform(-20, 50, 2), rng.uniform(10, 90), rng.uniform(-3, 3)*(k % 3 > 0)
        js = '(F, random, w, h, square) => { const input = new Float32Array(3*20*20); F.cropToInput(random(w, h), square, 20, input); return input }'
        got = bytes_of(js, 90, 70, dict(x=x, y=y, side=side, angle=angle)).reshape(3, 20, 20).transpose(1, 2, 0)
        assert (got == crop_to_input(image, (x, y, side), 20, angle)[0]).all(), (k, x, y, side, angle)


def test_square(visit, images):
    "A square drawn by the mouse or moved by the keyboard cuts what Python cuts, in place of the face that was found; Escape goes back to it."
    page = visit(viewport=dict(width=1200, height=900))
    page.set_input_files('#file', images/'face.png')
    said(page, 'face.png: 1 face')
    found = numbers(page)
    box = page.locator('#picture').bounding_box()
    at = lambda x, y: (box['x'] + x*box['width']/384, box['y'] + y*box['height']/384)
    page.mouse.move(*at(40, 20)); page.mouse.down(); page.mouse.move(*at(200, 200)); page.mouse.move(*at(340, 320)); page.mouse.up()
    said(page, 'square of 300 pixels at 40, 20: 68 points')
    page.locator('#frame').focus()
    for key in ('ArrowRight', 'Shift+ArrowDown', '-'): page.keyboard.press(key)
    said(page, 'square of 290 pixels at 48, 55:')
    points, sigma = predict_crops(flmk.load_predictor('small'), Crop(read_image(images/'face.png'), (48, 55, 290)), flip=True)
    assert np.abs(numbers(page)[0] - np.column_stack([points, sigma])).max() < .5
    page.get_by_role('button', name='Fit to the points').click()
    sync.expect(page.locator('#status')).not_to_have_text(re.compile('square of 290'))
    page.locator('#frame').focus(); page.keyboard.press('Escape')
    said(page, 'face.png: 1 face')
    assert (numbers(page) == found).all()


@pytest.mark.parametrize('name, why', [('text.png', 'is not one, is damaged'), ('empty.jpg', 'is empty')])
def test_no_picture(visit, images, name, why):
    page = visit()
    drop(page, images/name)
    said(page, name, 'cannot be read as a picture', why, where='alert')
    page.get_by_role('button', name='Try a rendered scene').click()             # and the page goes on
    said(page, '3 faces')
    assert page.locator('#alert').text_content() == ''


@pytest.mark.parametrize('file', ['landmarks.onnx', 'faces.onnx', 'model.json', 'ort-wasm-simd-threaded.wasm', 'ort.wasm.bundle.min.mjs'])
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


def middle(page):
    "Where the middle of the only face is, by its points' drawn lines; waits for it, since a tracker may lose a face for a frame."
    d = page.wait_for_function("document.querySelectorAll('#marks .face').length === 1 && document.querySelector('#marks .halo').getAttribute('d')").json_value()
    return np.array(re.findall(r'[ML]([-\d.]+) ([-\d.]+)', d), float).mean(0)

def test_camera(visit, images):
    "The face is found and followed; what is filmed is shown as in a mirror."
    page = visit()
    page.get_by_role('button', name='Use the camera').click()
    page.locator('#marks .face').wait_for()
    seen = page.evaluate("new Promise(done => { let n = 0; new MutationObserver((_, o) => { if (++n > 5) { o.disconnect(); done(n) } }).observe(document.getElementById('marks'), {childList: true}) })")
    assert seen > 5
    x, y = middle(page)
    assert 640 - 350 < x < 640 - 100 and 120 < y < 370
    page.get_by_role('button', name='Stop the camera').click()
    said(page, 'Camera: 1 face')
    assert numbers(page).shape == (1, 68, 3)


def test_video(visit, images):
    page = visit()
    page.set_input_files('#file', images/'clip.webm')
    page.locator('#marks .face').wait_for()
    x, y = middle(page)
    assert 100 < x < 350 and 120 < y < 370                                     # not mirrored
    page.get_by_role('button', name='Stop').click()
    said(page, 'clip.webm: 1 face')


def test_an_overtaken_picture_is_let_go(visit, images):
    "A picture that is decoded after a later one is not shown, and its pixels are freed."
    hold = '''window.bitmaps = []; const make = createImageBitmap
        window.createImageBitmap = async (...a) => { const b = await make(...a); if (bitmaps.push(b) === 1) await new Promise(go => { window.go = go }); return b }'''
    page = visit(prepare=lambda p: p.add_init_script(hold))
    page.set_input_files('#file', images/'wall.png')
    until(page, 'window.go')
    page.set_input_files('#file', images/'face.png')
    said(page, 'face.png: 1 face')
    assert page.evaluate('bitmaps[0].width') == 400
    page.evaluate('go()')
    until(page, 'bitmaps.length === 2 && bitmaps.every(b => b.width === 0)')      # closed
    said(page, 'face.png: 1 face')
    assert page.locator('#marks .face').count() == 1


def test_a_camera_that_does_not_play(visit):
    "Where play() fails the camera is let go and the page says so; while it waits it can be stopped, and what comes of it later is not shown; then it works."
    watched = '''window.streams = []; window.how = 'fails'
        const ask = MediaDevices.prototype.getUserMedia, play = HTMLMediaElement.prototype.play
        MediaDevices.prototype.getUserMedia = async function (...a) { const s = await ask.apply(this, a); streams.push(s); return s }
        HTMLMediaElement.prototype.play = function () {
            if (how === 'fails') return Promise.reject(new DOMException('no such codec', 'NotSupportedError'))
            return how === 'waits' ? new Promise((_, no) => { window.no = no }) : play.call(this) }'''
    page = visit(prepare=lambda p: p.add_init_script(watched))
    button, off = page.locator('#camera'), lambda n: until(page, f"streams.length === {n} && streams.every(s => s.getTracks().every(t => t.readyState === 'ended'))")
    def idle():
        sync.expect(button).to_have_text('Use the camera')
        assert button.get_attribute('aria-pressed') == 'false' and page.locator('#frame').get_attribute('data-live') is None
    button.click()
    said(page, 'Camera', 'cannot be shown as a video', 'no such codec', where='alert')
    off(1); idle()
    page.evaluate("document.getElementById('alert').textContent = ''; how = 'waits'")
    button.click()
    until(page, 'window.no')
    sync.expect(button).to_have_text('Stop the camera')
    button.click()
    off(2); idle()
    page.evaluate("no(new DOMException('interrupted', 'AbortError'))")
    page.wait_for_timeout(300)
    assert page.locator('#alert').text_content() == '' and page.locator('#status').text_content() == 'Ready for a picture.'
    page.evaluate("how = 'plays'")
    button.click()
    page.locator('#marks .face').wait_for()
    button.click()
    off(3); idle()


def test_offline(visit, host):
    "After a visit the page works without its server, has what it takes to be installed, and may use threads."
    page = visit(quiet=False)
    page.evaluate('''async () => { while (!(navigator.serviceWorker.controller && await (await caches.open('flmk')).match('example.png'))) await new Promise(r => setTimeout(r, 100)) }''')
    host.down = True
    page.reload()
    page.locator('body.ready').wait_for()
    assert page.evaluate('crossOriginIsolated')
    page.get_by_role('button', name='Try a rendered scene').click()
    said(page, '3 faces')
    manifest = page.evaluate("fetch('manifest.webmanifest').then(r => r.json())")
    host.down = False
    assert manifest['display'] == 'standalone' and {i['sizes'] for i in manifest['icons']} == {'192x192', '512x512'}
    for i in manifest['icons']: assert page.evaluate("async src => (await createImageBitmap(await (await fetch(src)).blob())).width", i['src']) == int(i['sizes'].split('x')[0])


def test_webgpu(visit, chromium, address, site):
    """The networks run by WebGPU where the browser has an adapter: the same faces as Python finds, and no complaints. When the adapter
    is taken away WebAssembly goes on. Here it is one in software; a real one is tested by FLMK_CHROMIUM=--use-webgpu-adapter=default."""
    browser = chromium('--enable-unsafe-webgpu', *os.environ.get('FLMK_CHROMIUM', '--use-webgpu-adapter=swiftshader').split())
    try:
        probe = browser.new_page()
        probe.goto(address + 'manifest.webmanifest')                            # a page without networks
        if not probe.evaluate('navigator.gpu?.requestAdapter().then(a => !!a)'): pytest.skip('this Chromium gives no WebGPU adapter')
        watched = """Object.defineProperty(GPUAdapterInfo.prototype, 'isFallbackAdapter', {value: false}); window.devices = []
            const ask = GPUAdapter.prototype.requestDevice
            GPUAdapter.prototype.requestDevice = async function (...a) { const d = await ask.apply(this, a); devices.push(d); return d }"""
        page = visit(other=browser, prepare=lambda p: p.add_init_script(watched))
        assert page.locator('#runs').text_content() == 'WebGPU'
        page.get_by_role('button', name='Try a rendered scene').click()
        said(page, 'Three rendered people: 3 faces.')
        assert page.locator('#runs').text_content() == 'WebGPU'
        faces = by_python(site/'example.png')
        same_faces(page, faces, .5)
        page.evaluate("devices.forEach(d => d.destroy()); document.getElementById('status').textContent = ''")
        page.get_by_role('button', name='Try a rendered scene').click()
        said(page, 'Three rendered people: 3 faces.')
        assert page.locator('#runs').text_content().startswith('WebAssembly') and page.locator('#alert').text_content() == ''
        same_faces(page, faces, .5)
    finally: browser.close()


@pytest.mark.parametrize('adapter', ['{info: {isFallbackAdapter: true}}', "{info: {}, features: new Set(), limits: {}, requestDevice: async () => { throw new Error('no device') }}"])
def test_webgpu_that_is_none(visit, adapter):
    "An adapter in software would take a hundred times as long, and another gives no device: WebAssembly runs instead."
    page = visit(prepare=lambda p: p.add_init_script(f"Object.defineProperty(Navigator.prototype, 'gpu', {{get: () => ({{requestAdapter: async () => ({adapter})}})}})"))
    assert page.locator('#runs').text_content().startswith('WebAssembly')
    page.get_by_role('button', name='Try a rendered scene').click()
    said(page, 'Three rendered people: 3 faces.')


def test_adapted(visit, site, images, tmp_path):
    "A model that was adapted to other labels, exported, goes through the page: its points are Python's."
    from flmk.core.annotations import write_annotations
    from flmk.tools.adapt import flmk_adapt
    from flmk.tools.export import flmk_export
    folder = tmp_path/'lower'; folder.mkdir()
    made = [render_face(31, k, 200) for k in range(24)]
    for k, (image, _) in enumerate(made): Image.fromarray(image).save(folder/f'{k:02}.png')
    write_annotations(folder, [f'{k:02}.png' for k in range(24)], np.stack([p + [0, 6] for _, p in made]))
    flmk_adapt(root/'landmarks_small.pth.tar', folder, tmp_path/'adapted.pth.tar')
    flmk_export(tmp_path/'adapted.pth.tar', tmp_path/'adapted.onnx', images=None)
    other = tmp_path/'site'; shutil.copytree(site, other)
    shutil.copy(tmp_path/'adapted.onnx', other/'landmarks.onnx')
    subprocess.run([sys.executable, root/'web/describe.py', other], check=True)
    def serve(path, route): route.fulfill(body=path.read_bytes())
    def instead(page):
        for file in ('landmarks.onnx', 'model.json'): page.route(f'**/{file}', partial(serve, other/file))
    page = visit(prepare=instead)
    page.set_input_files('#file', images/'face.png')
    said(page, 'face.png: 1 face')
    face, = by_python(images/'face.png', model=tmp_path/'adapted.onnx')
    same_faces(page, [face], .5)
    assert abs(face.points - by_python(images/'face.png')[0].points).mean() > 2     # it is another model's answer


def test_keyboard(visit, images):
    "Tab reaches all that can be used, each with a name, and what has the focus shows it."
    page = visit()
    page.set_input_files('#file', images/'face.png')
    said(page, '1 face')
    page.locator('summary').click()
    page.evaluate('document.activeElement.blur(); getSelection().removeAllRanges(); document.body.tabIndex = -1; document.body.focus()')
    reached = []
    for _ in range(12):
        page.keyboard.press('Tab')
        reached.append(page.evaluate('''() => { const e = document.activeElement
            return [e.id || e.tagName, getComputedStyle(e).outlineStyle, (e.ariaLabel || e.textContent).trim()] }'''))
    names = [r[0] for r in reached]
    assert names[:10] == ['choose', 'camera', 'example', 'frame', 'smaller', 'larger', 'fit', 'SUMMARY', 'numbers', 'copy'], names
    assert all(style == 'solid' and label for _, style, label in reached[:10]), reached


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
    said(page, '1 face')
    assert page.evaluate('document.documentElement.scrollWidth') <= 360
    assert page.locator('#picture').bounding_box()['width'] > 300
