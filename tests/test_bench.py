"flmk_bench, as a user types it."
import csv

import pytest
from test_commands import call


def test_bench(tmp_path):
    done = call('flmk_bench', '--what', 'preparing', '--rounds', '2', '--n', '8', '--out', tmp_path)
    assert done.returncode == 0, done.stderr
    text = (tmp_path/'bench_preparing.md').read_text()
    assert 'times faster' in text and 'cores' in text and text in done.stdout.replace('\r', '\n')
    rows = list(csv.DictReader(open(tmp_path/'bench_preparing.csv')))
    assert len(rows) == 1 and float(rows[0]['lowest']) <= float(rows[0]['times faster']) <= float(rows[0]['highest'])
    assert rows[0]['rounds'] == '2' and float(rows[0]['this, ms']) > 0


@pytest.mark.parametrize('args, word', [(['--what', 'speed'], 'data_loading'), (['--rounds', '0'], 'rounds'), (['--what', 'predicting', '--model_path', 'none.pth.tar'], 'none.pth.tar')])
def test_bench_refuses(args, word, tmp_path):
    done = call('flmk_bench', *args, '--out', tmp_path/'out')
    assert done.returncode == 2 and word in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path/'out').exists()
