"flmk_bench and the sharing among machines, as a user types them."
import csv
import subprocess
import sys
from pathlib import Path

import pytest

from flmk.sketch import sketch_challenge


def start(name, *args): return subprocess.Popen([str(Path(sys.executable).with_name(name)), *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def call(name, *args):
    job = start(name, *args)
    job.out, job.err = job.communicate()
    return job


@pytest.fixture(scope='session')
def source(tmp_path_factory): return sketch_challenge(tmp_path_factory.mktemp('challenge')/'AFLW/data', n_train=10, n_valid=4, n_test=0, size=96)


def test_bench(tmp_path):
    done = call('flmk_bench', '--what', 'preparing', '--rounds', '2', '--n', '8', '--out', tmp_path)
    assert done.returncode == 0, done.err
    text = (tmp_path/'bench_preparing.md').read_text()
    assert 'times faster' in text and 'cores' in text and text in done.out.replace('\r', '\n')
    rows = list(csv.DictReader(open(tmp_path/'bench_preparing.csv')))
    assert len(rows) == 1 and float(rows[0]['lowest']) <= float(rows[0]['times faster']) <= float(rows[0]['highest'])
    assert rows[0]['rounds'] == '2' and float(rows[0]['this, ms']) > 0


@pytest.mark.parametrize('args, word', [(['--what', 'speed'], 'feeding'), (['--rounds', '0'], 'rounds'), (['--what', 'predicting', '--model_path', 'none.pth.tar'], 'none.pth.tar')])
def test_bench_refuses(args, word, tmp_path):
    done = call('flmk_bench', *args, '--out', tmp_path/'out')
    assert done.returncode == 2 and word in done.err and len(done.err.strip().splitlines()) == 1
    assert not (tmp_path/'out').exists()


def test_three_shards(source, tmp_path):
    "Three processes at once and a last run make the same folder as one run does; a lost image is made again."
    assert call('flmk_prepare', '--source', source, '--data', tmp_path/'one', '--size', 48).returncode == 0
    jobs = [start('flmk_prepare', '--source', source, '--data', tmp_path/'three', '--size', 48, '--shard', f'{k}/3') for k in (1, 2, 3)]
    assert [job.wait() for job in jobs] == [0]*3
    assert not (tmp_path/'three/AFLW_train_data').exists()
    (tmp_path/'three/.AFLW_train_data.part/imgs/000007.png').unlink()
    assert call('flmk_prepare', '--source', source, '--data', tmp_path/'three', '--size', 48).returncode == 0
    one, three = ({p.relative_to(o): p.read_bytes() for p in o.rglob('*') if p.is_file()} for o in (tmp_path/'one', tmp_path/'three'))
    assert one == three and len(one) == 10 + 4 + 2*2


def test_bad_shard(source, tmp_path):
    for shard in ('0/3', '4/3', 'three'):
        done = call('flmk_prepare', '--source', source, '--data', tmp_path/'no', '--shard', shard)
        assert done.returncode == 2 and '--shard' in done.err
    assert not (tmp_path/'no').exists()
