# SPDX-License-Identifier: GPL-2.0-only
"""Compiles the hot paths of the userspace libraries as a user's release build, and disassembles them."""

import collections
import os
import re
import subprocess
import sys

from sources import TOP

BUILT = TOP / "build" / "bursts"
HOT_PATHS = TOP / "selftests" / "bursts"
LINE = 64


class Code(list):
    """The instructions of a function as text, without padding."""

    def __init__(self):
        super().__init__()
        # Where each is, and where the last one ends.
        self.places = []
        self.end = 0
        # The indexes of those that refer to other functions by a relocation.
        self.relocated = set()

    @property
    def size(self):
        """The number of bytes of code."""
        return self.end - self.places[0]

    def path(self, architecture, rule):
        """The fewest instructions from the first to a return that have one that matches @rule among
        them; None if there is no such path. A call is one of them, and what it calls is not."""
        ways = collections.deque([(0, False, None)])
        seen = set()
        while ways:
            way = index, passed, _ = ways.popleft()
            if index >= len(self) or (index, passed) in seen:
                continue
            seen.add((index, passed))
            passed = passed or architecture.matches(rule, self[index]) is not None
            following = self.following(architecture, index)
            if passed and not following:
                taken = []
                while way:
                    taken.insert(0, self[way[0]])
                    way = way[2]
                return taken
            ways.extend((after, passed, way) for after in following)
        return None

    def following(self, architecture, index):
        """The indexes of the instructions that can come after the one at @index; none after a return
        and after a jump to another function."""
        instruction = self[index]
        after = []
        if architecture.matches("branch", instruction) and index not in self.relocated:
            target = int(instruction.split()[-1], 16)
            after += [self.places.index(target)] if target in self.places else []
        if not architecture.matches("jump", instruction) and not architecture.matches("end", instruction):
            after.append(index + 1)
        return after


class Architecture:
    """What differs between the architectures in compiling and in the text of objdump."""

    def __init__(self, name, prefix, remark, ways, inlined, **rules):
        self.name = name
        self.remark = remark
        self.compiler = prefix + "gcc-14"
        self.objdump = prefix + "objdump"
        self.target = prefix.split("-")[0] + "-unknown-linux-gnu"
        # The routines, and what is the last instruction of a line.
        self.ways = ways
        # The functions that have a line inlined in C, and its way; they call other routines.
        self.inlined = inlined
        self.rules = {key: re.compile(rule) for key, rule in rules.items()}

    def matches(self, rule, instruction):
        if rule == "line":
            return self.matches("store", instruction) or self.matches("whole", instruction)
        return self.rules[rule].fullmatch(instruction)

    def has_inlined(self, name, body, way):
        """Whether @body is a function @name that has a line of this way inlined."""
        return self.inlined.get(name) == way and any(self.matches("line", code) for code in body)


DGH = "hint #0x6"
ARCHITECTURES = (
    Architecture(
        "x86-64",
        "x86_64-linux-gnu-",
        r"<.*| #.*",
        dict.fromkeys(("movdir64b", "avx512", "avx", "sse2", "words"), ""),
        {},
        # A store: the register stored, the offset and the base.
        store=r"v?mov(?:dqa(?:64)?|aps|q)? %(?P<value>\w+),(?P<offset>0x\w+)?\(%(?P<base>\w+)\)",
        whole=r"movdir64b \(%\w+\),%\w+",
        # Rust calls other crates by addresses in a table.
        call=r"call.*|jmp \*.*\(%rip\)",
        indirect=r"(?:call|jmp) \*(?!.*\(%rip\)).*",
        branch=r"j(?!mp +\*).*",
        jump=r"jmp .*",
        fence=r"sfence",
        flush=r"sfence",
        access=r"mov .*\(%\w+\).*",
        end=r"ret",
    ),
    Architecture(
        "arm64",
        "aarch64-linux-gnu-",
        r"<.*|//.*",
        {"stp": DGH, "words": DGH, "st64b": ""},
        {"write_line": "stp", "copy_line": "stp"},
        store=r"st[pr] (?P<value>x\w+)(?:, (?P<second>x\w+))?, \[(?P<base>x\w+)(?:, #(?P<offset>\d+))?\]",
        whole=r"st64b x0, \[x8\]",
        call=r"blr? .*",
        indirect=r"blr? x\w+|br x\w+",
        branch=r"b(\.\w+)? .*|cbn?z .*|tbn?z .*",
        jump=r"br? .*",
        fence=r"dmb oshst",
        flush=r"dsb st",
        access=r"(ldr|str) w\w+, \[x\w+\]",
        end=r"ret",
    ),
)

# Their names in Rust and in C, where a function has all runs.
RUNS_IN_RUST = {"lines_run_of": "copy_run", "lines_aligned_run_of": "aligned_run"}

# Instructions that do nothing, and padding.
IDLE = re.compile(r"nop.*|endbr64|bti.*|xchg %ax,%ax|data16.*|cs nopw.*|udf.*")


def run(*command, **environment):
    """The output of a command, which must succeed."""
    BUILT.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [str(word) for word in command],
        check=False,
        env=dict(os.environ, **environment),
        stdout=subprocess.PIPE,
        text=True,
        cwd=TOP,
    )
    if done.returncode:
        sys.exit(f"bursts: error: {' '.join(map(str, command[:3]))} ... failed, see above")
    return done.stdout


def rust_objects(architecture):
    """Compiles the crate and its hot paths; returns the files with their code."""
    run(
        "cargo", "build", "--quiet", "--release", "--locked", "--package=vfio-subregion",
        "--target", architecture.target, "--target-dir", BUILT,
        # The workspace has both on, for its own tests; a user's release has neither.
        CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS="false",
        CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS="false",
    )  # fmt: skip
    release = BUILT / architecture.target / "release"
    crate = release / "libvfio_subregion.rlib"
    paths = BUILT / f"hot_paths-{architecture.name}.o"
    run(
        "rustc", "--edition=2021", "--crate-type=lib", "--crate-name=hot_paths", "--emit=obj",
        "-Copt-level=3", "-Ccodegen-units=1", "--target", architecture.target,
        "--extern", f"vfio_subregion={crate}", "-L", f"dependency={release / 'deps'}",
        # Its macros run on this machine.
        "-L", f"dependency={BUILT / 'release' / 'deps'}",
        "-o", paths, HOT_PATHS / "hot_paths.rs",
    )  # fmt: skip
    return crate, paths


def c_objects(architecture):
    """Compiles the hot paths in C, which have the routines of the header in them."""
    return compiled(architecture, "c", architecture.compiler)


def clang_objects(architecture):
    """The same by clang."""
    return compiled(architecture, "clang", "clang-19", f"--target={architecture.target}")


def compiled(architecture, name, *compiler):
    """Compiles the hot paths in C by @compiler."""
    paths = BUILT / f"hot_paths-{name}-{architecture.name}.o"
    run(
        *compiler, "-std=c99", "-O2", "-Wall", "-Wextra", "-Werror",
        "-I", TOP / "lib" / "include", "-c", "-o", paths, HOT_PATHS / "hot_paths.c",
    )  # fmt: skip
    return (paths,)


NAME = re.compile(
    r"vfio_subregion::raw::lines::routines::(?:(?P<way>\w+)::(?P<kind>lines?)|(?P<run>\w+))|"
    r"vfio_subregion_(?P<c>lines?_\w+|copy_run|aligned_run)|(?:hot_paths::)?(?P<path>\w+)"
)


def functions(architecture, files):
    """The Code of each function in @files that is looked at, by its name; that of a routine begins
    with `lines_`, or with `line_` for a single line. The names of the runs in Rust are all the same."""
    found = {}
    for file in files:
        command = (architecture.objdump, "-d", "-r", "-C", "--insn-width=16", file)
        # An archive of Rust has a member that is no object file, about which objdump complains.
        text = subprocess.run(command, check=False, capture_output=True, text=True).stdout
        body = Code()
        for line in text.splitlines():
            if start := re.fullmatch(r"[0-9a-f]+ <(.+)>:", line):
                body = Code()
                if name := NAME.fullmatch(re.sub(r"::h[0-9a-f]{16}$", "", start[1])):
                    key = name["c"] or name["path"] or f"lines_{name['run']}"
                    if name["way"]:
                        key = f"{name['kind']}_{name['way']}"
                    if key in RUNS_IN_RUST:
                        body = found.setdefault(key, body)
                    found[key] = body
            elif code := re.match(r"\s+([0-9a-f]+):\t([0-9a-f ]+)\t(.*)", line):
                # Without the names of addresses and the comments behind.
                instruction = re.sub(architecture.remark, "", code[3])
                instruction = " ".join(instruction.split())
                if not IDLE.fullmatch(instruction):
                    body.append(instruction)
                    body.places.append(int(code[1], 16))
                    body.end = body.places[-1] + len(code[2].replace(" ", "")) // 2
            elif body and re.match(r"\s+[0-9a-f]+: R_", line):
                body.relocated.add(len(body) - 1)
                # A call through this variable is one of a routine, and none through a linker's table.
                if "PC32\tvfio_subregion_in_use" in line:
                    body[-1] = body[-1].replace("(%rip)", "(in_use)")
    return found
