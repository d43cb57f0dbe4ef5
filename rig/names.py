# SPDX-License-Identifier: GPL-2.0-only
"""Finds tests by name, for `make check TEST=...`."""

import difflib
import fnmatch
import re
import textwrap

TEST = re.compile(r"^TEST_F(?:_[A-Z]+)?\((\w+), (\w+)", re.M)
VARIANT = re.compile(r"^FIXTURE_VARIANT_ADD\((\w+), (\w+)\)", re.M)
INCLUDE = re.compile(r'^#include "([^"]+)"', re.M)


def _with_headers(file, headers):
    """The text of a program's source and of the headers of this project that it includes."""
    seen, names = {}, [file]
    while names:
        path = names.pop()
        if path not in seen:
            seen[path] = path.read_text(encoding="utf-8")
            names += [headers[name] for name in INCLUDE.findall(seen[path]) if name in headers]
    return "".join(seen.values())


def programs(top):
    """The programs of selftests/ by name, each with its tests as (fixture, variant, test).

    The variant is empty where the fixture has none.
    """
    headers = {path.name: path for path in (top / "selftests").rglob("*.h")}
    found = {}
    for file in sorted((top / "selftests").glob("*.c")):
        text = _with_headers(file, headers)
        if "\nTEST_HARNESS_MAIN" not in text:
            continue
        variants = {}
        for fixture, variant in VARIANT.findall(text):
            variants.setdefault(fixture, []).append(variant)
        found[file.stem] = [
            (fixture, variant, test)
            for fixture, test in TEST.findall(text)
            for variant in variants.get(fixture, [""])
        ]
    return found


def _names(program, test):
    """All names of a test of @program; the first is the one in the report."""
    fixture, variant, name = test
    full = ".".join(filter(None, test))
    dotted = [full, f"{fixture}.{name}", f"{program}.{name}", f"{program}.{full}"]
    return dotted + [name, fixture, program]


def select(patterns, tests, whole):
    """Selects tests by the globs @patterns.

    @tests is the result of programs(). @whole has all other names that can be selected.
    Returns the selected tests as {program: [names]}, with an empty list for a whole program; and
    the selected names of @whole. Raises LookupError for a pattern that matches nothing.
    """
    chosen, chosen_whole = {}, []
    for pattern in patterns:
        matches = [
            (program, _names(program, test)[0])
            for program, list_ in tests.items()
            for test in list_
            if any(fnmatch.fnmatchcase(name, pattern) for name in _names(program, test))
        ]
        others = [name for name in whole if fnmatch.fnmatchcase(name, pattern)]
        if not matches and not others:
            raise LookupError(_unknown(pattern, tests, whole))
        for program, name in matches:
            chosen.setdefault(program, {})[name] = True
        chosen_whole += [name for name in others if name not in chosen_whole]
    for program, names in chosen.items():
        if len(names) == len(tests[program]):
            chosen[program] = []
    return chosen, chosen_whole


def _unknown(pattern, tests, whole):
    """The message for a pattern that matches nothing, with similar names."""
    names = set(tests) | set(whole)
    for program, list_ in tests.items():
        for test in list_:
            names.update(_names(program, test)[:3])
    plain = pattern.strip("*")
    near = (
        [name for name in names if plain and plain in name]
        or difflib.get_close_matches(plain, names, 10, 0.7)
        or [name for name in names if name.startswith(plain.split(".")[0] + ".")]
        or [*tests, *whole]
    )
    wrapper = textwrap.TextWrapper(80, break_long_words=False, break_on_hyphens=False)
    wrapper.initial_indent = wrapper.subsequent_indent = "    "
    return f"no test is called {pattern}; similar names are:\n" + wrapper.fill(" ".join(sorted(near)))
