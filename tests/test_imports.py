"`flmk_import` and `flmk_eval --report`, as a user types them: black-box, on rendered faces."
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from flmk.core.files import load_pickle
from flmk.render.generate import render_face
from test_commands import call, refused

root = Path(__file__).parent.parent


@pytest.fixture(scope='session')
def photos():
    return [render_face(31, k, 256) for k in range(8)]


@pytest.fixture(scope='session')
def facesynthetics(photos, tmp_path_factory):
    "As Microsoft's sample: a folder, and a zip of it."
    folder = tmp_path_factory.mktemp('published')/'dataset_8'
    folder.mkdir()
    for k, (img, points) in enumerate(photos):
        Image.fromarray(img).save(folder/f'{k:06d}.png')
        Image.fromarray(img[..., 0]).save(folder/f'{k:06d}_seg.png')
        (folder/f'{k:06d}_ldmks.txt').write_text(''.join(f'{x:.3f} {y:.3f}\n' for x, y in [*(points + .5), points[36], points[42]]))
    shutil.make_archive(folder, 'zip', folder.parent, folder.name)
    return folder


def files(folder): return {p.name: p.read_bytes() for p in folder.iterdir() if p.name != 'import.json'}


def test_facesynthetics(facesynthetics, tmp_path):
    for name in 'dataset_8', 'dataset_8.zip':
        done = call('flmk_import', 'facesynthetics', facesynthetics.with_name(name), '--out', tmp_path/name)
        assert done.returncode == 0 and '8 faces' in done.stdout and 'left out' not in done.stdout, done.stderr
    assert files(tmp_path/'dataset_8') == files(tmp_path/'dataset_8.zip')
    names, points = load_pickle(tmp_path/'dataset_8/annot.pkl')
    assert names == [f'{k:06d}.jpg' for k in range(8)] and np.shape(points) == (8, 68, 2)
    assert {Image.open(tmp_path/'dataset_8'/n).size for n in names} == {(384, 384)}
    again = call('flmk_import', 'facesynthetics', facesynthetics, '--out', tmp_path/'dataset_8')
    assert again.returncode == 0 and files(tmp_path/'dataset_8') == files(tmp_path/'dataset_8.zip')
    refused(call('flmk_import', 'facesynthetics', facesynthetics, '--out', tmp_path/'dataset_8', '--seed', 5), 'dataset_8', 'delete it')


def test_interrupted(facesynthetics, tmp_path):
    "kill -9 in the middle, then the same command: the same folder as at one go."
    whole, out = tmp_path/'whole', tmp_path/'killed'
    call('flmk_import', 'facesynthetics', facesynthetics, '--out', whole, '--size', 1500)
    args = [str(Path(sys.executable).with_name('flmk_import')), 'facesynthetics', str(facesynthetics), '--out', str(out), '--size', '1500', '--workers', '1']
    for _ in range(20):
        job = subprocess.Popen(args, stdout=subprocess.DEVNULL)
        while job.poll() is None:
            if list(out.glob('0*.jpg')): job.send_signal(signal.SIGKILL)
            time.sleep(.001)
        if not (out/'annot.pkl').exists(): break
        shutil.rmtree(out)                                       # on a busy machine it may be over before it is seen
    assert not (out/'annot.pkl').exists() and len(list(out.glob('0*.jpg'))) < 8
    assert subprocess.run(args, capture_output=True).returncode == 0
    assert not list(out.glob('.*'))                              # what the killed process was writing is gone
    assert files(out) == files(whole)


def test_aflw2000_then_prepare(photos, facesynthetics, tmp_path):
    source = tmp_path/'AFLW2000'
    source.mkdir()
    for (img, points), name in zip(photos, ['00013', '00036', '00002', '00004', '00006', '00008', '00010', '99999']):
        Image.fromarray(img).save(source/f'image{name}.jpg', quality=95)
        savemat(source/f'image{name}.mat', dict(pt3d_68=np.vstack([points.T + 1, np.zeros(68)]), Pose_Para=np.zeros((1, 7))), do_compression=True)
    savemat(source/'image00008.mat', dict(pt2d=np.zeros((2, 21))))
    data = tmp_path/'AFLW/data'
    done = call('flmk_import', 'aflw2000', source, '--out', data)
    assert done.returncode == 0, done.stderr
    assert '2 left out' in done.stdout and 'no pt3d_68' in done.stdout and 'the challenge leaves it out' in done.stdout
    assert load_pickle(data/'aflw_val/annot.pkl')[0] == ['image00013.jpg', 'image00036.jpg']
    assert sorted(p.name for p in (data/'aflw_test').glob('*')) == ['image00002.jpg', 'image00004.jpg', 'image00006.jpg', 'image00010.jpg', 'import.json']
    assert call('flmk_import', 'facesynthetics', facesynthetics, '--out', data/'synthetics_train').returncode == 0
    done = call('flmk_prepare', '--source', data, '--data', tmp_path/'data')
    assert done.returncode == 0 and 'left out' not in done.stdout, done.stderr
    assert len((tmp_path/'data/AFLW_train_data/list.txt').read_text().splitlines()) == 8


def test_points(photos, tmp_path):
    "A blue dot on point 30 of each photograph is under point 30 of its crop."
    for k, name in enumerate(['one.png', 'deep/one.jpg', 'deep/er/two.webp']):
        img, points = photos[k]
        img = img//4*3
        x, y = points[30].round().astype(int)
        points[30] = x, y
        img[y - 2:y + 3, x - 2:x + 3] = 0, 0, 255
        path = tmp_path/'wild'/name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(img).save(path, quality=100, **({'lossless': True} if name.endswith('webp') else {}))
        path.with_suffix('.pts').write_text('version: 1\nn_points: 68\n{\n' + ''.join(f'{x} {y}\n' for x, y in points + 1) + '}\n')
    done = call('flmk_import', 'points', tmp_path/'wild', '--out', tmp_path/'out')
    assert done.returncode == 0, done.stderr
    names, points = load_pickle(tmp_path/'out/annot.pkl')
    assert names == ['deep_er_two.jpg', 'deep_one.jpg', 'one.jpg']
    for name, p in zip(names, np.array(points)):
        img = np.array(Image.open(tmp_path/'out'/name)).astype(int)
        y, x = np.nonzero(img[..., 2] - img[..., :2].max(-1) > 100)
        assert abs(np.array([x.mean(), y.mean()]) - p[30]).max() < .5


def test_hostile_zip(facesynthetics, tmp_path):
    with zipfile.ZipFile(tmp_path/'evil.zip', 'w', zipfile.ZIP_DEFLATED) as z:
        for p in sorted(facesynthetics.glob('00000[01]*')): z.write(p, p.name)
        z.writestr('000002.png', b'\0'*100_000_000); z.write(facesynthetics/'000002_ldmks.txt', '000002_ldmks.txt')
        for up in ('../' * 5 + 'tmp', '/tmp'):
            for p in ('000003.png', '000003_ldmks.txt'): z.write(facesynthetics/p, f'{up}/slipped/{p}')
    done = call('flmk_import', 'facesynthetics', tmp_path/'evil.zip', '--out', tmp_path/'out')
    assert done.returncode == 0 and '100,000,000 bytes' in done.stdout, done.stdout + done.stderr
    assert not Path('/tmp/slipped').exists() and {p.parent for p in tmp_path.rglob('*.jpg')} == {tmp_path/'out'}


def test_what_a_user_gets_wrong(facesynthetics, tmp_path):
    (tmp_path/'empty').mkdir()
    (tmp_path/'half.zip').write_bytes(facesynthetics.with_suffix('.zip').read_bytes()[:9999])
    (tmp_path/'full').mkdir(); (tmp_path/'full/mine.txt').write_text('keep')
    out = ['--out', tmp_path/'out']
    refused(call('flmk_import', 'lfw', facesynthetics, *out), 'lfw', 'aflw2000')
    refused(call('flmk_import', 'points', tmp_path/'none', *out), 'none is missing')
    refused(call('flmk_import', 'points', tmp_path/'empty', *out), 'empty', '.pts')
    refused(call('flmk_import', 'points', facesynthetics), '--out')
    refused(call('flmk_import', 'facesynthetics', tmp_path/'half.zip', *out), 'half.zip', 'download it again')
    refused(call('flmk_import', 'facesynthetics', facesynthetics, '--out', tmp_path/'full'), 'full', 'choose another')
    assert not (tmp_path/'out').exists() and (tmp_path/'full/mine.txt').read_text() == 'keep'


def test_report(facesynthetics, tmp_path):
    call('flmk_import', 'facesynthetics', facesynthetics, '--out', tmp_path/'data/aflw_val')
    done = call('flmk_eval', '--model_path', root/'best.pth.tar', root/'best_rendered.pth.tar', '--source', tmp_path/'data', '--out', tmp_path/'out',
                '--report', tmp_path/'report.html')
    assert done.returncode == 0, done.stderr
    page = (tmp_path/'report.html').read_text(encoding='utf-8')
    assert '<script' not in page and not re.search(r'(src|href)=.?(?!data:)[a-z./]', page)
    assert page.count('data:image/jpeg') == 16 and page.count('data:image/svg') == 2 and page.count('no readable train.logs') == 2
