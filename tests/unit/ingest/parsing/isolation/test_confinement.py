"""The seccomp filter, run as the kernel runs it, for machines that this one is not, too."""

import errno
import os
import platform
import struct

import pytest

from ingest.parsing.isolation import confinement

_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS
_MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_MMAP, _OPENAT, _KILL_CALL, _FCNTL, _SET_AFFINITY = (9, 222), (257, 56), (62, 129), (72, 25), (203, 122)
# memfd_create, modify_ldt, vmsplice, splice, socket, execve, ptrace, userfaultfd, bpf, pipe2, mkdirat, unlinkat
_OLD_CALLS = {
    "x86_64": (319, 154, 278, 275, 41, 59, 101, 323, 321, 293, 258, 263),
    "aarch64": (279, 75, 76, 198, 221, 117, 282, 280, 59, 34, 35),
}
_MEMFD_SECRET, _CLONE3, _OPENAT2, _IO_URING_SETUP = 447, 435, 437, 425


@pytest.fixture(params=_MACHINES)
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(platform, "machine", lambda: request.param)
    return str(request.param)


def _decide(machine: str, number: int, *arguments: int) -> int:
    """The action of the filter for a call: a classic BPF machine with the five instructions that it uses."""
    program = confinement._build_filter()
    assert program is not None
    data = struct.pack("<IIQ6Q", number, _MACHINES[machine], 0, *(*arguments, *(0,) * (6 - len(arguments))))
    at = held = 0
    while True:
        code, then, otherwise, value = struct.unpack_from("<HBBI", program, 8 * at)
        at += 1
        match code:
            case 0x20:
                (held,) = struct.unpack_from("<I", data, value)
            case 0x15:
                at += then if held == value else otherwise
            case 0x35:
                at += then if held >= value else otherwise
            case 0x45:
                at += then if held & value else otherwise
            case 0x06:
                return int(value)
            case _:
                pytest.fail(f"unknown instruction {code:#x}")


def test_a_call_that_no_parser_makes_fails_with_an_error_and_kills_nothing(machine: str) -> None:
    decided = {number: _decide(machine, number) for number in range(1_100)}
    assert set(decided.values()) == {_ALLOW, _EPERM, _ENOSYS}
    assert {decided[number] for number in _OLD_CALLS[machine]} == {_EPERM}
    assert {decided[number] for number in (_MEMFD_SECRET, _CLONE3, _OPENAT2, _IO_URING_SETUP, 1_099)} == {_ENOSYS}
    assert sum(action == _ALLOW for action in decided.values()) < 90
    assert _decide(machine, 0x40000000 + 41) == _ENOSYS  # a socket, by the numbers of x32


def test_calls_that_parsers_make_are_allowed_with_the_arguments_that_they_use(machine: str) -> None:
    place = tuple(_MACHINES).index(machine)
    assert _decide(machine, _MMAP[place]) == _ALLOW
    assert _decide(machine, _OPENAT[place], 0, 0, os.O_RDONLY | os.O_CLOEXEC) == _ALLOW
    assert _decide(machine, _OPENAT[place], 0, 0, os.O_TMPFILE | os.O_WRONLY) == _EPERM
    assert _decide(machine, _KILL_CALL[place], os.getpid()) == _ALLOW
    assert _decide(machine, _KILL_CALL[place], os.getppid()) == _EPERM
    assert _decide(machine, _SET_AFFINITY[place], 0) == _ALLOW
    assert _decide(machine, _SET_AFFINITY[place], os.getppid()) == _EPERM  # Linux lets equals do so
    assert _decide(machine, _FCNTL[place], 0, 3) == _ALLOW  # F_GETFL
    assert _decide(machine, _FCNTL[place], 0, 8, os.getppid()) == _EPERM  # F_SETOWN
