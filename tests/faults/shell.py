"The commands as a shell runs them, each in a process of its own; but forked from one that has imported PyTorch and fastai already, a tenth of a second instead of several."
import os
import resource
import runpy
import signal
import sys
import tempfile
import time
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

NOBODY = 65534
_fork = get_context('forkserver')
_fork.set_forkserver_preload([f'flmk.{m}' for m in ('commands', 'train', 'submit', 'tools.report', 'tools.datasets', 'tools.export', 'tools.adapt', 'tools.predict', 'tools.bench', 'tools.demo', 'render.write')])


def _die_at(n):
    "kill -9 of this process in the place of its n-th rename."
    replace, left = os.replace, count(1)
    def _f(*args):
        if next(left) == n: os.kill(os.getpid(), signal.SIGKILL)
        replace(*args)
    os.replace = _f


def _run(args, out, cwd, env, limit, nobody, die_at):
    "What the new process does."
    os.setpgid(0, 0)                                             # so that it can be killed with its own processes
    fd = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), os.open(f'{out}.err', os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(fd[0], 1); os.dup2(fd[1], 2)
    sys.stdout, sys.stderr = open(1, 'w', closefd=False), open(2, 'w', closefd=False)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(env)
    if cwd: os.chdir(cwd)
    if limit: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    for codec in ('raw_unicode_escape', 'unicode_escape'): ''.encode(codec)   # loaded before the rights to read Python's own folder may go
    if nobody: os.setgid(NOBODY); os.setuid(NOBODY)
    if die_at: _die_at(die_at)
    sys.argv = [str(Path(sys.executable).with_name(args[0])), *args[1:]]
    try:
        if '.' in args[0]: runpy.run_module(args[0], run_name='__main__', alter_sys=True)     # python -m
        else: runpy.run_path(sys.argv[0], run_name='__main__')
    finally:
        sys.stdout.flush()
        Path(f'{out}.peak').write_text(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))


class Job:
    "A command, or a module, that is running. `limit`: bytes of a file; `nobody`: without root's rights; `die_at`: which of its renames it does not live to see."
    def __init__(self, name, *args, cwd=None, env={}, limit=None, nobody=False, die_at=0):
        self.folder = tempfile.TemporaryDirectory(prefix='flmk-shell-')
        os.chmod(self.folder.name, 0o777)
        self.out, self.begun = Path(self.folder.name)/'out', time.monotonic()
        self.process = _fork.Process(target=_run, args=([name, *map(str, args)], str(self.out), cwd, env, limit, nobody, die_at))
        self.process.start()

    def kill(self, sig=signal.SIGKILL):
        "Send a signal to the command and to what it started."
        try: os.killpg(self.process.pid, sig)
        except ProcessLookupError:
            try: os.kill(self.process.pid, sig)                  # it is so young that it has no group yet
            except ProcessLookupError: pass

    def wait(self, seconds=300):
        "Exit status (negative for a signal), output, complaints, seconds, and the most memory in kilobytes; a command that takes too long is killed, and fails."
        self.process.join(seconds)
        if late := self.process.is_alive(): self.kill(); self.process.join()
        took = time.monotonic() - self.begun
        read = lambda p: p.read_text(errors='backslashreplace') if p.exists() else ''
        done = SimpleNamespace(returncode=self.process.exitcode, stdout=read(self.out), stderr=read(Path(f'{self.out}.err')), seconds=took, peak=int(read(Path(f'{self.out}.peak')) or 0))
        self.folder.cleanup()
        assert not late, f'still at work after {seconds} seconds: {done}'
        return done


def call(name, *args, seconds=300, **options): return Job(name, *args, **options).wait(seconds)


def refused(done, *words):
    "One line on standard error with these words, exit status 2, no traceback."
    lines = done.stderr.splitlines()
    assert done.returncode == 2 and len(lines) == 1, done
    assert lines[0].isprintable() and len(lines[0]) < 1500, lines[0]
    for word in words: assert word in lines[0], (word, lines[0])


def fine(done):
    assert done.returncode == 0 and 'Traceback' not in done.stderr, done
    return done
