"Small data and models that the tests of faults share."
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from shell import call, fine  # noqa: E402

root = Path(__file__).parent.parent.parent
TRAIN = ['--img_size', 64, '--per_epoch', 64, '--bs', 16]


@pytest.fixture(scope='session')
def source(tmp_path_factory):
    "The challenge's folders, sketched."
    from flmk.render.sketch import sketch_challenge
    return sketch_challenge(tmp_path_factory.mktemp('sketch')/'AFLW/data', n_train=60, n_valid=12, n_test=6, size=96)


@pytest.fixture(scope='session')
def data(source, tmp_path_factory):
    out = tmp_path_factory.mktemp('prepared')
    fine(call('flmk_prepare', '--source', source, '--data', out, '--size', 64))
    return out


@pytest.fixture(scope='session')
def trained(data, tmp_path_factory):
    "The folder of a run of two epochs; to be copied, not changed."
    out = tmp_path_factory.mktemp('run')/'checkpoint'
    fine(call('flmk_train', '--data', data, '--checkpoint', out, '--epochs', 2, *TRAIN))
    return out


@pytest.fixture
def run(trained, tmp_path): return shutil.copytree(trained, tmp_path/'checkpoint')


@pytest.fixture(scope='session')
def model(trained): return trained/'best_model/best.pth.tar'


@pytest.fixture(scope='session')
def face(tmp_path_factory):
    "A rendered face."
    from flmk.render.generate import render_face
    path = tmp_path_factory.mktemp('face')/'face.jpg'
    cv2.imwrite(str(path), render_face(77, 1, 256)[0][..., ::-1])
    return path


def write_clip(path, face, frames=5, side=128):
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 25, (side, side))
    picture = cv2.resize(cv2.imread(str(face)), (side, side))
    for k in range(frames): video.write(np.roll(picture, k % 3, 1))
    video.release()
    return path


@pytest.fixture(scope='session')
def clip(face, tmp_path_factory): return write_clip(tmp_path_factory.mktemp('clip')/'clip.mp4', face)


def content(folder):
    "The bytes of all files below a folder, by their relative path."
    return {str(o.relative_to(folder)): o.read_bytes() for o in sorted(Path(folder).rglob('*')) if o.is_file()}
