"flmk_adapt as a user types it, and every command that its file goes through; on rendered faces with labels that are made up."
import csv
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from flmk.core.annotations import read_annotations, write_annotations
from flmk.core.points import FLIP_ORDER
from flmk.render.write import flmk_faces

root = Path(__file__).parent.parent
MODEL, SIZE = root/'landmarks_small.pth.tar', 96


def call(name, *args): return subprocess.run([str(Path(sys.executable).with_name(name)), *map(str, args)], capture_output=True, text=True)


def ran(done):
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope='module')
def faces(tmp_path_factory):
    "24 rendered faces, and their points."
    out = tmp_path_factory.mktemp('faces')/'faces'
    flmk_faces(n=24, seed=70001, out=out, size=SIZE, workers=1)
    return out, np.array(read_annotations(out)[1])


def labelled(out, faces, points, which=range(24)):
    "Some of the faces with other labels."
    folder, _ = faces
    out.mkdir()
    for k in which: shutil.copy(folder/f'{k:06d}.jpg', out)
    write_annotations(out, [f'{k:06d}.jpg' for k in which], points[list(which)])
    return out


def lower(points):
    "Everybody's face, a twentieth of its box lower and a little broader."
    middle, side = points.mean(1, keepdims=True), np.ptp(points, axis=1).max(1)[:, None, None]
    return middle + (points - middle)*[1.06, 1] + side*[0, .06]


@pytest.fixture(scope='module')
def adapted(faces, tmp_path_factory):
    tmp = tmp_path_factory.mktemp('adapted')
    source = labelled(tmp/'mine', faces, lower(faces[1]))
    said = ran(call('flmk_adapt', '--model_path', MODEL, '--source', source, '--out', tmp/'adapted.pth.tar'))
    assert '24 faces' in said and 'a gain of' in said and 'out of fold' in said
    return tmp/'adapted.pth.tar', source


def points_of(out):
    "Points (n, 68, 2) and sigma (n, 68) of a faces.csv."
    with open(out/'faces.csv') as f: rows = sorted(csv.DictReader(f), key=lambda r: r['image'])
    pick = lambda r, *names: [[float(r[f'{name}{k}']) for name in names] for k in range(1, 69)]
    return np.array([pick(r, 'x', 'y') for r in rows]), np.array([pick(r, 'sigma') for r in rows])[..., 0]


def test_every_command_uses_the_correction(adapted, faces, tmp_path):
    path, source = adapted
    found = {}
    for name, model in (('plain', MODEL), ('adapted', path)):
        ran(call('flmk_predict', source, '--crops', '--model_path', model, '--out', tmp_path/name))
        found[name] = points_of(tmp_path/name)
    ran(call('flmk_export', path, tmp_path/'adapted.onnx', '--images', source))
    ran(call('flmk_predict', source, '--crops', '--model_path', tmp_path/'adapted.onnx', '--out', tmp_path/'onnx'))
    for ours, theirs in zip(found['adapted'], points_of(tmp_path/'onnx')): assert abs(ours - theirs).max() < .02
    true = lower(faces[1])
    before, after = (np.linalg.norm(found[k][0] - true, axis=-1).mean() for k in ('plain', 'adapted'))
    assert after < .85*before
    ran(call('flmk_test', '--model_path', path, '--images', source, '--out', tmp_path/'submission'))
    assert (tmp_path/'submission/solution.zip').exists()


def test_it_is_adapted_again_from_the_start(adapted, tmp_path):
    path, source = adapted
    first = ran(call('flmk_adapt', '--model_path', MODEL, '--source', source, '--out', tmp_path/'a.pth.tar')).splitlines()
    again = ran(call('flmk_adapt', '--model_path', path, '--source', source, '--out', tmp_path/'b.pth.tar')).splitlines()
    assert first[-2] == again[-2]


def _nan(points): return np.where(np.arange(points.size).reshape(points.shape) == 7*136 + 5, np.nan, points)


@pytest.mark.parametrize('labels, which, words', [
    (lower, range(9), ('9 labelled faces', '10 are needed')),
    (lambda p: lower(p)[:, FLIP_ORDER], range(24), ('another order',)),
    (lambda p: lower(p)[:, [*range(36), *range(42, 48), *range(36, 42), *range(48, 68)]], range(24), ('another order', 'point 37 lies where 4', '12 points in all')),
    (lambda p: np.roll(p, 5, 0), range(24), ('do they belong to these images',)),
    (_nan, range(24), ('000007.jpg', 'NaN'))])
def test_refused(faces, tmp_path, labels, which, words):
    done = call('flmk_adapt', '--model_path', MODEL, '--source', labelled(tmp_path/'mine', faces, labels(faces[1]), which), '--out', tmp_path/'out.pth.tar')
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 2 and len(lines) == 1, done.stderr
    for word in words: assert word in lines[0], lines[0]
    assert not (tmp_path/'out.pth.tar').exists()
