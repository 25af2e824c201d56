"""A Git repository of a test's own, and Git's own HTTP server in front of it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.web_server import Request, WebServer, open_web_server

PATH = "/team/handbook.git"


@dataclass
class Repository:
    """A bare repository whose files a test changes. Each change is a commit to the branch."""

    folder: Path
    branch: str = "main"
    hash_name: str = "sha1"
    settings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self.run("init", "--bare", "--quiet", f"--initial-branch={self.branch}", f"--object-format={self.hash_name}")
        for name, value in self.settings.items():
            self.run("config", name, value)

    def run(self, *arguments: str, content: bytes = b"") -> str:
        """Run Git on the repository."""
        done = subprocess.run(
            ["git", *arguments], cwd=self.folder, env=self.environ, input=content, capture_output=True, check=True
        )
        return done.stdout.decode().strip()

    @property
    def environ(self) -> dict[str, str]:
        who = {
            f"GIT_{role}_{name}": "ann@example.org" for role in ("AUTHOR", "COMMITTER") for name in ("NAME", "EMAIL")
        }
        none = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(self.folder)}
        return {"PATH": os.environ["PATH"], "GIT_DIR": str(self.folder), **who, **none}

    def write(self, name: str, content: bytes, mode: str = "100644") -> None:
        blob = self.run("hash-object", "-w", "--stdin", content=content)
        self.point(name, blob, mode)

    def point(self, name: str, object_id: str, mode: str) -> None:
        """Make a name stand for any object."""
        self.run("update-index", "--add", "--cacheinfo", f"{mode},{object_id},{name}")
        self.commit(self.run("write-tree"))

    def remove(self, name: str) -> None:
        entry = f"0 {self.run('hash-object', '--stdin')}\t{name}\0"
        self.run("update-index", "-z", "--index-info", content=entry.encode())
        self.commit(self.run("write-tree"))

    def make_tree(self, *entries: tuple[str, bytes, str]) -> str:
        """Make a folder of modes, names and ids, even one that Git would not make."""
        content = b"".join(mode.encode() + b" " + name + b"\0" + bytes.fromhex(found) for mode, name, found in entries)
        return self.run("hash-object", "-t", "tree", "-w", "--stdin", "--literally", content=content)

    def commit(self, tree: str, branch: str = "") -> str:
        """Make a commit the last one of a branch."""
        commit = self.run("commit-tree", "-m", "change", tree)
        self.run("update-ref", f"refs/heads/{branch or self.branch}", commit)
        return commit

    def answer(self, request: Request) -> None:
        """Answer a request with `git http-backend`, which is a CGI program."""
        parts = urlsplit(request.path)
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        environ = self.environ | {
            "GIT_PROJECT_ROOT": str(self.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": parts.path.removeprefix(PATH),
            "QUERY_STRING": parts.query,
            "REQUEST_METHOD": request.command,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
            "REMOTE_ADDR": "127.0.0.1",
        }
        del environ["GIT_DIR"]
        done = subprocess.run(["git", "http-backend"], env=environ, input=body, capture_output=True, check=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        status = int(headers.pop("Status", "200").partition(" ")[0])
        request.reply(content, headers.pop("Content-Type"), status)


@contextmanager
def open_git_server(repository: Repository) -> Iterator[WebServer]:
    """Serve a repository at `PATH` of a free port of this machine."""
    with open_web_server() as site:
        site.answer_others = repository.answer
        yield site
