"""What the sandbox of unit tests has in common with the real ones."""

import pytest

from rlm.sandbox.port import Sandbox
from tests.contract.test_sandbox import (  # noqa: F401 - the tests, and the fixture that they use
    LIMITS,
    opened,
    test_a_closed_session_is_lost_and_closing_twice_is_no_error,
    test_a_tool_called_wrongly_says_how_it_is_called,
    test_an_error_is_told_with_its_line_and_what_was_printed_before_it_is_kept,
    test_exceptions_and_objects_of_the_host_do_not_leak,
    test_half_a_character_from_a_tool_is_one_that_cannot_be_read,
    test_output_is_kept_to_its_head_and_tail,
    test_sessions_of_several_threads_do_not_mix,
    test_sessions_share_nothing,
    test_syntax_errors_are_told_as_python_tells_them,
    test_the_last_expression_is_shown_and_none_is_not,
    test_tools_can_be_passed_on_like_functions,
    test_tools_get_and_return_plain_values,
    test_variables_live_from_cell_to_cell,
    test_what_a_tool_says_reaches_the_code,
)
from tests.fakes.sandbox_here import SandboxHere


@pytest.fixture
def sandbox() -> Sandbox:
    return SandboxHere(LIMITS)
