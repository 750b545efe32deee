"What a user installs: a wheel and an sdist in a bare environment, without PyTorch, fastai, matplotlib and nbdev."
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

root = Path(__file__).parent.parent
HEAVY = {'torch', 'torchvision', 'fastai', 'matplotlib', 'nbdev', 'scipy', 'pandas', 'onnxscript', 'dask', 'distributed', 'jupyterlab'}


def run(*args, cwd=None, **env):
    done = subprocess.run([str(o) for o in args], capture_output=True, text=True, cwd=cwd, env={k: v for k, v in os.environ.items() if k != 'PYTHONPATH'} | env)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    "The files that git knows, or would: a build leaves its traces in the copy."
    tree = tmp_path_factory.mktemp('source')/'flmk'
    keep = ('flmk', 'settings.ini', 'setup.py', 'MANIFEST.in', 'README.md', 'LICENSE')
    tree.mkdir()
    for name in keep:
        if (root/name).is_dir(): shutil.copytree(root/name, tree/name, ignore=shutil.ignore_patterns('__pycache__'))
        else: shutil.copy(root/name, tree)
    return tree


@pytest.fixture(scope='module')
def wheel(source, tmp_path_factory):
    out = tmp_path_factory.mktemp('wheel')
    run(sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', '-w', out, '.', cwd=source)
    return next(out.glob('flmk-*.whl'))


@pytest.fixture(scope='module')
def sdist(source):
    run(sys.executable, '-c', 'from setuptools.build_meta import build_sdist; build_sdist("dist")', cwd=source)
    return next((source/'dist').glob('flmk-*.tar.gz'))


def bare(tmp, package):
    "A new environment with this file installed, as its pip; skips where there is no registry."
    run(sys.executable, '-m', 'venv', tmp/'venv')
    pip = [tmp/'venv/bin/python', '-m', 'pip', '--disable-pip-version-check']
    done = subprocess.run([*map(str, pip), 'install', '-q', '-c', str(root/'constraints.txt'), str(package)], capture_output=True, text=True)
    if re.search('Failed to establish|timed out|Connection (broken|reset)|reset by peer|HTTP error 50[0-9]|No matching distribution found for (setuptools|numpy|pillow)', done.stderr): pytest.skip('pip cannot reach its registry')
    assert done.returncode == 0, done.stderr
    return tmp/'venv/bin', run(*pip, 'list', '--format=freeze')


@pytest.fixture(scope='module')
def photo(tmp_path_factory):
    "A rendered face in a larger picture, where the cascades find it."
    from flmk.render.generate import render_face
    img, points = render_face(31, 3, 300)
    whole = np.full((420, 500, 3), 110, np.uint8)
    whole[60:360, 100:400] = img
    path = tmp_path_factory.mktemp('photo')/'photo.jpg'
    cv2.imwrite(str(path), whole[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    return path, points + (100, 60)


def check(bin, listed, photo, tmp):
    "The command and the function work, and nothing heavy came along."
    path, points = photo
    names = {l.split('==')[0].split(' ')[0].lower() for l in listed.splitlines()}
    assert not names & HEAVY, names & HEAVY
    assert {'numpy', 'opencv-python', 'pillow', 'fastcore', 'onnxruntime', 'flmk'} <= names
    out = run(bin/'flmk_predict', path, cwd=tmp)
    assert (tmp/'output/faces.csv').is_file(), out
    code = ('import sys, json, flmk; faces = flmk.predict(sys.argv[1]); f = faces[0]; '
            'print(json.dumps([len(faces), f.points.tolist(), [*map(float, f.box)], [f.pitch, f.yaw, f.roll]]))')
    n, found, box, angles = json.loads(run(bin/'python', '-c', code, path, cwd=tmp))
    assert n == 1 and len(box) == 4 and max(map(abs, angles)) < 90
    assert np.linalg.norm(np.array(found) - points, axis=-1).mean() < .04*300
    assert run(bin/'flmk_train', '--help', cwd=tmp).startswith('usage: flmk_train')
    for name, package, extra in (('flmk_train', 'torch', 'train'), ('flmk_demo', '', 'train'), ('flmk_eval', '', 'train')):
        done = subprocess.run([str(bin/name)], capture_output=True, text=True, cwd=tmp)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and f"pip install 'flmk[{extra}]'" in done.stderr and package in done.stderr, done.stderr
    done = subprocess.run([str(bin/'flmk_faces'), '--n', '1', '--out', str(tmp/'faces')], capture_output=True, text=True, cwd=tmp)
    assert done.returncode == 2 and "pip install 'flmk[render]'" in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    done = subprocess.run([str(bin/'flmk_export'), str(root/'best.pth.tar'), str(tmp/'a.onnx')], capture_output=True, text=True, cwd=tmp)
    assert done.returncode == 2 and "pip install 'flmk[" in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr


def test_contents(wheel, sdist):
    "Assets with the models and their licences are in both; notebooks and tests are in neither."
    with zipfile.ZipFile(wheel) as z: inside = set(z.namelist())
    with tarfile.open(sdist) as t: packed = {n.split('/', 1)[-1] for n in t.getnames()}
    assets = {f'flmk/assets/{p.name}' for p in (root/'flmk/assets').iterdir() if p.is_file()}
    assert assets <= inside and assets | {'settings.ini', 'setup.py', 'LICENSE'} <= packed
    licences = ' '.join(p.read_text() for p in (root/'flmk/assets').glob('*.LICENSE.txt'))
    models = [p.name for p in (root/'flmk/assets').glob('*.onnx')]
    assert len(models) == 4 and all(m in licences for m in models)
    assert not [n for n in inside if n.startswith(('nbs', 'tests'))]
    assert wheel.stat().st_size < 25e6


@pytest.mark.timeout(900)
def test_wheel(wheel, photo, tmp_path): check(*bare(tmp_path, wheel), photo, tmp_path)


@pytest.mark.timeout(900)
def test_sdist(sdist, photo, tmp_path): check(*bare(tmp_path, sdist), photo, tmp_path)


def test_torchvision():
    "Importing torchvision by itself works in the environment of `make install`, and after `import flmk` in any other."
    pytest.importorskip('torch')
    for first in '', 'import flmk; ':
        done = subprocess.run([sys.executable, '-c', f'{first}import sys; assert "torch" not in sys.modules; import torchvision.ops'], capture_output=True, text=True, cwd='/')
        assert done.returncode == 0, done.stderr
