"""Each profile says only what this release of vLLM knows."""

import subprocess
from pathlib import Path

import pytest

from tests.support.vllm_server import VLLM, vllm_python

_CHECK = """
import sys
from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = make_arg_parser(FlexibleArgumentParser())
for profile in sys.argv[1:]:
    args = parser.parse_args(["--config", profile, *([] if "cpu" not in profile else ["--model", "none"])])
    validate_parsed_serve_args(args)
    print(profile, args.model)
"""


def test_every_option_of_every_profile_is_one_of_vllm(tmp_path: Path) -> None:
    profiles = sorted(map(str, (VLLM / "profiles").glob("*.yaml")))
    done = subprocess.run([vllm_python(), "-c", _CHECK, *profiles], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count(".yaml ") == len(profiles)


@pytest.mark.parametrize("option", ["--trust-remote-code", "--host=0.0.0.0"])
def test_what_is_not_safe_does_not_start(option: str, tmp_path: Path) -> None:
    command = [vllm_python(), str(VLLM / "start.py"), str(VLLM / "profiles" / "cpu.yaml"), option]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert option.partition("=")[2] in done.stderr
