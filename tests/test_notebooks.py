"Every notebook runs from top to bottom, the modules are in step with them, and they are committed clean."
import json
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


def entries():
    "Files and folders of nbs/, hidden ones left out."
    return {p.relative_to(root).as_posix() for p in (root/'nbs').rglob('*') if not any(o.startswith('.') for o in p.relative_to(root).parts)}


@pytest.mark.parametrize('name', notebooks)
def test_notebook(name):
    "It runs from top to bottom, and leaves nothing behind."
    before = entries()
    run('nbdev_test', '--path', f'nbs/{name}', '--n_workers', '0', '--do_print')
    assert entries() - before == set()


@pytest.mark.parametrize('name', notebooks)
def test_exercises_let_run_all_go_on(name):
    "A cell that waits for the student raises, and JupyterLab's Run All goes on behind it only where a tag says so."
    cells = json.loads((root/'nbs'/name).read_text(encoding='utf-8'))['cells']
    assert [''.join(c['source'])[:60] for c in cells if 'write me' in ''.join(c['source']) and c['cell_type'] == 'code' and 'raises-exception' not in c['metadata'].get('tags', [])] == []


def test_in_step(tmp_path):
    "nbdev_export and nbdev_clean change nothing."
    tree = tmp_path/'flmk'
    for p in [root/'settings.ini', *(root/'nbs'/n for n in notebooks), *(p for p in (root/'flmk').rglob('*.py'))]:      # only these: other tests write below the root meanwhile
        (tree/p.relative_to(root)).parent.mkdir(parents=True, exist_ok=True); shutil.copy(p, tree/p.relative_to(root))
    before = {p.relative_to(tree): p.read_bytes() for folder in ('nbs', 'flmk') for p in (tree/folder).rglob('*.*')}
    run('nbdev_export', cwd=tree)
    run('nbdev_clean', cwd=tree)
    after = {p.relative_to(tree): p.read_bytes() for folder in ('nbs', 'flmk') for p in (tree/folder).rglob('*.*') if '__pycache__' not in p.parts}
    assert sorted(map(str, after)) == sorted(map(str, before))
    assert [str(p) for p in before if before[p] != after[p]] == []
