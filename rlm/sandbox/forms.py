"""The forms of the sandbox that a setting can name."""

from enum import StrEnum


class SandboxForm(StrEnum):
    """`plain` is an interpreter without files, network or environment, in a process of its own; `bubblewrap` puts that
    process into namespaces of its own besides."""

    PLAIN = "plain"
    BUBBLEWRAP = "bubblewrap"
