"Rendering, preparing and predicting by a Dask cluster: a real scheduler and two worker processes on this machine, the same bytes as a local run."
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from flmk.render.sketch import sketch_challenge

Client = pytest.importorskip('distributed').Client
root = Path(__file__).parent.parent
ENV = os.environ | dict(OMP_NUM_THREADS='1', OPENBLAS_NUM_THREADS='1', DASK_LOGGING__DISTRIBUTED='error')


def command(name, *args): return [str(Path(sys.executable).with_name(name)), *map(str, args)]


def call(name, *args): return subprocess.run(command(name, *args), capture_output=True, text=True, env=ENV, timeout=300)


def wait_for(told, what, seconds=120):
    end = time.monotonic() + seconds
    while not (found := told()):
        assert time.monotonic() < end, f'{what} does not come'
        time.sleep(.005)
    return found


@contextmanager
def started(args, folder):
    "A process in a folder of its own, so that relative paths would show."
    folder.mkdir()
    job = subprocess.Popen(args, cwd=folder, env=ENV, stdout=subprocess.DEVNULL, stderr=(folder/'stderr').open('w'), start_new_session=True)
    try: yield job
    finally:
        if job.poll() is None: os.killpg(job.pid, signal.SIGKILL)
        job.wait()


def dask(what, *args): return [sys.executable, '-m', 'distributed.cli.dask_' + what, *map(str, args)]


@contextmanager
def running_cluster(folder):
    "A scheduler and two workers, each a process; yields the address and the workers."
    where = folder/'scheduler.json'
    folder.mkdir(exist_ok=True)
    with started(dask('scheduler', '--host', '127.0.0.1', '--port', 0, '--no-dashboard', '--scheduler-file', where), folder/'scheduler') as scheduler:
        address = wait_for(lambda: where.exists() and where.stat().st_size and json.loads(where.read_text())['address'], 'the scheduler')
        worker = dask('worker', address, '--nthreads', 1, '--no-nanny', '--no-dashboard')
        with started(worker, folder/'worker1') as one, started(worker, folder/'worker2') as two:
            with Client(address, set_as_default=False) as client: client.wait_for_workers(2, timeout=120)
            yield address, (one, two), scheduler


@contextmanager
def standing_still(worker):
    "Meanwhile a worker does nothing, so that a run that has given it a task cannot be over. Not for flmk_prepare, which takes its results in their order."
    os.killpg(worker.pid, signal.SIGSTOP)
    try: yield
    finally: os.killpg(worker.pid, signal.SIGCONT)


@pytest.fixture(scope='module')
def cluster(tmp_path_factory):
    with running_cluster(tmp_path_factory.mktemp('cluster')/'all') as (address, *_): yield address


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    return sketch_challenge(tmp_path_factory.mktemp('challenge')/'data', n_train=300, n_valid=40, n_test=0, size=128)


@pytest.fixture(scope='module')
def local(source, tmp_path_factory):
    out = tmp_path_factory.mktemp('local')
    done = call('flmk_prepare', '--source', source, '--data', out/'data', '--size', 64)
    assert done.returncode == 0, done.stderr
    done = call('flmk_faces', '--n', 10, '--seed', 3, '--size', 64, '--out', out/'faces', '--workers', 1)
    assert done.returncode == 0, done.stderr
    return out


def content(folder): return {str(o.relative_to(folder)): o.read_bytes() for o in sorted(Path(folder).rglob('*')) if o.is_file()}


def test_prepare(source, local, cluster, tmp_path):
    done = call('flmk_prepare', '--source', source, '--data', tmp_path/'data', '--size', 64, '--scheduler', cluster)
    assert (done.returncode, done.stderr) == (0, '')
    assert content(tmp_path/'data') == content(local/'data')


def test_faces(local, cluster, tmp_path):
    done = call('flmk_faces', '--n', 10, '--seed', 3, '--size', 64, '--out', tmp_path/'faces', '--scheduler', cluster)
    assert (done.returncode, done.stderr) == (0, '')
    assert content(tmp_path/'faces') == content(local/'faces')


@pytest.fixture(scope='module')
def album(tmp_path_factory):
    "A folder of face crops and one broken file, and a copy of the model; everything is named relative to it."
    folder = tmp_path_factory.mktemp('album')
    sketch_challenge(folder/'data', 2, 2, 60, size=128)
    (folder/'data/aflw_test').rename(folder/'crops')
    (folder/'crops/zz.jpg').write_bytes(b'')
    shutil.copy(root/'flmk/assets/landmarks_small.onnx', folder/'model.onnx')
    done = predict(folder, 'local')
    assert done.returncode == 2 and 'zz.jpg' in done.stderr, done.stderr
    return folder


PREDICT = ['crops', '--crops', '--model_path', 'model.onnx', '--draw']


def predict(folder, out, *args):
    return subprocess.run(command('flmk_predict', *PREDICT, '--out', out, *args), capture_output=True, text=True, env=ENV, timeout=300, cwd=folder)


def test_predict(album, cluster):
    "Tables and copies by a cluster whose workers run in other folders: the same bytes and the same line about the broken file."
    done, local = predict(album, 'cluster', '--scheduler', cluster), predict(album, 'again')
    assert done.returncode == 2 and done.stderr.replace('cluster', 'again') == local.stderr
    assert len(content(album/'local')) == 61 and content(album/'cluster') == content(album/'local')


def test_bad_images_cross_the_wire(cluster, tmp_path):
    source = sketch_challenge(tmp_path/'data', 5, 2, 0, size=64)
    (source/'synthetics_train/000002.jpg').write_bytes(b'')
    done = call('flmk_prepare', '--source', source, '--data', tmp_path/'out', '--scheduler', cluster)
    assert done.returncode == 0 and '1 left out' in done.stdout and '000002.jpg' in done.stdout and 'empty' in done.stdout
    done = call('flmk_prepare', '--source', source, '--data', tmp_path/'strict', '--scheduler', cluster, '--strict')
    assert done.returncode == 2 and done.stderr.count('\n') == 1 and '000002.jpg' in done.stderr


def prepared(out):
    "How many faces a run of flmk_prepare has finished in its hidden folder."
    return sum(o.read_bytes().count(b'\n') for o in out.glob('.*.part/list.txt'))


@pytest.mark.parametrize('name', ['flmk_prepare', 'flmk_faces'])
def test_a_worker_is_killed(name, source, local, tmp_path):
    "kill -9 of one worker in the middle: the other does the rest, nothing is lost."
    out = tmp_path/'out'
    args = dict(flmk_prepare=('--source', source, '--data', out, '--size', 64), flmk_faces=('--n', 10, '--seed', 3, '--size', 64, '--out', out))[name]
    with running_cluster(tmp_path/'cluster') as (address, (victim, other), _):
        with standing_still(other) if name == 'flmk_faces' else nullcontext():
            job = subprocess.Popen(command(name, *args, '--scheduler', address), env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            wait_for(lambda: job.poll() is not None or (prepared(out) if name == 'flmk_prepare' else next(out.rglob('0*.jpg'), None)), 'the first image')
            assert job.poll() is None, 'it was over before the worker could be killed'
            os.killpg(victim.pid, signal.SIGKILL)
        said = job.communicate(timeout=300)
        assert job.returncode == 0, said
    assert content(out) == content(local/('data' if name == 'flmk_prepare' else 'faces'))


def test_a_worker_that_predicts_is_killed(album, tmp_path):
    "The same for `flmk_predict`: no row and no copy is lost."
    with running_cluster(tmp_path/'cluster') as (address, (victim, other), _):
        with standing_still(other):
            job = subprocess.Popen(command('flmk_predict', *PREDICT, '--out', 'killed', '--scheduler', address), env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=album)
            wait_for(lambda: job.poll() is not None or next((album/'killed').glob('drawn/*.jpg'), None), 'the first copy')
            assert job.poll() is None, 'it was over before the worker could be killed'
            os.killpg(victim.pid, signal.SIGKILL)
        said = job.communicate(timeout=300)
        assert job.returncode == 2 and 'zz.jpg' in said[1], said
    assert content(album/'killed') == content(album/'local')


@pytest.mark.parametrize('how', ['Ctrl-C', 'the scheduler is killed'])
def test_a_run_is_stopped(how, source, local, tmp_path):
    "One line; what is stored stays, and a local run goes on with it."
    out = tmp_path/'out'
    with running_cluster(tmp_path/'cluster') as (address, workers, scheduler):
        job = subprocess.Popen(command('flmk_prepare', '--source', source, '--data', out, '--size', 64, '--scheduler', address),
                               env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))      # tests that a shell runs in its background ignore it, and hand that on
        wait_for(lambda: job.poll() is not None or prepared(out) > 20, 'the first images')
        assert job.poll() is None, 'it was over before it could be stopped'
        for o in workers: os.killpg(o.pid, signal.SIGSTOP)
        if how == 'Ctrl-C': job.send_signal(signal.SIGINT)
        else: os.killpg(scheduler.pid, signal.SIGKILL)
        _, err = job.communicate(timeout=120)
    status, line = (130, 'interrupted') if how == 'Ctrl-C' else (2, 'went away; run again')
    assert job.returncode == status and err.count('\n') == 1 and line in err, err
    assert prepared(out) > 20
    assert call('flmk_prepare', '--source', source, '--data', out, '--size', 64).returncode == 0
    assert content(out) == content(local/'data')


def test_nobody_answers(source, tmp_path):
    for address, why in (('tcp://127.0.0.1:9', 'answers at'), ('nonsense://x', 'no address')):
        done = call('flmk_prepare', '--source', source, '--data', tmp_path/'out', '--scheduler', address)
        assert done.returncode == 2 and done.stderr.count('\n') == 1 and why in done.stderr, done.stderr
    assert not (tmp_path/'out').exists() or not list((tmp_path/'out').iterdir())


def test_two_at_once(source, local, tmp_path):
    "Two runs into one folder: one does the work, the other says so or finds it done; both leave it whole."
    args = command('flmk_prepare', '--source', source, '--data', tmp_path/'out', '--size', 64, '--workers', 1)
    jobs = [subprocess.Popen(args, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    said = [job.communicate(timeout=300) for job in jobs]
    assert sorted({job.returncode for job in jobs}) in ([0], [0, 2]), said
    assert all('at work' in err for job, (_, err) in zip(jobs, said) if job.returncode == 2), said
    assert call('flmk_prepare', '--source', source, '--data', tmp_path/'out', '--size', 64).returncode == 0
    assert content(tmp_path/'out') == content(local/'data')
