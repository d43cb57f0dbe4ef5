# SPDX-License-Identifier: GPL-2.0-only
"""Runs processes in parallel, and ends all of them when this process is told to end."""

import concurrent.futures
import contextlib
import io
import os
import signal
import subprocess
import threading

_lock = threading.Lock()
_running = set()
_stopped = False


class Stopped(Exception):
    """A signal has ended the run: no process is started any more."""


def _end(signal_number):
    with _lock:
        for process in _running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal_number)


def run(command, *, stdout, stderr=None, **options):
    """Runs @command and calls @stdout, and @stderr, with each line it prints; returns its status.

    Without @stderr, both streams go to @stdout. The process leads a group of its own, which Ctrl-C
    does not reach: main() ends the group.
    """
    with _lock:
        if _stopped:
            raise Stopped
        process = subprocess.Popen(
            command,
            stdin=options.pop("stdin", subprocess.DEVNULL),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if stderr else subprocess.STDOUT,
            start_new_session=True,
            **options,
        )
        _running.add(process)

    def copy(stream, sink):
        with io.TextIOWrapper(stream, encoding="utf-8", errors="replace", newline="\n") as text:
            for line in text:
                sink(line.removesuffix("\n"))

    try:
        with concurrent.futures.ThreadPoolExecutor(1) as second:
            copied = second.submit(copy, process.stderr, stderr) if stderr else None
            copy(process.stdout, stdout)
            if copied:
                copied.result()
    finally:
        status = process.wait()
        with _lock:
            _running.remove(process)
    if _stopped:
        raise Stopped
    return status


def in_parallel(tasks):
    """Calls the functions of @tasks, which are pairs: a function, and how many may run at a time.

    Returns the results of the functions, in the order of @tasks. An exception of one is raised when
    all have ended.
    """
    started, running = [], set()
    with concurrent.futures.ThreadPoolExecutor(max(1, len(tasks))) as pool:
        for function, most in tasks:
            while len(running) >= most:
                _, running = concurrent.futures.wait(running, return_when="FIRST_COMPLETED")
            started.append(pool.submit(function))
            running.add(started[-1])
    return [task.result() for task in started]


class _Ended(Exception):
    """A signal arrived."""


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _on_signal(number, _frame):
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise _Ended(number)


def main(function):
    """Calls @function and returns its result; INT, TERM and HUP end it and all processes.

    Signals arrive in the main thread, which only waits: @function has a thread of its own.
    """
    global _stopped
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        try:
            for number in SIGNALS:
                signal.signal(number, _on_signal)
            return pool.submit(function).result()
        except _Ended as ended:
            with _lock:
                _stopped = True
            _end(signal.SIGTERM)
            return 128 + ended.args[0]
