#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Usage: Documentation/runs.py LOG...

Writes Documentation/runs.inc, a table of the results of `make check` and `make check-all` with a row
for each machine and each other part. A log is made by

  make check-all 2>&1 | tee ../all.log

outside of the checkout, since `make check-all` runs everything again if a file there changes. It may
have the time of day before each line. If a run was interrupted and began again, name all of its logs
in their order, since the last one has no time for what passed before. If a part is in several logs,
the last one counts.
"""

import datetime
import functools
import os
import pathlib
import re
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent

STATUS = r"\[(PASSED|SKIPPED|FAILED|CRASHED|NO TESTS RUN)\]"
COLUMNS = ("ARCH", "Linux", "Kernel", "Job", "Passed", "Skipped", "Failed", "Time")
# The only result of the task `host` of `make check-all`, whose row has the name `build`.
BUILT = ["everything_builds_without_warnings"]


class Failure(Exception):
    """A message for the user."""


class Task:
    """A task of rig/check: the names of its results in their order, its counts and its time."""

    def __init__(self):
        self.names = []
        self.counts = {}
        self.seconds = None


def verdict(lines):
    """The results in the output of rig/verdict, each as its name and its status's counts."""
    depth, counts = 0, {}
    for line in lines:
        if match := re.fullmatch(rf"={{3,}} {STATUS} ?(\S*).* ={{3,}}", line):
            depth -= 1
            # A program can fail although none of its tests did.
            if match[1] == "FAILED" and not counts.keys() & {"FAILED", "CRASHED"}:
                counts["FAILED"] = 1
        elif re.fullmatch(r"={3,} .* ={3,}", line):
            depth += 1
            continue
        elif match := re.match(rf"{STATUS} ?(\S*)", line):
            counts[match[1]] = counts.get(match[1], 0) + 1
        else:
            continue
        if depth == 0:
            yield match[2], counts
            counts = {}


def read(path, tasks):
    """Adds the tasks in the log @path to @tasks, and returns the lines after the last one ended."""
    lines = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        line = re.sub(r"^\d\d:\d\d:\d\d ", "", line)
        if match := re.fullmatch(r"==> (.*): begins", line):
            tasks[match[1]] = Task()
        elif (match := re.fullmatch(r"==> (.*): done in (\d+)s", line)) and match[1] in tasks:
            tasks[match[1]].seconds = int(match[2])
        elif match := re.fullmatch(r"==> (.*): passed on (.*), and no file has changed since", line):
            # Only `make check-all` keeps results.
            if match[1].replace("host", "build") not in tasks:
                raise Failure(f"{path}: {match[1]} passed on {match[2]}; name the log of that run too")
        elif match := re.match(r"    (.*?): (?:not )?ok \d+ (?:- )?(\S+)", line):
            tasks[match[1]].names.append(match[2])
        if line.startswith("==> "):
            lines.clear()
        lines.append(line)
    if "host" in tasks and tasks["host"].names == BUILT:
        tasks["build"] = tasks.pop("host")
    return lines


def count(path, lines, tasks):
    """Gives @tasks the counts in the last @lines of the log @path, and puts them into their order."""
    totals = [re.fullmatch(r"(\d+) passed, (\d+) failed, (\d+) skipped", line) for line in lines]
    total = next((match for match in totals if match), None)
    if not total:
        return

    # Several tasks have results of the same name, but not as their first one.
    seen, left = [], []
    found = {"PASSED": 0, "FAILED": 0, "SKIPPED": 0}
    for name, counts in verdict(lines):
        # The parser has no name for a result that is missing.
        if name and name not in left:
            starts = (task for task in tasks if task not in seen and tasks[task].names[:1] == [name])
            if not (task := next(starts, None)):
                raise Failure(f"{path}: no task printed the result {name}")
            seen.append(task)
            tasks[task].counts = dict.fromkeys(found, 0)
            left = list(tasks[task].names)
        if name:
            left.remove(name)
        for status, number in counts.items():
            status = status if status in found else "FAILED"
            found[status] += number
            tasks[seen[-1]].counts[status] += number
    if [*found.values()] != [int(number) for number in total.groups()]:
        raise Failure(f"{path}: its last line says {total[0]}, but it lists {found}")
    for task in seen:
        tasks[task] = tasks.pop(task)


@functools.cache
def linux(arch, kernel):
    """The series of Linux and Debian's flavour of @kernel, or the name of one that is built here."""
    environment = {name: value for name, value in os.environ.items() if name != "SERIES"}
    environment.update(ARCH=arch, KERNEL=kernel)
    script = '. "$1/rig/lib.sh" && use_kernel "$KERNEL" && echo "$SERIES ${flavour:-$KERNEL}"'
    command = ["bash", "-c", script, "bash", TOP]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return done.stdout.split()


def row(name, task):
    """The cells of the table for the task @name."""
    words = name.split()
    if words[0] == "faults":
        words = ["x86_64", words[1], words[0]]
    cells = ["\N{EN DASH}"] * 3 + [name]
    if len(words) == 3:
        arch, kernel, job = words
        cells = [arch.replace("_", "-"), *linux(arch, kernel), job]
    numbers = [str(task.counts[status]) for status in ("PASSED", "SKIPPED", "FAILED")]
    return [*cells, *numbers, f"{task.seconds // 60}:{task.seconds % 60:02}"]


def page(tasks, date):
    """The text of the page."""
    rows = [COLUMNS, *(row(name, task) for name, task in tasks.items())]
    widths = [max(map(len, column)) for column in zip(*rows)]
    line = "  ".join("=" * width for width in widths)
    table = []
    for cells in rows:
        texts = [cell.ljust(width) for cell, width in zip(cells[:4], widths)]
        texts += [cell.rjust(width) for cell, width in zip(cells[4:], widths[4:])]
        table.append("  ".join(texts).rstrip())
    return "\n".join(
        [
            ".. SPDX-License-Identifier: GPL-2.0-only",
            "",
            f"The last run ended on {date:%-d %B %Y}. Times are in minutes and seconds.",
            "",
            *(line, table[0], line, *table[1:], line, ""),
        ]
    )


def main(arguments):
    if not arguments or {"-h", "--help"} & set(arguments):
        print(__doc__, end="")
        return 0 if arguments else 1
    tasks = {}
    logs = [pathlib.Path(argument) for argument in arguments]
    for log in logs:
        count(log, read(log, tasks), tasks)
    if unfinished := [name for name, task in tasks.items() if not task.counts]:
        raise Failure(f"no log has a verdict on {', '.join(unfinished)}")
    if not tasks:
        raise Failure("the logs have no results")
    date = datetime.date.fromtimestamp(max(log.stat().st_mtime for log in logs))
    file = pathlib.Path(__file__).with_suffix(".inc")
    file.write_text(page(tasks, date), encoding="utf-8")
    print(f"{len(tasks)} results are in {file.relative_to(TOP)}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (Failure, OSError) as failure:
        sys.exit(f"runs.py: error: {failure}")
