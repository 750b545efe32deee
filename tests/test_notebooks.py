"Every notebook runs from top to bottom, the modules are in step with them, and they are committed clean."
import shutil
import subprocess
from pathlib import Path

import pytest

root = Path(__file__).parent.parent
notebooks = sorted(p.relative_to(root/'nbs').as_posix() for p in (root/'nbs').rglob('*.ipynb') if not p.parent.name.startswith(('.', '_')))


def run(*args, cwd=root):
    done = subprocess.run(args, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize('name', notebooks)
def test_notebook(name):
    run('nbdev_test', '--path', f'nbs/{name}', '--n_workers', '0', '--do_print')


def test_in_step(tmp_path):
    "nbdev_export and nbdev_clean change nothing."
    tree = tmp_path/'flmk'
    shutil.copytree(root, tree, ignore=shutil.ignore_patterns('.venv', 'data', 'output', 'checkpoint', '*.egg-info', '.git', '__pycache__'))
    before = {p.relative_to(tree): p.read_bytes() for folder in ('nbs', 'flmk') for p in (tree/folder).rglob('*.*')}
    run('nbdev_export', cwd=tree)
    run('nbdev_clean', cwd=tree)
    after = {p.relative_to(tree): p.read_bytes() for folder in ('nbs', 'flmk') for p in (tree/folder).rglob('*.*') if '__pycache__' not in p.parts}
    assert sorted(map(str, after)) == sorted(map(str, before))
    assert [str(p) for p in before if before[p] != after[p]] == []
