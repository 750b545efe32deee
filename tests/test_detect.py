"Training of a face detector: refusals before anything is rendered, kill -9 and going on, one process or two."
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from flmk import detect, runs
from flmk.core.files import InputError

ENV = os.environ | dict(OMP_NUM_THREADS='1', OPENBLAS_NUM_THREADS='1')
COMMAND = [sys.executable, '-m', 'flmk.detect']
TINY = '--heads 6 --scenes 32 --bs 8 --size 64 --epochs 3'.split()


def train(*args, timeout=900): return subprocess.run([*COMMAND, *map(str, args)], capture_output=True, text=True, env=ENV, timeout=timeout)


@pytest.mark.parametrize('options, said', [
    (dict(size=100), '--size 100 is no multiple of 32: give 96'), (dict(scenes=4), '--scenes 4 is less than one batch'), (dict(lr=0.), '--lr 0.0 is out of range'),
    (dict(photos='nowhere'), 'nowhere holds no images'), (dict(heads=0), '--heads 0 is out of range')])
def test_what_cannot_work_is_refused_before_heads_are_rendered(tmp_path, monkeypatch, options, said):
    monkeypatch.setattr(detect, 'render_cutouts', None)
    with pytest.raises(InputError, match=said): detect.train_detector(str(tmp_path/'d.onnx'), **options)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(InputError, match='is a folder: name a file, such as'): detect.train_detector(str(tmp_path))


def test_a_snapshot_that_cannot_be_written(tmp_path, monkeypatch):
    "One line, without what fastai puts around it."
    def full(*args): raise InputError('the disk is full')
    monkeypatch.setattr(runs, 'write_checkpoint', full)
    with pytest.raises(InputError, match='^the disk is full$'): detect.train_detector(str(tmp_path/'d.onnx'), epochs=1, scenes=8, heads=4, size=64, bs=8)


def test_a_loss_that_is_no_number(tmp_path, monkeypatch):
    "Neither a snapshot nor a detector of ruined weights is written."
    loss = detect.detector_loss
    monkeypatch.setattr(detect, 'detector_loss', lambda *args: loss(*args)*float('nan'))
    with pytest.raises(InputError, match='^the loss became nan in epoch 1: try a lower --lr$'): detect.train_detector(str(tmp_path/'d.onnx'), epochs=1, scenes=8, heads=4, size=64, bs=8)
    assert not list(tmp_path.iterdir())


def test_a_refusal_is_one_line(tmp_path):
    done = train(tmp_path/'d.onnx', '--size', 100)
    assert done.returncode == 2 and done.stderr.count('\n') == 1, done.stderr


def test_killed_and_gone_on_is_the_same_detector(tmp_path):
    (tmp_path/'pictures').mkdir()
    for k in range(2): cv2.imwrite(str(tmp_path/f'pictures/{k}.png'), np.random.default_rng(k).integers(0, 255, (96, 120, 3), np.uint8))
    whole, killed, left = (tmp_path/n for n in ('whole.onnx', 'killed.onnx', 'killed.onnx.snapshot'))
    settings = *TINY, '--photos', tmp_path/'pictures'
    done = train(whole, *settings)
    assert done.returncode == 0, done.stderr
    assert 'average precision' in done.stdout and sorted(p.name for p in tmp_path.iterdir()) == ['pictures', 'whole.onnx']

    job = subprocess.Popen([*COMMAND, str(killed), *map(str, settings)], env=ENV, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not left.exists(): assert job.poll() is None; time.sleep(.01)
    job.send_signal(signal.SIGKILL); job.wait()
    other = train(killed, *settings, '--lr', .1)
    assert other.returncode == 2 and 'lr was 0.003, now 0.1' in other.stderr
    rest = train(killed, *settings, '--workers', 2)                      # other processes, the same scenes
    assert rest.returncode == 0, rest.stderr
    assert rest.stdout.count('\n') < done.stdout.count('\n')             # at least one epoch fewer
    assert killed.read_bytes() == whole.read_bytes() and not left.exists()
