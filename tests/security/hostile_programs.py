"""Programs that want out of the sandbox, or want more than their share.

`{file}` is a file with a secret, `{target}` a path where nothing may appear, `{port}` that of a listener on 127.0.0.1.
"""

FILES = r"""
open("{file}").read()
print(open("{file}", "rb").read())
with open("{file}") as f: print(f.readlines())
open("{target}", "w").write("x")
open("{target}", "a").write("x")
open("{target}", "x")
open("{target}", "wb").write(b"x" * 100)
open(3).read()
open(0).read()
open("/proc/self/environ").read()
open("/proc/self/maps").read()
open("/proc/1/cmdline").read()
open("/dev/mem", "rb").read(10)
open("/etc/passwd").read()
open("../../../../../../../../etc/passwd").read()
open("/dev/stdin").read()
open("\x00/etc/passwd").read()
import pathlib; pathlib.Path("{file}").read_text()
from pathlib import Path; print(Path("{file}").read_bytes())
from pathlib import Path; print(list(Path("/").iterdir()))
from pathlib import Path; print(list(Path("/").glob("**/*")))
from pathlib import Path; Path("{target}").write_text("x")
from pathlib import Path; Path("{target}").write_bytes(b"x")
from pathlib import Path; Path("{target}").mkdir()
from pathlib import Path; Path("{target}").touch()
from pathlib import Path; Path("{file}").unlink()
from pathlib import Path; Path("{file}").rename("{target}")
from pathlib import Path; Path("{target}").symlink_to("{file}")
from pathlib import Path; print(Path("{file}").stat())
from pathlib import Path; print(Path("{file}").exists())
from pathlib import Path; print(Path.home(), Path.cwd(), Path("{file}").resolve())
from pathlib import Path; print(Path("~").expanduser())
import os; print(os.listdir("/"))
import os; print(os.listdir("{file}/.."))
import os; print(list(os.walk("/")))
import os; print(list(os.scandir("/")))
import os; os.remove("{file}")
import os; os.unlink("{file}")
import os; os.rename("{file}", "{target}")
import os; os.mkdir("{target}")
import os; os.makedirs("{target}/a/b")
import os; os.symlink("{file}", "{target}")
import os; os.link("{file}", "{target}")
import os; os.chmod("{file}", 0o777)
import os; print(os.stat("{file}"))
import os; print(os.path.exists("{file}"), os.path.getsize("{file}"))
import os; fd = os.open("{file}", 0); print(os.read(fd, 100))
import os; os.chdir("/"); print(os.getcwd())
import os; os.truncate("{file}", 0)
import shutil; shutil.copy("{file}", "{target}")
import shutil; shutil.rmtree("/")
import tempfile; tempfile.mkdtemp()
import glob; print(glob.glob("/*"))
import fileinput; print(list(fileinput.input("{file}")))
import linecache; print(linecache.getlines("{file}"))
import sqlite3; sqlite3.connect("{target}")
import pickle; pickle.loads(b"cos\nsystem\n(S'touch {target}'\ntR.")
import shelve; shelve.open("{target}")
import zipfile; zipfile.ZipFile("{target}", "w")
import csv; csv.writer(open("{target}", "w")).writerow([1])
import io; io.open("{file}").read()
import io; io.FileIO("{file}").read()
import codecs; codecs.open("{file}").read()
import mmap
import json; json.load(open("{file}"))
import json; json.dump({}, open("{target}", "w"))
exec('open("{file}").read()')
eval('open("{file}").read()')
print(eval("__import__('os').listdir('/')"))
"""

NETWORK = r"""
import socket; socket.create_connection(("127.0.0.1", {port}))
import socket; s = socket.socket(); s.connect(("127.0.0.1", {port}))
import socket; print(socket.gethostname(), socket.getaddrinfo("localhost", {port}))
import urllib.request; urllib.request.urlopen("http://127.0.0.1:{port}/")
from urllib.request import urlopen; urlopen("http://127.0.0.1:{port}/")
import http.client; http.client.HTTPConnection("127.0.0.1", {port}).request("GET", "/")
import requests; requests.get("http://127.0.0.1:{port}/")
import httpx; httpx.get("http://127.0.0.1:{port}/")
import asyncio; asyncio.run(asyncio.open_connection("127.0.0.1", {port}))
import asyncio; asyncio.get_event_loop().create_connection(None, "127.0.0.1", {port})
import smtplib; smtplib.SMTP("127.0.0.1", {port})
import ftplib; ftplib.FTP("127.0.0.1")
import ssl
import telnetlib
import xmlrpc.client
import webbrowser; webbrowser.open("http://127.0.0.1:{port}/")
open("http://127.0.0.1:{port}/").read()
open("/dev/tcp/127.0.0.1/{port}", "w").write("x")
from pathlib import Path; Path("/dev/tcp/127.0.0.1/{port}").write_text("x")
import antigravity
"""

ENVIRONMENT = r"""
import os; print(os.environ)
import os; print(os.environ["LEADLINE_CANARY"])
import os; print(os.getenv("LEADLINE_CANARY"))
import os; print(os.environ.get("LEADLINE_CANARY"), list(os.environ))
import os; os.environ["A"] = "b"; print(os.environ["A"])
import os; print(os.getpid(), os.getppid(), os.getuid())
import os; print(os.uname())
import os; os.system("touch {target}")
import os; os.popen("cat {file}").read()
import os; os.fork()
import os; os.execv("/bin/sh", ["sh", "-c", "touch {target}"])
import os; os.kill(1, 9)
import os; os.kill(os.getppid(), 9)
import os; os.setuid(0)
import os; os._exit(0)
import os; os.urandom(10)
import subprocess; subprocess.run(["touch", "{target}"])
import subprocess; print(subprocess.check_output("cat {file}", shell=True))
from subprocess import Popen; Popen("id")
import multiprocessing; multiprocessing.Process(target=print).start()
import threading; threading.Thread(target=print).start()
import ctypes; ctypes.CDLL(None).system(b"touch {target}")
import cffi
import signal; signal.raise_signal(9)
import resource; resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
import sys; print(sys.argv, sys.path, sys.executable)
import sys; sys.exit(1)
import sys; print(sys.modules)
import sys; sys.setrecursionlimit(10**9)
import sys; sys.stdout.write("x"); sys.stdout.buffer.write(b"x")
import sys; print(sys._getframe(0).f_back.f_globals)
import platform; print(platform.node())
import getpass; print(getpass.getuser())
import pwd; print(pwd.getpwall())
import importlib; importlib.import_module("os").system("touch {target}")
import pip; pip.main(["install", "x"])
import pty; pty.spawn("/bin/sh")
import code; code.interact()
import pdb; pdb.set_trace()
import gc; print(gc.get_objects())
import inspect; print(inspect.stack())
breakpoint()
input("password: ")
exit(3)
quit()
"""

INTROSPECTION = r"""
().__class__.__bases__[0].__subclasses__()
"".__class__.__mro__[-1].__subclasses__()
[c for c in object.__subclasses__() if c.__name__ == "Popen"]
(lambda: 0).__globals__
(lambda: 0).__code__.co_consts
print.__self__
len.__module__
type("X", (object,), {})
type.mro(int)
getattr((), "__class__")
getattr(print, "__self__")
"{0.__class__.__init__.__globals__}".format(1)
"{0.__class__}".format(print)
f"{print.__self__}"
"%s" % (lambda: 0).__closure__
__builtins__
__builtins__["open"]("{file}").read()
globals()["__builtins__"]
__import__("os").system("touch {target}")
__loader__.load_module("os")
__spec__
__file__
print(__name__, dir(__name__))
class A: pass⏎A.__init__.__globals__
class A:⏎    def __del__(self): open("{target}", "w")⏎A()
try:⏎    1/0⏎except Exception as e:⏎    print(e.__traceback__.tb_frame.f_globals)
try:⏎    llm_query()⏎except Exception as e:⏎    print(e.__traceback__, e.__context__, e.__cause__)
llm_query.__globals__
llm_query.__self__
llm_query.__closure__[0].cell_contents
llm_query.__code__
print(llm_query, repr(llm_query), str(llm_query))
llm_query(prompt=lambda: 0)
llm_query(llm_query)
llm_query({"a": print})
llm_query("x" * 1_000_000)
llm_query([[[[[[]]]]]])
llm_query(*range(1000))
llm_query(**{"__class__": 1})
fails()
try:⏎    fails()⏎except Exception as e:⏎    print(repr(e), e.args)
try:⏎    fails()⏎except BaseException as e:⏎    print(str(e))
not_a_tool("x")
_ll_show = open; _ll_show("{file}")
_ll_bound = None; print(list(map(str.strip, ["a"])))
_ll_methods["strip"] = lambda *a: open("{file}").read(); print(list(map(str.strip, ["a"])))
compile("1", "x", "exec")
exec("import os; os.system('touch {target}')")
eval(compile("1", "", "eval"))
import builtins; builtins.open("{file}")
import types; types.FunctionType
import ast; ast.literal_eval("1")
import dis; dis.dis(print)
import weakref
from os import *
from .. import secrets
import rlm.errors
from rlm.sandbox import build
import api.settings.settings
"""

TIME = r"""
while True: pass
while True:⏎    try:⏎        while True: pass⏎    except BaseException: pass
while True:⏎    try:⏎        1/0⏎    finally:⏎        continue
for i in iter(int, 1): pass
for i in range(10**12): pass
sum(range(10**12))
[i for i in range(10**9)]
x = 3⏎while True: x = x * x
2 ** (10 ** 9)
10 ** 10 ** 8 % 7
str(9 ** 5_000_000)
int("9" * 5_000_000)
import re; re.match(r"(a+)+$", "a" * 40 + "b")
import re; re.match(r"(a|aa)+$", "a" * 60 + "b")
import re; re.match(r"(.*a){30}", "a" * 40)
import re; re.search(r"(\w+)\1\1$", "ab" * 5000)
import re; re.sub("(x+x+)+y", lambda m: "", "x" * 40)
import time; time.sleep(10 ** 9)
import time⏎while True: time.sleep(1000)
import asyncio; asyncio.run(asyncio.sleep(10 ** 9))
import itertools; list(itertools.count())
import itertools; sum(1 for _ in itertools.cycle([1]))
import itertools; list(itertools.permutations(range(30)))
import itertools; list(itertools.product(range(1000), repeat=5))
sorted(range(10**8), key=lambda x: -x)
def f(n): return f(n - 1) + f(n - 1) if n else 1⏎f(100)
import functools; functools.reduce(lambda a, b: a + b, [[1]] * 10**7)
"a" * 10**6 in "b" * 10**7 + "a" * 10**5
import decimal; decimal.getcontext().prec = 10**9; decimal.Decimal(2).sqrt()
import random; random.sample(range(10**9), 10**8)
def g():⏎    while True:⏎        yield 1⏎list(g())
while True: llm_query("x")
while True:⏎    try:⏎        llm_query("x")⏎    except BaseException:⏎        pass
while True: undefined_name_x = locals()
"""

MEMORY = r"""
"x" * 10**10
[0] * 10**10
b"x" * 10**10
x = []⏎while True: x.append(x[:])
x = "a"⏎while True: x += x
x = [1]⏎while True: x = x + x
x = {}⏎i = 0⏎while True:⏎    i += 1⏎    x[i] = "y" * 1000
list(range(10**9))
set(range(10**9))
dict.fromkeys(range(10**9))
tuple(range(10**9))
"".join(["x" * 10**6] * 10**5)
"x".ljust(10**11)
"x".zfill(10**11)
f"{1:>10000000000}"
"%10000000000d" % 1
"{:>10000000000}".format(1)
"a".replace("a", "b" * 10**9)
"ab" * 10**9 + "c"
[[0] * 10**6 for _ in range(10**6)]
bytes(10**11)
bytearray(10**11)
1 << 10**11
import itertools; list(itertools.repeat(0, 10**10))
import json; json.loads("[" * 10**6)
import json; json.dumps("x" * 10**9)
x = []⏎x.append(x)⏎print(x)
import copy; copy.deepcopy([[0] * 10**6] * 10**4)
import re; re.sub("", "x" * 10**6, "y" * 10**6)
"a,b" .split(",") * 10**10
import collections; collections.Counter(range(10**9))
import collections; collections.deque(range(10**9))
"""

OUTPUT = r"""
while True: print("x" * 10**5)
for i in range(10**9): print(i)
print("x" * 10**7)
"x" * 10**7
print("\x00" * 1000, "\x1b[2J\x1b]0;owned\x07", "\r\n" * 1000)
print("\ud800")
print(*range(10**6))
list(range(10**6))
import sys⏎while True: print("e" * 10**4, file=sys.stderr)
raise ValueError("x" * 10**7)
raise KeyError("{file}" * 10**5)
assert False, "x" * 10**6
"""

RECURSION = r"""
def f(): return f()⏎f()
def f():⏎    try:⏎        return f()⏎    except RecursionError:⏎        return f()⏎f()
f = lambda: f()⏎f()
class A:⏎    def __repr__(self): return repr(self)⏎print(A())
class A:⏎    def __eq__(self, other): return self == other⏎print(A() == A())
class A:⏎    def __getattr__(self, name): return getattr(self, name + "x")⏎A().x
class A:⏎    def __str__(self): return f"{self}"⏎str(A())
x = []⏎for _ in range(10**5): x = [x]⏎print(x)
x = {}⏎for _ in range(10**5): x = {"x": x}⏎repr(x)
x = ()⏎for _ in range(10**5): x = (x,)⏎hash(x)
x = []⏎for _ in range(10**5): x = [x]⏎x == x
x = []⏎for _ in range(10**5): x = [x]⏎llm_query(x)
import json⏎x = []⏎for _ in range(10**5): x = [x]⏎json.dumps(x)
import copy⏎x = []⏎for _ in range(10**5): x = [x]⏎copy.deepcopy(x)
eval("(" * 5000 + ")" * 5000)
eval("-" * 100000 + "1")
eval("[" * 90 + "]" * 90)
exec("if 1:\n" * 99)
import functools⏎f = print⏎for _ in range(10**4): f = functools.partial(f)⏎f()
"""

# Built here because their text is longer than what they do.
SOURCES = (
    "(" * 10_000 + ")" * 10_000,
    "-" * 90_000 + "1",
    "not " * 20_000 + "1",
    "x" + ".a" * 30_000,
    "x" + "[0]" * 30_000,
    "x" + "()" * 30_000,
    "1" + "+1" * 40_000,
    "lambda: " * 10_000 + "1",
    "a = " * 20_000 + "1",
    "if 1:\n" + "".join(" " * n + "if 1:\n" for n in range(1, 300)) + " " * 301 + "pass",
    "x = '" + "\\x00" * 20_000 + "'",
    "\x00",
    "\ud800",
    "x = 1\n" * 200_000,
    "f'" + "{" * 200 + "}" * 200 + "'",
    "async def f():\n    await f()\nawait f()",
    "1 if 1 else " * 8_000 + "1",
    "[x for x in " * 99 + "1" + "]" * 99,
    "",
    "#" * 90_000,
)


def hostile_programs() -> list[tuple[str, str]]:
    """Each with the theme it belongs to; `⏎` in a line of the lists above ends a line of the program."""
    themes = {
        "files": FILES,
        "network": NETWORK,
        "environment": ENVIRONMENT,
        "introspection": INTROSPECTION,
        "time": TIME,
        "memory": MEMORY,
        "output": OUTPUT,
        "recursion": RECURSION,
    }
    listed = [
        (theme, line.replace("⏎", "\n")) for theme, lines in themes.items() for line in lines.strip().splitlines()
    ]
    return listed + [("source", source) for source in SOURCES]
