"The first chapter in a real JupyterLab, as `make lab` opens it: Chromium, driven by Playwright, runs all its cells."
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

root = Path(__file__).parent.parent
sync = pytest.importorskip('playwright.sync_api', reason='Playwright is not installed')
CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'google-chrome', 'chromium-browser'))), None)
if not CHROMIUM: pytest.skip('there is no Chromium on this machine', allow_module_level=True)


@pytest.fixture
def lab(tmp_path):
    "A JupyterLab on a copy of the notebooks, started with a bare PATH: the folder, and the address of a notebook in it."
    for o in 'nbs', 'best.pth.tar': (shutil.copytree if (root/o).is_dir() else shutil.copy)(root/o, tmp_path/o)
    token, log = secrets.token_hex(8), tmp_path/'lab.log'
    env = os.environ | dict(PATH='/usr/bin:/bin', OMP_NUM_THREADS='1', JUPYTER_CONFIG_DIR=str(tmp_path/'config'), JUPYTER_RUNTIME_DIR=str(tmp_path/'runtime'))
    args = ['--no-browser', '--allow-root', '--ip=127.0.0.1', '--port=0', f'--IdentityProvider.token={token}', '--LabApp.news_url=', '--LabApp.expose_app_in_browser=True']
    with open(log, 'w') as out: job = subprocess.Popen([sys.executable, '-m', 'jupyterlab', *args], cwd=tmp_path/'nbs', env=env, stdout=out, stderr=out)
    end = time.time() + 120
    while not (port := re.search(r'http://127\.0\.0\.1:(\d+)/', log.read_text())):
        assert job.poll() is None and time.time() < end, log.read_text()
        time.sleep(.2)
    yield tmp_path/'nbs', lambda name: f'http://127.0.0.1:{port[1]}/lab/tree/{name}?token={token}'
    job.terminate(); job.wait(60)


@pytest.fixture
def page():
    with sync.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox', '--disable-gpu'])
        yield browser.new_page(viewport=dict(width=1300, height=1000))
        browser.close()


def test_first_chapter(lab, page):
    "Run All on 00_data: each cell runs, only the exercises complain, and there are pictures."
    folder, address = lab
    name = '00_data.ipynb'
    page.goto(address(name))
    page.locator('.jp-Notebook .jp-CodeCell').first.wait_for(timeout=120_000)
    page.wait_for_function("window.jupyterapp.shell.currentWidget.sessionContext?.session?.kernel?.status === 'idle'", timeout=120_000)
    page.evaluate("window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
    page.get_by_role('menuitem', name='Run', exact=True).click()
    page.get_by_role('menuitem', name='Run All Cells', exact=True).click()
    page.wait_for_function("""() => {
        const panel = window.jupyterapp.shell.currentWidget
        const code = Array.from(panel.content.model.cells).filter(c => c.type === 'code')
        return code.at(-1).executionCount && panel.sessionContext.session.kernel.status === 'idle' }""", timeout=900_000)
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_function("!window.jupyterapp.shell.currentWidget.context.model.dirty", timeout=60_000)
    if os.environ.get('SHOT'): page.screenshot(path=os.environ['SHOT'])
    cells = [c for c in json.loads((folder/name).read_text())['cells'] if c['cell_type'] == 'code']
    assert all(c['execution_count'] for c in cells)
    failed = {c['id'] for c in cells for o in c['outputs'] if o['output_type'] == 'error'}
    assert failed == {c['id'] for c in cells if 'raises-exception' in c['metadata'].get('tags', [])}
    assert len(failed) >= 3                                                     # the exercises wait for the student
    pictures = [o for c in cells for o in c['outputs'] if {'image/png', 'image/jpeg'} & set(o.get('data', {}))]
    assert len(pictures) >= 8
    assert page.locator('.jp-OutputArea-output img').count() > 0
    assert sorted(o.name for o in folder.iterdir() if o.name[0] != '.') == sorted(o.name for o in (root/'nbs').iterdir() if o.name[0] != '.')
