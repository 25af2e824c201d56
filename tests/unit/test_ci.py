"""The files that hosted CI and pre-commit read: valid, pinned, and with no more rights than they need."""

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())


def jobs(workflow: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(workflow.read_text())["jobs"]
    return found


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_follows_the_published_schema(workflow: Path) -> None:
    # The schema is in check-jsonschema's package, so nothing is fetched.
    schemas = resources.files("check_jsonschema").joinpath("builtin_schemas/vendor")
    schema = json.loads(schemas.joinpath("github-workflows.json").read_text())
    # YAML reads the key `on` as true.
    read = {("on" if key is True else key): value for key, value in yaml.safe_load(workflow.read_text()).items()}
    jsonschema.Draft7Validator(schema).validate(read)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_only_read_and_its_actions_are_pinned(workflow: Path) -> None:
    assert yaml.safe_load(workflow.read_text())["permissions"] == {"contents": "read"}
    steps = [step for job in jobs(workflow).values() for step in job["steps"]]
    used = [step["uses"] for step in steps if "uses" in step]
    assert [action for action in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action)] == []
    checkouts = [step for step in steps if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"] == {"persist-credentials": False} for step in checkouts)
    assert all("permissions" not in job and job["timeout-minutes"] for job in jobs(workflow).values())


def test_ci_tests_every_python_that_the_project_supports() -> None:
    (workflow,) = WORKFLOWS
    found = jobs(workflow)
    assert found["unit"]["strategy"]["matrix"]["python"] == ["3.12", "3.13"]
    assert found["everything"]["container"]["image"].startswith("python:3.11-")
    assert found["everything"]["steps"][-1] == {"run": "bash .ci/run"}


def test_hooks_are_programs_of_the_environment_and_fetch_nothing() -> None:
    (repository,) = HOOKS["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        assert hook["language"] == "system", hook["id"]
        assert hook["entry"].startswith(".venv/bin/"), hook["id"]
