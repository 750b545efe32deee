"Tests run side by side: files that share fixtures as one, notebooks each by itself. The last line counts them, whatever else was printed."
import pytest
from xdist.scheduler import LoadScopeScheduling


class Together(LoadScopeScheduling):
    def _split_scope(self, nodeid): return nodeid if 'test_notebook[' in nodeid else nodeid.split('::')[0]


def pytest_xdist_make_scheduler(config, log): return Together(config, log)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    reporter = config.pluginmanager.get_plugin('terminalreporter')
    if reporter is None: return
    count = lambda *names: sum(len(reporter.stats.get(n, [])) for n in names)
    print(f"\n{count('passed')} passed, {count('failed', 'error')} failed")
