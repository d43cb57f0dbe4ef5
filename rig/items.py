# SPDX-License-Identifier: GPL-2.0-only
"""Items of a source file, in C or Rust, which a later patch of the series adds (rig/series)."""

import re

from translate import TOKEN, USE, Mismatch, declaration, leaves, tree

# A line that belongs to the item below it.
ABOVE = re.compile(r"\s*(//|#!?\[|/\*| \*)")

# Text in which brackets do not count.
QUOTED = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])\'|//.*|/\*.*\*/')


def found(lines, item, name):
    """The number of the line that begins @item: the only one that begins with this text. If it is a
    list, the first one with its last text after the line that begins with those before."""
    *before, head = [item] if isinstance(item, str) else item
    at = found(lines, before, name) + 1 if before else 0
    numbers = [n for n, line in enumerate(lines) if n >= at and line.startswith(head)]
    if not numbers or (len(numbers) > 1 and not before):
        raise Mismatch(f"{name}: {len(numbers)} lines begin with {head!r}; one is required")
    return numbers[0]


def end(lines, begin, name):
    """The number of the line after the item whose first line is @begin."""
    depth = 0
    for number in range(begin, len(lines)):
        line = lines[number].strip()
        if line.startswith("#") and not line.startswith("#["):
            depth += len(re.findall(r"^#if", line)) - len(re.findall(r"^#endif", line))
            if not depth:
                return number + 1
            continue
        code = QUOTED.sub("", line).rstrip()
        depth += len(re.findall(r"[({\[]", code)) - len(re.findall(r"[)}\]]", code))
        if not depth and (code.endswith((";", ",", "}")) or line.endswith("*/")):
            return number + 1
    raise Mismatch(f"{name}: the item {lines[begin].strip()!r} has no end")


def words(text):
    """The names in the code of @text, without its imports."""
    return set(re.findall(r"\w+", re.sub(r"//.*", "", USE.sub("", text))))


def without(text, items, name):
    """The file @text, which is @name, without @items, each with the comments and attributes above
    it, and without imports that nothing else needs."""
    lines = text.splitlines(keepends=True)
    gone = set()
    for item in items:
        begin = found(lines, item, name)
        gone |= set(range(begin, end(lines, begin, name)))
        while begin and ABOVE.match(lines[begin - 1]):
            begin -= 1
            gone.add(begin)
    kept = []
    for number, line in enumerate(lines):
        if number not in gone and (line != "\n" or not kept or kept[-1] != "\n"):
            kept.append(line)
    short = "".join(kept)
    if not name.endswith(".rs"):
        return short
    unused = words(text) - words(short)

    def used(match):
        paths = list(leaves(TOKEN.findall(re.sub(r"//.*", "", match[2])), []))
        paths = [path[:-1] if path[-1] == "self" and len(path) > 1 else path for path in paths]
        left = [path for path in paths if match[1] or path[-1].split(" ")[-1] not in unused]
        if left == paths and match[0] in text:
            return match[0]
        return declaration(match[1] or "", tree(left)) if left else ""

    return USE.sub(used, short)
