"""The console script where a module of ours is missing."""

import sys

import pytest

from api.cli.start import main


def test_a_missing_module_of_ours_is_a_defect_and_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "api.cli.main", raising=False)
    monkeypatch.setitem(sys.modules, "api.cli.deferred", None)
    with pytest.raises(ModuleNotFoundError, match=r"api\.cli\.deferred"):
        main()
