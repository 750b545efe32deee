"`kill -9` of every command, twice at random moments and in the place of its first and of a later rename, then the same command again; by hand `kills.py` does more."
import os
import subprocess
import sys

import kills
import pytest
from conftest import content
from shell import call, fine

from flmk.core.files import atomic_write, sweep_parts

LONG = 'sigma', 'record', 'detector', 'demo', 'demo_on_faces'                   # ten seconds a run: by hand
NAMES = [name for name in kills.NAMES if name not in LONG]


@pytest.fixture(scope='module')
def inputs(tmp_path_factory): return kills.make_inputs(tmp_path_factory.mktemp('inputs'))


@pytest.mark.parametrize('name', NAMES)
def test_killed(name, inputs, tmp_path):
    c = kills.Campaign(name, inputs, tmp_path/name)
    c.at_renames(2)
    c.at_random(int(os.environ.get('FLMK_KILLS', 2)))
    assert c.wrong == []


@pytest.mark.parametrize('name', [name for name in NAMES if name != 'photos_as_json'])
def test_swept(name, inputs, tmp_path):
    "What earlier runs that were killed have left in a finished folder is gone after the next start, and only that."
    out = tmp_path/'here/out'; out.parent.mkdir()
    kills.begin(name, inputs, out)
    args = kills.commands(inputs, out)[name]
    fine(call(*args))
    written = {p.parent for p in out.rglob('*') if p.is_file() and 'data' not in p.relative_to(out).parts}   # what a training only reads
    if args[0] == 'flmk_predict': written -= {out}                     # its table grows under its own name
    assert written
    left = [folder/f'.{k}.0123abcd.flmk.part{suffix}' for folder in written for k, suffix in enumerate(('', '.mp4'))]
    theirs = [folder/'.x.0123abcd.part' for folder in written]
    for p in left + theirs: p.write_bytes(b'half')
    before = set(content(tmp_path/'here'))
    fine(call(*args))
    assert [p for p in left if p.exists()] == [] and all(p.read_bytes() == b'half' for p in theirs)
    assert set(content(tmp_path/'here')) == before - {str(p.relative_to(tmp_path/'here')) for p in left}


def test_what_is_being_written_stays(tmp_path):
    "A sweep leaves the temporary file of a living process, another one's too, and that of a process that has ended is gone."
    code = 'import sys; from flmk.core.files import atomic_write\nwith atomic_write(sys.argv[1]) as p: p.write_text("whole"); print("now", flush=True); input()'
    other = subprocess.Popen([sys.executable, '-c', code, str(tmp_path/'theirs')], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == 'now\n'
    with atomic_write(tmp_path/'mine') as p:
        sweep_parts(tmp_path)
        assert len(list(tmp_path.glob('.*'))) == 2
        p.write_text('whole')
    other.stdin.write('\n'); other.stdin.close()
    assert other.wait(60) == 0 and {o.name: o.read_text() for o in tmp_path.iterdir()} == dict(mine='whole', theirs='whole')
    other = subprocess.Popen([sys.executable, '-c', code, str(tmp_path/'theirs')], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == 'now\n'
    other.kill(); other.wait()
    assert len(list(tmp_path.glob('.*'))) == 1
    sweep_parts(tmp_path)
    assert not list(tmp_path.glob('.*'))


def test_the_campaign_notices(tmp_path):
    "It would tell of a file that differs, that is left over and that is missing."
    (tmp_path/'a').mkdir(); (tmp_path/'b').mkdir()
    for name, data in dict(same=b'1', one=b'1', other=b'2').items(): (tmp_path/'a'/name).write_bytes(data)
    for name, data in dict(same=b'1', other=b'3').items(): (tmp_path/'b'/name).write_bytes(data)
    (tmp_path/'b/.x.part').touch()
    said = kills.difference(kills.content(tmp_path/'b'), kills.content(tmp_path/'a'))
    assert sorted(said.split(', ')) == ['.x.part is left over', 'one is missing', 'other differs']
    assert kills.comparable(tmp_path/'a/one') == b'1'


def test_the_demo_twice(tmp_path):
    "It goes on with its own run; the second time it was refused, since a run lay there."
    args = 'flmk_demo', '--out', tmp_path, *kills.DEMO
    fine(call(*args, seconds=500))
    best = (tmp_path/'demo/checkpoint/best_model/best.pth.tar').read_bytes()
    assert '5/5' in fine(call(*args, seconds=500)).stdout
    assert (tmp_path/'demo/checkpoint/best_model/best.pth.tar').read_bytes() == best
