"""Takes from this process what no parser needs: files, network, other processes. It cannot be taken back.

Two mechanisms of Linux that need no privilege, no program and no namespace, so that they hold in ordinary containers:

* Landlock (Linux 5.13): no file is opened but the document, the folder for its text, and Python's own code. Source:
  the kernel's userspace-api/landlock.
* A seccomp filter: no socket, no program, no process, no look at or signal to another process, no change of owners or
  modes, and none of the interfaces by which kernels are attacked. Source: the kernel's userspace-api/seccomp_filter.

All capabilities are dropped besides. The numbers below are the kernel's interface, which does not change.
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
ALL = (LANDLOCK, SECCOMP)

# OpenVINO asks these before it computes, and waits for ever if it gets no answer.
_HARDWARE = tuple(map(Path, ("/sys/devices/system/cpu", "/sys/devices/system/node", "/proc/cpuinfo")))

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38

# Landlock. The numbers of its calls are the same on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG, _PATH_BENEATH = 1, 1
_WRITE_FILE, _READ_FILE, _READ_DIR, _MAKE_REG, _TRUNCATE = 1 << 1, 1 << 2, 1 << 3, 1 << 8, 1 << 14
# Rights over files that a version of the interface knows: 13 at first; REFER, TRUNCATE and IOCTL_DEV came later.
_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_ALL_TCP, _ALL_SCOPES = 0b11, 0b11

# seccomp: AUDIT_ARCH of the machine, and the numbers of its calls on (x86_64, aarch64); None where there is none.
_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
_CLONE, _CLONE3, _PRCTL, _PRLIMIT = (56, 220), (435, 435), (157, 167), (302, 261)
_KILL, _TGKILL = (62, 129), (234, 131)
_CLONE_THREAD = 0x10000
_REFUSED: dict[str, tuple[int | None, int | None]] = {
    **{"socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201)},
    **{"accept": (43, 202), "accept4": (288, 242), "sendto": (44, 206), "sendmsg": (46, 211), "sendmmsg": (307, 269)},
    **{"execve": (59, 221), "execveat": (322, 281), "fork": (57, None), "vfork": (58, None)},
    **{"ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272)},
    **{"pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424)},
    **{"process_madvise": (440, 440), "tkill": (200, 130), "rt_sigqueueinfo": (129, 138)},
    **{"rt_tgsigqueueinfo": (297, 240), "setsid": (112, 157), "setpgid": (109, 154), "setpriority": (141, 140)},
    **{"io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427)},
    **{"bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "fanotify_init": (300, 262)},
    **{"add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219), "syslog": (103, 116)},
    **{"mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "unshare": (272, 97)},
    **{"setns": (308, 268), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430)},
    **{"mount_setattr": (442, 442), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265)},
    **{"init_module": (175, 105), "finit_module": (313, 273), "kexec_load": (246, 104), "personality": (135, 92)},
    **{"shmget": (29, 194), "shmat": (30, 196), "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180)},
    **{"chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452)},
    **{"chown": (92, None), "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54), "truncate": (76, 45)},
    **{"setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "removexattr": (197, 14)},
    **{"lremovexattr": (198, 15), "fremovexattr": (199, 16), "utime": (132, None), "utimes": (235, None)},
    **{"futimesat": (261, None), "utimensat": (280, 88), "mknod": (133, None), "mknodat": (259, 33)},
}
_LD, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCH, _FIRST_ARGUMENT = 0, 4, 16
_X32 = 0x40000000


def end_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends; `confine` keeps it so."""
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def confine(document: Path | None, folder: Path, *, hardware: bool = False) -> tuple[str, ...]:
    """Leave this process the `document` to read and the `folder` to write files in, and return what is in force.

    With `hardware` it may also read how many processors there are, and of what kind.
    """
    if sys.platform != "linux":
        return ()
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _drop_capabilities()
    extra = _HARDWARE if hardware else ()
    # guard: parser-seccomp
    # guard: parser-landlock
    done = (LANDLOCK if _restrict_files(document, folder, extra) else "", SECCOMP if _refuse_calls() else "")
    return tuple(filter(None, done))


def _drop_capabilities() -> None:
    header, nothing = struct.pack("<Ii", 0x20080522, 0), bytes(24)
    _libc.capset(header, nothing)


def _restrict_files(document: Path | None, folder: Path, readable: Iterable[Path]) -> bool:
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
        for path in (*_code(), *filter(Path.exists, readable)):
            _allow(ruleset, path, handled & (_READ_FILE | _READ_DIR))
        if document is not None:
            _allow(ruleset, document, _READ_FILE)
        _allow(ruleset, folder, handled & (_READ_FILE | _WRITE_FILE | _MAKE_REG | _TRUNCATE))
        return bool(_libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not path.is_dir():
            rights &= ~(_READ_DIR | _MAKE_REG)
        if _libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("<Qi", rights, descriptor), 0) != 0:
            raise OSError(ctypes.get_errno(), "Landlock refused a rule")
    finally:
        os.close(descriptor)


@cache
def _code() -> tuple[Path, ...]:
    """Return where Python, its libraries and this package are: modules are loaded when they are first needed."""
    standard = Path(os.__file__).parent
    packages = {path for path in map(Path, sys.path) if path.name in ("site-packages", "dist-packages")}
    system = map(Path, ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/dev/urandom"))
    return tuple(path for path in (*packages, standard, Path(__file__).parents[1], *system) if path.exists())


def _refuse_calls() -> bool:
    program = _filter()
    if program is None:
        return False
    buffer = ctypes.create_string_buffer(program, len(program))
    argument = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    return bool(_libc.prctl(_PR_SET_SECCOMP, 2, argument, 0, 0) == 0)


def _filter() -> bytes | None:
    """Return the program that the kernel runs at each system call; None for a machine whose calls are not known."""
    if platform.machine() not in _ARCHITECTURES:
        return None
    architecture, at = _ARCHITECTURES[platform.machine()]
    own, eperm, enosys = os.getpid(), _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS
    # Each block is entered with the call's number loaded, and ends with a return or falls through with it loaded.
    blocks = [
        [(_LD, 0, 0, _ARCH), (_JEQ, 1, 0, architecture), (_RET, 0, 0, _KILL_PROCESS), (_LD, 0, 0, _NUMBER)],
        [(_JGE, 0, 1, _X32), (_RET, 0, 0, eperm)],
        *([(_JEQ, 0, 1, number), (_RET, 0, 0, eperm)] for number in _numbers(_REFUSED.values(), at)),
        [(_JEQ, 0, 1, _CLONE3[at]), (_RET, 0, 0, enosys)],  # the C library then uses clone, whose flags can be read
        _by_argument(_CLONE[at], (_JSET, _CLONE_THREAD), fits=_ALLOW, else_=eperm),
        _by_argument(_KILL[at], (_JEQ, own), fits=_ALLOW, else_=eperm),
        _by_argument(_TGKILL[at], (_JEQ, own), fits=_ALLOW, else_=eperm),
        _by_argument(_PRCTL[at], (_JEQ, _PR_SET_PDEATHSIG), fits=eperm, else_=_ALLOW),
        _by_argument(_PRLIMIT[at], (_JEQ, 0), fits=_ALLOW, else_=eperm),
        [(_RET, 0, 0, _ALLOW)],
    ]
    return b"".join(struct.pack("<HBBI", *each) for block in blocks for each in block)


def _numbers(calls: Iterable[tuple[int | None, int | None]], at: int) -> Iterator[int]:
    for numbers in calls:
        number = numbers[at]
        if number is not None:
            yield number


def _by_argument(number: int, test: tuple[int, int], *, fits: int, else_: int) -> list[tuple[int, int, int, int]]:
    """Return a block that decides about one call by its first argument."""
    kind, value = test
    return [
        (_JEQ, 0, 4, number),
        (_LD, 0, 0, _FIRST_ARGUMENT),
        (kind, 0, 1, value),
        (_RET, 0, 0, fits),
        (_RET, 0, 0, else_),
    ]
