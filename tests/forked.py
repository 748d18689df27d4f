"""Programs in processes of their own that need not import TensorFlow: each is forked off one that has, which takes 5 s.

For tests of what a process does: its flags, its output, its exit status, its death. Where the start itself is the point
a test takes `subprocess`.
"""

import functools
import gc
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time


class Process:
    """A program that runs, with what tests need of `subprocess.Popen`. Its input is empty.

    Args:
      command: `sys.executable`, a script or "-c" and a program, arguments.
      cwd, env: as `subprocess` takes them.
    """

    def __init__(self, command: list[str], cwd: str | os.PathLike | None = None, env: dict[str, str] | None = None):
        assert command[0] == sys.executable and (command[1] == "-c" or not command[1].startswith("-")), command
        self._folder = tempfile.TemporaryDirectory()
        self._texts = [os.path.join(self._folder.name, name) for name in ("stdout", "stderr")]
        for path in self._texts:  # there to be read before the process has begun
            open(path, "w").close()
        self.args, self.returncode = [os.fspath(part) for part in command], None
        place = os.fspath(cwd or os.getcwd())
        self.pid = _ask(start=self.args[1:], cwd=place, env=dict(os.environ if env is None else env), texts=self._texts)

    def poll(self) -> int | None:
        """The exit status, negative for a signal, or None while it runs."""
        if self.returncode is None:
            self.returncode = _ask(ended=self.pid)
        return self.returncode

    def wait_for_line(self):
        """Until it has written a line on stdout, or ended."""
        while self.poll() is None and "\n" not in open(self._texts[0]).read():
            time.sleep(0.02)

    def send_signal(self, number: int):
        """Nothing happens to a process that has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def communicate(self, timeout: float = 600) -> tuple[str, str]:
        """What it wrote on stdout and stderr, once it has ended; after `timeout` seconds it is killed."""
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(self.args, timeout)
            time.sleep(0.02)
        return tuple(open(path).read() for path in self._texts)


def run(command, cwd=None, env=None, check=False, timeout=600) -> subprocess.CompletedProcess:
    """`subprocess.run` with its output as text."""
    process = Process(command, cwd, env)
    done = subprocess.CompletedProcess(command, None, *process.communicate(timeout))
    done.returncode = process.returncode
    if check:
        done.check_returncode()
    return done


def _ask(**request):
    server = _server()
    print(json.dumps(request), file=server.stdin, flush=True)
    return json.loads(server.stdout.readline())


@functools.cache
def _server():
    """Lives as long as this process, whose end closes the pipe."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, __file__], text=True, **pipes)


def _serve():
    """Answers requests; in a child that is to be a program, returns the request for it."""
    import mask_rcnn_tf  # noqa: F401

    gc.freeze()  # or the first collection of each child copies every page
    with os.fdopen(os.dup(1), "w") as answers:
        for line in iter(sys.stdin.readline, ""):
            request = json.loads(line)
            if "ended" in request:
                pid, status = os.waitpid(request["ended"], os.WNOHANG)
                answer = os.waitstatus_to_exitcode(status) if pid else None
            elif not (answer := os.fork()):
                return request
            print(json.dumps(answer), file=answers, flush=True)
    return None


def _become(request):
    for number, path in enumerate([os.devnull, *request["texts"]]):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    name, *arguments = request["start"]
    path = [os.path.dirname(os.path.abspath(name)) if name != "-c" else ""]
    sys.path[:1] = path + [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    if name != "-c":
        sys.argv = request["start"]
        runpy.run_path(name, run_name="__main__")
    else:
        sys.argv = ["-c", *arguments[1:]]
        exec(compile(arguments[0], "<string>", "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    if wanted := _serve():
        _become(wanted)
