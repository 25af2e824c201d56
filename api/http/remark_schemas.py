"""The wire model of a remark of the service."""

from typing import Any

from api.http.wire import Wire


class RemarkOut(Wire):
    """A remark in English, or a part of one, with a stable code, so that a program can say it in another language.

    A value is a text, a number, a remark, or a list of texts and remarks. Values of the code `problem` are the code of
    an error and its `detail`.
    """

    code: str
    values: dict[str, Any]
    text: str
