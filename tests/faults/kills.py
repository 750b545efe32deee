"""`kill -9` at random moments of every command that takes longer than a second, and then the same command again: `python tests/faults/kills.py [COMMAND ...] [--n 50] [--seed 0]`.

The end is compared with what an undisturbed run makes, bit for bit but for what `comparable` leaves out; nothing of flmk's own may be left
in the folder or beside it. Every other time the command alone is killed, and what it started has to notice."""
import argparse
import csv
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import zlib
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from shell import call, fine, Job  # noqa: E402

root = Path(__file__).parent.parent.parent
TRAIN = '--img_size', 64, '--per_epoch', 64, '--bs', 16, '--epochs', 2
DEMO = '--n', 16, '--epochs', 1, '--per_epoch', 64, '--img_size', 32


def _render(folder, n, size):
    "Rendered faces, as photographs with a border, and their points."
    from flmk.render.generate import render_face
    folder.mkdir()
    faces = [render_face(7, k, size) for k in range(n)]
    for k, (image, _) in enumerate(faces): cv2.imwrite(str(folder/f'{k:02d}.png'), image[..., ::-1])
    return np.stack([p for _, p in faces])


def make_inputs(folder):
    "What the commands work on: small, so that a run takes a second or two."
    from flmk.core.annotations import read_annotations, write_annotations
    from flmk.render.sketch import sketch_challenge
    i = SimpleNamespace(source=sketch_challenge(folder/'sketch', n_train=150, n_valid=12, n_test=40, size=96))
    i.data = folder/'data'
    fine(call('flmk_prepare', '--source', i.source, '--data', i.data, '--size', 64))
    fine(call('flmk_train', '--data', i.data, '--checkpoint', folder/'run', *TRAIN))
    i.model = folder/'run/best_model/best.pth.tar'
    fine(call('flmk_train', '--model', 'pfld', '--data', i.data, '--checkpoint', folder/'pfld', *TRAIN[:-1], 1))
    i.simple = folder/'pfld/best_model/best.pth.tar'                           # its export takes half as long
    i.published = shutil.copytree(i.source/'synthetics_train', folder/'published')
    for name, points in zip(*read_annotations(i.source/'synthetics_train')):
        (i.published/name).with_suffix('.pts').write_text('version: 1\nn_points: 68\n{\n' + ''.join(f'{x + 1:.2f} {y + 1:.2f}\n' for x, y in points) + '}\n')
    (i.published/'annot.pkl').unlink()
    i.photos = folder/'photos'
    points = _render(i.photos, 12, 160)
    i.lower = shutil.copytree(i.photos, folder/'lower')                        # labels of another definition, for flmk_adapt
    write_annotations(i.lower, sorted(p.name for p in i.lower.iterdir()), points + np.ptp(points, axis=1).max(1)[:, None, None]*[0, .06])
    i.clip = folder/'clip.mp4'
    video = cv2.VideoWriter(str(i.clip), cv2.VideoWriter_fourcc(*'mp4v'), 25, (160, 160))
    for k in range(30): video.write(np.roll(cv2.imread(str(i.photos/'00.png')), k % 3, 1))
    video.release()
    return i


def commands(i, out):
    "Every command, with what it is to write into `out`; `begin` lays down what it works on in place."
    overwrite = '--overwrite',                                                 # the table that was begun is there already
    return dict(
        prepare=('flmk_prepare', '--source', i.source, '--data', out, '--size', 64, '--workers', 1),
        imported=('flmk_import', 'points', i.published, '--out', out, '--size', 160, '--workers', 1),
        faces=('flmk_faces', '--n', 16, '--size', 64, '--workers', 1, '--out', out),
        faces_by_two=('flmk_faces', '--n', 16, '--size', 64, '--workers', 2, '--out', out),
        scenes=('flmk_faces', '--scenes', '--n', 5, '--size', 96, '--workers', 1, '--out', out),
        train=('flmk_train', '--data', out/'data', '--checkpoint', out/'run', *TRAIN, '--resume'),
        evaluate=('flmk_eval', '--model_path', i.model, '--source', i.source, '--out', out, '--report', out/'report.html'),
        test=('flmk_test', '--model_path', i.model, '--images', i.source/'aflw_test', '--out', out),
        photos=('flmk_predict', i.photos, '--out', out, '--draw', '--blur', '--crop_out', out/'crops', *overwrite),
        photos_as_json=('flmk_predict', i.photos, '--out', out, '--format', 'json', *overwrite),
        video=('flmk_predict', i.clip, '--out', out, '--draw', '--blur', *overwrite),
        export=('flmk_export', i.simple, out/'a.onnx', '--images', i.source/'aflw_val'),
        adapt=('flmk_adapt', '--model_path', root/'landmarks_small.pth.tar', '--source', i.lower, '--out', out/'adapted.pth.tar'),
        relabel=('flmk.tools.relabel', root/'landmarks_small.pth.tar', i.lower, out),
        sigma=('flmk.sigma', out/'best.pth.tar', '--n', 60, '--workers', 1),
        record=('flmk_record', '--out', out, '--source', i.source, '--n', 24, '--size', 64, '--epochs', 1, '--per_epoch', 64, '--workers', 1),
        detector=('flmk.detect', out/'faces.onnx', '--heads', 24, '--scenes', 48, '--epochs', 3, '--size', 96, '--bs', 8),
        demo=('flmk_demo', '--out', out, *DEMO),
        demo_on_faces=('flmk_demo', '--out', out, *DEMO))


NAMES = [*commands(SimpleNamespace(**dict.fromkeys('source data model simple published photos lower clip'.split(), Path('x'))), Path('x'))]


def _practice_faces(i):
    "The faces that a demo renders, made once."
    folder = i.source.parent/'practice'
    if not folder.exists():
        for seed, (name, n) in enumerate(dict(synthetics_train=16, aflw_val=8, aflw_test=8).items(), 1):
            fine(call('flmk_faces', '--n', n, '--seed', seed, '--size', 192, '--workers', 1, '--out', folder/name))
    return folder


def begin(name, i, out):
    "What is there before the command runs."
    if name == 'train': shutil.copytree(i.data, out/'data')
    if name == 'sigma': out.mkdir(parents=True); shutil.copy(i.model, out)
    if name == 'demo_on_faces': shutil.copytree(_practice_faces(i), out/'demo/AFLW/data')      # which take longest, and are killed as faces_by_two


def _snapshot(path):
    "A snapshot without the seconds of its log; tensors as their checksums."
    import torch
    def plain(o):
        if isinstance(o, torch.Tensor): return tuple(o.shape), zlib.crc32(o.contiguous().numpy().tobytes())
        if isinstance(o, dict): return {k: plain(v) for k, v in o.items()}
        return [plain(v) for v in o] if isinstance(o, (list, tuple)) else o
    saved = torch.load(path, weights_only=True)
    return repr(plain(saved | dict(log=[line.rpartition(',')[0] for line in saved['log']])))


def comparable(path):
    "A file's content, without what a clock has said: seconds in logs, milliseconds and dates in reports."
    if 'checkpoint_epoch' in path.name: return _snapshot(path)
    data = path.read_bytes()
    if path.name == 'train.logs': return [line.rpartition(',')[0] for line in data.decode().splitlines()]
    if path.name in ('scores.md', 'record.md', 'report.html'): return path.name   # full of times; the numbers that matter are in scores.csv and best.pth.tar
    if path.name == 'record.png': return path.name                                # its curve is over minutes
    if path.name == 'scores.csv':
        rows = list(csv.reader(data.decode().splitlines()))
        return [[cell for head, cell in zip(rows[0], row) if head != 'ms'] for row in rows]
    return re.sub(rb'best_1\.', b'best.', data)


def content(folder):
    "What is in a folder, hidden files and empty folders included; a best model that was put aside when a first epoch was repeated is left out."
    found = {str(o.relative_to(folder)): comparable(o) if o.is_file() else 'folder' for o in sorted(folder.rglob('*'))}
    return {k: v for k, v in found.items() if not k.endswith('best_model/best_1.pth.tar')}


def difference(ours, whole):
    "In what two folders differ, in words; nothing where they do not."
    return ', '.join([f'{k} is left over' for k in ours.keys() - whole.keys()] + [f'{k} is missing' for k in whole.keys() - ours.keys()] + [f'{k} differs' for k in ours.keys() & whole.keys() if ours[k] != whole[k]])


def gone(group, seconds=60):
    "Has every process of a group ended?"
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try: os.killpg(group, 0)
        except ProcessLookupError: return True
        time.sleep(.05)
    return False


def kill_at(job, seconds, alone):
    "Kill a command after so many seconds; False where it is over before."
    time.sleep(seconds)
    if not job.process.is_alive(): return False
    if alone: os.kill(job.process.pid, signal.SIGKILL)
    else: job.kill()
    return True


def again(name, i, folder, group, whole):
    "The same command after a kill; what went wrong, or nothing, and how many seconds it took."
    done = call(*commands(i, folder/'out')[name])
    if done.returncode or 'Traceback' in done.stderr: return f'exit status {done.returncode}: {done.stderr.strip()[-600:]}', done.seconds
    return difference(content(folder), whole) or ('' if gone(group) else 'a process that it started is still there'), done.seconds


class Campaign:
    "Kills of one command, each in a folder of its own below `folder`; `kills` counts those whose end was looked at, `wrong` tells of those that did not end well."
    def __init__(self, name, i, folder, seed=0):
        self.name, self.i, self.folder, self.wrong, self.tries, self.kills = name, i, folder, [], 0, 0
        self.rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        self.took = fine(self.start('whole').wait()).seconds
        self.whole = content(folder/'whole')

    def start(self, where, **options):
        out = self.folder/where/'out'; out.parent.mkdir(parents=True)
        begin(self.name, self.i, out)
        return Job(*commands(self.i, out)[self.name], **options)

    def end(self, job, how):
        "After the kill."
        where, group = self.folder/f'{self.tries}', job.process.pid
        job.wait()
        said, self.took = again(self.name, self.i, where, group, self.whole)
        self.kills += 1
        if said: self.wrong.append(f'killed {how}: {said} ({where})')
        else: shutil.rmtree(where)

    def at_random(self, n):
        "n kills at random moments."
        begun, most = self.kills, self.tries + 5*n + 20
        while (done := self.kills - begun) < n and self.tries < most:
            self.tries += 1
            job, at = self.start(f'{self.tries}'), self.rng.uniform(0, self.took)
            if not kill_at(job, at, done % 2): job.wait(); shutil.rmtree(self.folder/f'{self.tries}'); continue
            self.end(job, f'after {at:.2f} of {self.took:.2f} s')
        assert done == n, f'{self.name} is too fast to be killed'

    def at_renames(self, most):
        "A kill in the place of each rename, the first `most`; how many there were."
        for k in range(1, most + 1):
            self.tries += 1
            job = self.start(f'{self.tries}', die_at=k)
            job.process.join(300)
            if job.process.exitcode == 0: job.wait(); shutil.rmtree(self.folder/f'{self.tries}'); return k - 1
            self.end(job, f'before rename {k}')
        return most


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*', help=f'of {", ".join(NAMES)}; all if none is given')
    parser.add_argument('--n', type=int, default=50, help='kills of each, at random moments')
    parser.add_argument('--renames', type=int, default=0, help='beside these, one in the place of each of so many renames')
    parser.add_argument('--seed', type=int, default=0)
    o, bad, stopped = parser.parse_args(), 0, False
    signal.signal(signal.SIGINT, signal.default_int_handler)       # Ctrl-C, or `kill -INT`: what is done is counted
    folder = Path(tempfile.mkdtemp(prefix='flmk-kills-'))
    i = make_inputs(folder)
    for name in o.names or NAMES:
        start, c = time.monotonic(), Campaign(name, i, folder/name, o.seed)
        try: c.at_renames(o.renames); c.at_random(o.n)
        except KeyboardInterrupt: stopped = True
        bad += len(c.wrong)
        print(f'{name}: {c.kills} kills, {c.kills - len(c.wrong)} ended like an undisturbed run; {time.monotonic() - start:.0f} s', *c.wrong, sep='\n    ', flush=True)
        if stopped: break
        if not c.wrong: shutil.rmtree(folder/name)
    if not bad and not stopped: shutil.rmtree(folder)
    sys.exit(bad > 0)


if __name__ == '__main__': main()
