"""Results of trials survive a kill and an editor."""

import pytest

from taskroute.pipeline.experiments.trial import TrialResult
from taskroute.pipeline.experiments.trial_file import TrialFile


def result(key):
    return TrialResult(key=key, seed=1)


@pytest.fixture
def path(tmp_path):
    file = TrialFile(tmp_path / "new" / "trials.jsonl", TrialResult)
    for key in ("one", "\N{GREEK SMALL LETTER ALPHA}"):
        file.add(result(key))
    return tmp_path / "new" / "trials.jsonl"


def keys(path):
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line]


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 10])
def test_a_line_that_was_cut_anywhere_costs_no_other(path, cut):
    path.write_bytes(path.read_bytes()[:-cut])
    TrialFile(path, TrialResult).add(result("three"))
    again = TrialFile(path, TrialResult)
    assert again.find("one") == result("one")
    assert again.find("three") == result("three")
    whole = cut == 1  # the end of the line alone
    assert (again.find("\N{GREEK SMALL LETTER ALPHA}") is not None) == whole
    assert len(keys(path)) == (3 if whole else 2)


def test_the_last_line_of_a_key_counts(path):
    TrialFile(path, TrialResult).add(result("one"))
    assert TrialFile(path, TrialResult).find("one") == result("one")
