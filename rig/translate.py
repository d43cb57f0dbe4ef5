# SPDX-License-Identifier: GPL-2.0-only
"""Translates the sources of this project to their form in the kernel's tree (rig/series)."""

import fnmatch
import re
import subprocess
import textwrap


class Mismatch(Exception):
    """The sources and the declaration of the series do not fit."""


# A `use` declaration at the beginning of a line, with its visibility and its tree.
USE = re.compile(r"^(pub(?:\([^)]*\))? )?use ([^;]+);\n", re.M)
TOKEN = re.compile(r"\w+|::|[{},*]")


def leaves(tokens, prefix):
    """The paths in the tree that begins at tokens[0], as lists of names."""
    path = list(prefix)
    while tokens:
        token = tokens.pop(0)
        if token == "{":
            while tokens[0] != "}":
                yield from leaves(tokens, path)
                if tokens[0] == ",":
                    tokens.pop(0)
            tokens.pop(0)
            return
        if token in ("}", ","):
            tokens.insert(0, token)
            break
        if token == "as":
            path[-1] += " as " + tokens.pop(0)
        elif token != "::":
            path.append(token)
    yield path


def order(name):
    """Orders names as rustfmt does: modules and functions, types, constants."""
    plain = name.split(" ")[0]
    if plain == "self":
        return (0, "")
    if plain.isupper():
        return (3, plain)
    return (2, plain) if plain[0].isupper() else (1, plain)


def tree(paths):
    """The tree of @paths as nested dictionaries."""
    root = {}
    for path in paths:
        node = root
        for name in path:
            node = node.setdefault(name, {})
    # A module that is imported by itself and for its items is imported as `self`.
    ends = {tuple(path) for path in paths}

    def complete(node, prefix):
        for name, below in node.items():
            if below:
                complete(below, (*prefix, name))
                if (*prefix, name) in ends:
                    below["self"] = {}

    complete(root, ())
    return root


def written(node, indent):
    """The text of a tree, in the kernel's style: one name in a line, `//` after the last."""
    names = sorted(node, key=order)
    pad = "    " * (indent + 1)
    lines = []
    for name in names:
        text = name
        below = node[name]
        while len(below) == 1 and "self" not in below:
            name = next(iter(below))
            text, below = f"{text}::{name}", below[name]
        if below:
            text += "::{\n" + written(below, indent + 1) + pad + "}"
        lines.append(f"{pad}{text},")
    lines[-1] += " //"
    return "\n".join(lines) + "\n"


def declaration(visibility, node):
    """The `use` declarations of a tree."""
    text = ""
    for name in sorted(node, key=order):
        below, path = node[name], name
        while len(below) == 1 and "self" not in below:
            name = next(iter(below))
            path, below = f"{path}::{name}", below[name]
        text += f"{visibility}use {path}" + ("::{\n" + written(below, 0) + "}" if below else "") + ";\n"
    return text


def without_false(text, names):
    """Removes the items under #[cfg(NAME)] for each of @names, and the condition of the others."""
    false = "|".join(names)
    text = re.sub(rf"#\[cfg\(any\((?:{false}), ([^\]]*)\)\)\]", r"#[cfg(\1)]", text)
    text = re.sub(rf"^ *#\[cfg\(not\((?:{false})\)\)\]\n", "", text, flags=re.M)
    condition = re.compile(rf"( *)#\[cfg\((?:{false})\)\]\n")
    kept, lines, number = [], text.splitlines(keepends=True), 0
    while number < len(lines):
        found = condition.fullmatch(lines[number])
        if not found:
            kept.append(lines[number])
            number += 1
            continue
        pad = found[1]
        # Up to a line that ends the item: `...;` or a brace with the same indentation.
        number += 1
        block = False
        while True:
            line = lines[number].rstrip("\n")
            number += 1
            block = block or line.endswith("{")
            if line.startswith(f"{pad}}}") or (not block and line.endswith(";")):
                break
        if number < len(lines) and lines[number] == "\n" and kept and kept[-1] == "\n":
            number += 1
    return "".join(kept)


def wrapped(definition):
    """The head of a C function in lines of up to 100 columns, aligned with the parenthesis."""
    head, _, rest = re.sub(r"\s+", " ", definition).partition("(")
    arguments = [part.strip() for part in rest.rstrip(" )").split(",")]
    if len(f"{head}({arguments[0]},") > 100:
        kind, name = re.fullmatch(r"(.*[ *])(\w+)", head).groups()
        return kind.rstrip() + "\n" + wrapped(f"{name}({rest}")
    column = len(head) + 1
    pad = "\t" * (column // 8) + " " * (column % 8)
    lines = [head + "("]
    for number, argument in enumerate(arguments):
        argument += ")" if number == len(arguments) - 1 else ","
        line = lines[-1] + ("" if lines[-1].endswith("(") else " ") + argument
        if len(line.expandtabs(8)) <= 100:
            lines[-1] = line
        else:
            lines.append(pad + argument)
    return "\n".join(lines)


def as_helpers(text):
    """Gives the functions of helpers.c the form of rust/helpers."""
    head = re.compile(r"^(?!static_assert|#|/|\s)[\w *]*?\bvfio_rs_\w+\([^;{]*?\)(?=\n\{)", re.M)

    def named(match):
        return wrapped("__rust_helper " + re.sub(r"\bvfio_rs_", "rust_helper_vfio_rs_", match[0]))

    return head.sub(named, text)


def included(text, folder):
    """Replaces the inclusions of examples below @folder by the examples."""

    def example(match):
        lines = (folder / match[1]).read_text().splitlines()[int(match[2] or 1) - 1 :]
        block = "".join(f"   {line.expandtabs(8)}".rstrip() + "\n" for line in lines)
        return f".. code-block:: c\n\n{block}"

    form = r"^\.\. literalinclude:: (\S+)\n(?:   :lines: (\d+)-\n)?"
    return re.sub(form, example, text, flags=re.M)


# The beginning of an item of a list or of a row of a table.
ITEM = re.compile(r" *(?:\* - |[*-] |#\. )")


def refilled(text):
    """Breaks the paragraphs of a page that have a line of more than 80 columns, except in code."""
    done, part = [], []

    def end():
        if any(len(line) > 80 for line in part) and not part[0].lstrip().startswith((".. ", ":")):
            head = ITEM.match(part[0])
            head = head[0] if head else part[0][: len(part[0]) - len(part[0].lstrip())]
            words = " ".join(line.strip() for line in [part[0][len(head) :], *part[1:]])
            part[:] = textwrap.wrap(
                words, 80, initial_indent=head, subsequent_indent=" " * len(head),
                break_long_words=False, break_on_hyphens=False,
            )
        done.extend(part)
        part.clear()

    code = False
    for line in text.splitlines():
        indented = line.startswith(" ")
        code = code and (indented or not line)
        if code or not line.strip():
            end()
            done.append(line)
            continue
        inner = len(line) - len(line.lstrip())
        outer = part and len((ITEM.match(part[-1]) or re.match(" *", part[-1]))[0])
        if part and (ITEM.match(line) or inner != outer):
            end()
        part.append(line)
        code = line.startswith(".. code-block::") or (line.endswith("::") and line[0] not in " .")
    end()
    return "\n".join(done) + "\n"


class Translator:
    """Translates files by the declaration, and remembers which of its parts were of use."""

    def __init__(self, declared, places):
        self.imports = declared["imports"]
        self.pages = declared["pages"]
        self.places = places
        self.edits = [dict(edit, used=0) for edit in declared["edit"]]
        self.false = declared["false"]
        self.unformatted = []

    def path(self, path, move, name):
        """The path in the kernel's tree of the import @path, or None if it goes away."""
        for table in (move.get("imports", {}), self.imports):
            for length in range(len(path), 0, -1):
                new = table.get("::".join(path[:length]))
                if new == "":
                    return None
                if new is not None:
                    path = new.split("::") + path[length:]
                    break
            else:
                continue
            break
        if path[:2] == ["crate", "compat"]:
            raise Mismatch(
                f"{name} imports {'::'.join(path)}, for which upstream/series/substitutions.toml has"
                " no place in the kernel: add it to [imports]"
            )
        if move["as"] == "kernel" and path[0] == "kernel":
            path = ["crate", *path[1:]]
        return path

    def use(self, text, move, name):
        """Translates the imports of a file."""
        groups = {}

        def gather(match):
            comments = re.sub(r"//.*", "", match[2])
            paths = []
            for path in leaves(TOKEN.findall(comments), []):
                if path[-1] == "self" and len(path) > 1:
                    path = path[:-1]
                new = self.path(path, move, name)
                if new:
                    paths.append(new)
            visibility = match[1] or ""
            if visibility or not paths:
                return declaration(visibility, tree(paths)) if paths else ""
            first = not groups
            groups.setdefault("paths", []).extend(paths)
            return "\0" if first else ""

        text = USE.sub(gather, text)
        if groups:
            text = text.replace("\0", declaration("", tree(groups["paths"])))
        return text

    def rust(self, name, target, text, move):
        """Translates a Rust file."""
        text = without_false(text, self.false)
        text = self.use(text, move, name)
        if move["as"] == "kernel":
            text = re.sub(r"(?<![\w:$])kernel::(?!prelude::kunit)", "crate::", text)
            text = re.sub(r"\bpub\(crate\)", "pub", text)
        self.unformatted.append(target)
        return text

    def place(self, path):
        """The place in the kernel's tree of a file or folder of this checkout."""
        if path in self.places:
            return self.places[path]
        folders = {
            target.removesuffix(name.removeprefix(path))
            for name, target in self.places.items()
            if path.endswith("/") and name.startswith(path)
        }
        if len(folders) == 1:
            return folders.pop()
        return path if path.endswith("/") else self.place(path + "/").removesuffix("/")

    def doc(self, name, text, folder):
        """Translates a page of the documentation."""
        text = included(text, folder)

        def page(match):
            if match[2] not in self.pages:
                raise Mismatch(f"{name} links to {match[2]}: say in [pages] what the kernel has")
            words = self.pages[match[2]]
            return match[1] + (words[0].upper() + words[1:] if match[1] else words)

        text = re.sub(r"(\.\s+|):doc:`([\w-]+)`", page, text)
        text = re.sub(r"``([\w./]+/[\w./]*)``", lambda match: f"``{self.place(match[1])}``", text)
        return re.sub(
            r"^(\.\. kernel-doc:: )(\S+)", lambda m: m[1] + self.place(m[2]), text, flags=re.M
        )

    def translate(self, source, name, target, move):
        """The form in the kernel's tree, at @target, of the file @source, which is @name."""
        text = source.read_text()
        if "part" in move:
            begin, end = (
                text.find(mark) if mark else len(text) for mark in move["part"]
            )
            if begin < 0 or end < begin:
                raise Mismatch(f"{name} has no part between {' and '.join(move['part'])!r}")
            text = text[begin:end].rstrip("\n") + "\n"
        text = move.get("head", "") + text + move.get("tail", "")
        if move["as"] in ("kernel", "driver") and name.endswith(".rs"):
            text = self.rust(name, target, text, move)
        elif move["as"] == "helpers":
            text = as_helpers(text)
        elif move["as"] == "doc":
            text = self.doc(name, text, source.parent)
        for edit in self.edits:
            if not fnmatch.fnmatch(target, edit["files"]):
                continue
            text, count = re.subn(edit["from"], edit["to"], text, flags=re.M)
            edit["used"] += count
        return refilled(text) if move["as"] == "doc" else text

    def format(self, where):
        """Formats the translated Rust files below @where by the kernel's rules."""
        names, self.unformatted = self.unformatted, []
        if not names:
            return
        command = ["rustfmt", "--edition", "2021", "--config", "newline_style=Unix"]
        # From stdin, because rustfmt would otherwise follow `mod` to files that do not exist yet.
        for name in names:
            path = where / name
            done = subprocess.run(
                command, input=path.read_text(), capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise Mismatch(f"rustfmt {name}: {done.stderr.strip()}")
            path.write_text(done.stdout)

    def check_used(self, left_out):
        """Checks that each substitution was of use, or is for one of the files @left_out."""
        for edit in self.edits:
            if not edit["used"] and not fnmatch.filter(left_out, edit["files"]):
                raise Mismatch(
                    f"the substitution of {edit['from']!r} in {edit['files']} matches nothing:"
                    " mend or remove it in upstream/series/substitutions.toml"
                )
