"""Irrevocably remove this process's access to files, the network and other processes.

This uses two Linux mechanisms that require no privilege, program or namespace, so that they also work in ordinary
containers:

* Landlock (Linux 5.13) allows opening only the document, the folder for its text, and Python's own code. Source: the
  kernel's userspace-api/landlock.
* A seccomp filter allows only the syscalls that parsers need. It excludes sockets, starting programs and processes,
  signals to other processes, and the interfaces commonly used to attack kernels. Source: the kernel's
  userspace-api/seccomp_filter.

All capabilities are dropped as well. The numbers below are part of the kernel's stable interface. Neither mechanism
hides whether a path exists or how large its file is.
"""

import ctypes
import errno
import os
import platform
import signal
import struct
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

LANDLOCK, SECCOMP = "Landlock", "seccomp"
ALL_CONFINEMENTS = (LANDLOCK, SECCOMP)

# Hardware files that OpenVINO reads when it starts. OpenVINO hangs if it cannot read them.
_HARDWARE_PATHS = tuple(map(Path, ("/sys/devices/system/cpu", "/sys/devices/system/node", "/proc/cpuinfo")))

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38

# Syscall numbers of Landlock, which are the same on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG, _PATH_BENEATH = 1, 1
_WRITE_FILE, _READ_FILE, _READ_DIR, _MAKE_REG, _TRUNCATE = 1 << 1, 1 << 2, 1 << 3, 1 << 8, 1 << 14
# All file access rights by version of the Landlock interface. The first version has 13 rights; REFER, TRUNCATE and
# IOCTL_DEV were added later.
_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_ALL_TCP, _ALL_SCOPES = 0b11, 0b11

# seccomp: for each machine type, its AUDIT_ARCH and its index into the tables of syscall numbers below, which are for
# x86_64 and aarch64. A number is None if the architecture lacks the syscall.
_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
# The syscalls observed in the parsers of all formats (including OCR in OpenVINO's threads), their variants in other C
# libraries, and the interpreter's syscalls about its own process. All other syscalls fail with an error.
_ALLOWED_CALLS: dict[str, tuple[int | None, int | None]] = {
    # Syscalls for open files and paths. Landlock restricts the paths.
    **{"close": (3, 57), "read": (0, 63), "readv": (19, 65), "pread64": (17, 67), "write": (1, 64)},
    **{"writev": (20, 66), "pwrite64": (18, 68), "lseek": (8, 62), "ftruncate": (77, 46), "fadvise64": (221, 223)},
    **{"dup": (32, 23), "dup2": (33, None), "dup3": (292, 24)},
    **{"stat": (4, None), "lstat": (6, None), "fstat": (5, 80), "newfstatat": (262, 79), "statx": (332, 291)},
    **{"access": (21, None), "faccessat": (269, 48), "faccessat2": (439, 439), "readlink": (89, None)},
    **{"readlinkat": (267, 78), "getdents64": (217, 61), "getcwd": (79, 17)},
    # Syscalls for memory and its NUMA nodes.
    **{"brk": (12, 214), "mmap": (9, 222), "mremap": (25, 216), "munmap": (11, 215), "mprotect": (10, 226)},
    **{"madvise": (28, 233), "mbind": (237, 235), "set_mempolicy": (238, 237), "get_mempolicy": (239, 236)},
    # Syscalls for threads, signals and time.
    **{"futex": (202, 98), "sched_yield": (24, 124), "sched_getaffinity": (204, 123), "getcpu": (309, 168)},
    **{"set_tid_address": (218, 96), "set_robust_list": (273, 99), "rseq": (334, 293), "gettid": (186, 178)},
    **{"exit": (60, 93), "exit_group": (231, 94), "arch_prctl": (158, None)},
    **{"rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "sigaltstack": (131, 132)},
    **{"restart_syscall": (219, 128), "poll": (7, None), "ppoll": (271, 73)},
    **{"clock_gettime": (228, 113), "clock_getres": (229, 114), "gettimeofday": (96, 169), "time": (201, None)},
    **{"times": (100, 153), "nanosleep": (35, 101), "clock_nanosleep": (230, 115)},
    # Syscalls that return information about the process and the machine.
    **{"getpid": (39, 172), "getppid": (110, 173), "getuid": (102, 174), "geteuid": (107, 175), "getgid": (104, 176)},
    **{"getegid": (108, 177), "getrandom": (318, 278), "getrlimit": (97, 163), "getrusage": (98, 165)},
    **{"sysinfo": (99, 179), "uname": (63, 160)},
}
# Syscalls that are allowed only for certain values of one argument, which the filter compares as a 32-bit number.
_OPEN, _OPENAT, _CLONE, _CLONE3, _PRCTL, _PRLIMIT = (2, None), (257, 56), (56, 220), (435, 435), (157, 167), (302, 261)
_KILL, _TGKILL, _SET_AFFINITY, _FCNTL, _IOCTL = (62, 129), (234, 131), (203, 122), (72, 25), (16, 29)
_CLONE_THREAD = 0x10000
_OPEN_CALLS = ((_OPEN, 1), (_OPENAT, 2))  # Syscalls that open files, each with the index of its flags argument.
_TMPFILE = 0x400000  # O_TMPFILE. Landlock would allow unnamed files, whose total size could not be limited.
_THREAD_NAMES_AND_VECTORS = (15, 16, 51)  # PR_SET_NAME, PR_GET_NAME, PR_SVE_GET_VL
# F_DUPFD to F_SETFL and F_DUPFD_CLOEXEC, but not F_SETOWN, which could send signals.
_ALLOWED_FCNTLS = (0, 1, 2, 3, 4, 1030)
# TCGETS, TCGETS2, TIOCGWINSZ, FIONREAD, FIONCLEX and FIOCLEX, which Python and the C library call on opened files.
_ALLOWED_IOCTLS = (0x5401, 0x802C542A, 0x5413, 0x541B, 0x5450, 0x5451)
# The first syscall number that is the same on every architecture. Syscalls from this number on were added since Linux
# 5.1. Libraries try them first and fall back to older syscalls only after ENOSYS, so the filter returns ENOSYS instead
# of another error.
_FIRST_SHARED_NUMBER = 424
_LD, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16


def set_parent_death_signal() -> None:
    """Make the kernel kill this process when the thread that started it exits, even after `confine_process`."""
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def confine_process(document: Path | None, folder: Path, *, allow_hardware: bool = False) -> tuple[str, ...]:
    """Restrict this process to reading `document` and writing files in `folder`. Return the mechanisms in effect.

    If `allow_hardware` is set, the process may also read the number and type of processors.
    """
    if sys.platform != "linux":
        return ()
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _drop_capabilities()
    extra = _HARDWARE_PATHS if allow_hardware else ()
    # guard: parser-seccomp
    # guard: parser-landlock
    done = (
        LANDLOCK if _restrict_file_access(document, folder, extra) else "",
        SECCOMP if _restrict_system_calls() else "",
    )
    return tuple(filter(None, done))


def _drop_capabilities() -> None:
    header, nothing = struct.pack("<Ii", 0x20080522, 0), bytes(24)
    _libc.capset(header, nothing)


def _restrict_file_access(document: Path | None, folder: Path, readable_paths: Iterable[Path]) -> bool:
    version = _libc.syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG)
    if version < 1:
        return False
    handled = _RIGHTS[max(known for known in _RIGHTS if known <= version)]
    attributes = struct.pack("<QQQ", handled, _ALL_TCP * (version >= 4), _ALL_SCOPES * (version >= 6))
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = _libc.syscall(_CREATE_RULESET, attributes, size, 0)
    if ruleset < 0:
        return False
    try:
        for path in (*_list_code_paths(), *filter(Path.exists, readable_paths)):
            _allow_path(ruleset, path, handled & (_READ_FILE | _READ_DIR))
        if document is not None:
            _allow_path(ruleset, document, _READ_FILE)
        _allow_path(ruleset, folder, handled & (_READ_FILE | _WRITE_FILE | _MAKE_REG | _TRUNCATE))
        return bool(_libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def _allow_path(ruleset: int, path: Path, rights: int) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not path.is_dir():
            rights &= ~(_READ_DIR | _MAKE_REG)
        if _libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("<Qi", rights, descriptor), 0) != 0:
            raise OSError(ctypes.get_errno(), "Landlock rejected a rule")
    finally:
        os.close(descriptor)


@cache
def _list_code_paths() -> tuple[Path, ...]:
    """Return the folders of Python, its libraries and this package.

    They must stay readable, because modules are loaded on first use.
    """
    standard = Path(os.__file__).parent
    packages = {path for path in map(Path, sys.path) if path.name in ("site-packages", "dist-packages")}
    system = map(Path, ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/dev/urandom"))
    return tuple(path for path in (*packages, standard, Path(__file__).parents[1], *system) if path.exists())


def _restrict_system_calls() -> bool:
    program = _build_filter()
    if program is None:
        return False
    buffer = ctypes.create_string_buffer(program, len(program))
    argument = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    return bool(_libc.prctl(_PR_SET_SECCOMP, 2, argument, 0, 0) == 0)


def _build_filter() -> bytes | None:
    """Build the program that the kernel runs on each syscall, or return None on an unsupported architecture."""
    if platform.machine() not in _ARCHITECTURES:
        return None
    architecture, at = _ARCHITECTURES[platform.machine()]
    own, eperm, enosys = os.getpid(), _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS
    # Each block starts with the syscall number in the accumulator, and returns or falls through with that number still
    # there.
    blocks = [
        [(_LD, 0, 0, _ARCH), (_JEQ, 1, 0, architecture), (_RET, 0, 0, _KILL_PROCESS), (_LD, 0, 0, _NUMBER)],
        *([(_JEQ, 0, 1, number), (_RET, 0, 0, _ALLOW)] for number in _iter_call_numbers(_ALLOWED_CALLS.values(), at)),
        [
            (_JEQ, 0, 1, _CLONE3[at]),
            (_RET, 0, 0, enosys),
        ],  # The C library falls back to `clone`, whose flags are checked.
        _build_argument_check(_CLONE[at], 0, _JSET, (_CLONE_THREAD,), match_action=_ALLOW, default_action=eperm),
        # guard: parser-nameless-files
        *(
            _build_argument_check(call[at], place, _JSET, (_TMPFILE,), match_action=eperm, default_action=_ALLOW)
            for call, place in _OPEN_CALLS
        ),
        _build_argument_check(_KILL[at], 0, _JEQ, (own,), match_action=_ALLOW, default_action=eperm),
        _build_argument_check(_TGKILL[at], 0, _JEQ, (own,), match_action=_ALLOW, default_action=eperm),
        # guard: parser-own-affinity
        _build_argument_check(_SET_AFFINITY[at], 0, _JEQ, (0,), match_action=_ALLOW, default_action=eperm),
        _build_argument_check(_PRLIMIT[at], 0, _JEQ, (0,), match_action=_ALLOW, default_action=eperm),
        _build_argument_check(
            _PRCTL[at], 0, _JEQ, _THREAD_NAMES_AND_VECTORS, match_action=_ALLOW, default_action=eperm
        ),
        # guard: parser-signal-owner
        _build_argument_check(_FCNTL[at], 1, _JEQ, _ALLOWED_FCNTLS, match_action=_ALLOW, default_action=eperm),
        _build_argument_check(_IOCTL[at], 1, _JEQ, _ALLOWED_IOCTLS, match_action=_ALLOW, default_action=eperm),
        [(_JGE, 0, 1, _FIRST_SHARED_NUMBER), (_RET, 0, 0, enosys)],
        # guard: parser-unlisted-calls
        [(_RET, 0, 0, eperm)],
    ]
    return b"".join(struct.pack("<HBBI", *each) for block in blocks for each in block)


def _iter_call_numbers(calls: Iterable[tuple[int | None, int | None]], architecture_index: int) -> Iterator[int]:
    for numbers in calls:
        number = numbers[architecture_index]
        if number is not None:
            yield number


def _build_argument_check(
    number: int | None,
    argument_index: int,
    comparison: int,
    values: Iterable[int],
    *,
    match_action: int,
    default_action: int,
) -> list[tuple[int, int, int, int]]:
    """Return a block that compares the argument at `argument_index` with `values`.

    The block returns `match_action` if the argument matches one of them, and `default_action` otherwise.

    `comparison` compares the argument: for equality, or for common bits. The block is empty if `number` is None.
    """
    if number is None:
        return []
    tests = [step for value in values for step in ((comparison, 0, 1, value), (_RET, 0, 0, match_action))]
    body = [(_LD, 0, 0, _ARGUMENTS + 8 * argument_index), *tests, (_RET, 0, 0, default_action)]
    return [(_JEQ, 0, len(body), number), *body]
