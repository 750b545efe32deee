"Training in two processes, as a user starts it, against one process."
import csv
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from flmk.core.files import InputError
from flmk.core.prepare import flmk_prepare
from flmk.model_file import load_model
from flmk.render.sketch import sketch_challenge
from flmk.train import Recipe, recipe_dataloaders

TRAIN = [str(Path(sys.executable).with_name('flmk_train')), '--img_size', '64', '--epochs', '2', '--per_epoch', '64', '--bs', '16']


def launch(n, *args):
    """Run `flmk_train` in n processes; returns what it printed.

    A run that takes 150 seconds is ended, and says where each process was: once in some forty runs, on a busy machine, two processes
    waited for ever while PyTorch's process group was taken down; since then they leave without (`leave_distributed`)."""
    with socket.socket() as s: s.bind(('127.0.0.1', 0)); port = s.getsockname()[1]
    several = [sys.executable, '-m', 'accelerate.commands.accelerate_cli', 'launch', '--multi_gpu', '--num_processes', str(n), '--main_process_port', str(port)]
    job = subprocess.Popen([*several*(n > 1), *TRAIN, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                           env=os.environ | dict(CUDA_VISIBLE_DEVICES='', OMP_NUM_THREADS='1', PYTHONFAULTHANDLER='1'))
    try: out, err = job.communicate(timeout=240)
    except subprocess.TimeoutExpired:
        for process in psutil.Process(job.pid).children(recursive=True): process.send_signal(signal.SIGABRT)   # Python's fault handler prints the stacks
        out, err = job.communicate()
    assert job.returncode == 0, err
    return out


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    tmp = tmp_path_factory.mktemp('distributed')
    flmk_prepare(sketch_challenge(tmp/'AFLW/data', n_train=64, n_valid=15, n_test=0, size=96), tmp/'data', size=64)
    return tmp/'data'


def log(folder): return list(csv.DictReader(open(folder/'train.logs')))


def test_two_processes(data, tmp_path):
    one, two = tmp_path/'one', tmp_path/'two'
    launch(1, '--data', data, '--checkpoint', one)
    out = launch(2, '--data', data, '--checkpoint', two)
    assert out.count('best.pth.tar') == 1 and out.count('valid_loss') == 1
    a, b = log(one), log(two)
    assert [r['epoch'] for r in b] == ['1', '2'] and [r['lr'] for r in b] == [r['lr'] for r in a]
    assert float(b[-1]['nme']) == pytest.approx(float(a[-1]['nme']), rel=.1) and a[-1]['nme'] != b[-1]['nme']
    names = lambda o: sorted(p.relative_to(o) for p in o.rglob('*') if p.is_file())
    assert names(one) == names(two)
    one_file, two_file = (load_model(o/'best_model/best.pth.tar')[0].state_dict() for o in (one, two))
    assert {k: v.shape for k, v in one_file.items()} == {k: v.shape for k, v in two_file.items()}

    # What is left of `two` when it is cut off after its first epoch goes on to the same end.
    last = two/'snapshot/checkpoint_epoch_2.pth.tar'
    whole = torch.load(last, weights_only=True)
    last.unlink()
    launch(2, '--data', data, '--checkpoint', two, '--resume')
    resumed = torch.load(last, weights_only=True)
    for part in 'model', 'average':
        for k, v in whole[part].items(): assert torch.equal(v, resumed[part][k]), k


def test_batch_that_cannot_be_shared(data, monkeypatch):
    monkeypatch.setenv('WORLD_SIZE', '2')
    with pytest.raises(InputError, match='--bs 15 cannot be shared by 2 processes'): recipe_dataloaders(data, Recipe(bs=15))
