"Notebooks in a kernel that somebody else started: from VS Code, or by a Jupyter of one's own, with a PATH that knows nothing of .venv."
import shutil
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

root = Path(__file__).parent.parent
PATH = '/usr/bin:/bin'


def run(*sources):
    "The text that each cell prints, in a kernel with a bare PATH."
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in sources])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('PATH', PATH)
        NotebookClient(book, timeout=300, kernel_name='python3', resources=dict(metadata=dict(path=str(root/'nbs')))).execute()
    return [''.join(o.get('text', '') for o in c.outputs) for c in book.cells]


def test_shell_lines():
    "`!flmk_prepare` is found as soon as flmk is imported, and it is the one of the kernel's own Python."
    assert shutil.which('flmk_prepare', path=PATH) is None
    before, _, path, said = run('!flmk_prepare --help', 'import flmk', '!command -v flmk_prepare', '!flmk_prepare --help')
    assert 'not found' in before
    assert Path(path.strip()) == Path(sys.executable).with_name('flmk_prepare')
    assert said.startswith('usage: flmk_prepare') and '--size' in said


def test_path_of_a_program_is_left_alone():
    "Outside a notebook the import changes nothing."
    import os
    import subprocess
    done = subprocess.run([sys.executable, '-c', 'import os, flmk; print(os.environ["PATH"])'], capture_output=True, text=True, env=os.environ | dict(PATH=PATH))
    assert done.stdout.strip() == PATH
