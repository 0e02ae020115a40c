"""What `make test` runs side by side, and what one after the other."""

import pytest

from tests.runner import parts


@pytest.mark.parametrize(
    ("paths", "shared", "alone"),
    [
        (["tests/unit", "tests/e2e"], ["tests/unit"], ["tests/e2e"]),
        (["tests/integration/service/test_line.py"], ["tests/integration/service/test_line.py"], []),
        (["tests/faults/test_test_bed.py::test_x"], [], ["tests/faults/test_test_bed.py::test_x"]),
    ],
)
def test_only_tests_without_a_cluster_run_side_by_side(paths, shared, alone):
    assert parts(paths) == (shared, alone)


@pytest.mark.parametrize("folder", ["tests/integration", "tests/integration/"])
def test_folder_with_both_kinds_is_parted_and_nothing_of_it_is_lost(folder):
    shared, alone = parts([folder])
    assert shared == ["tests/integration/service"]
    assert "tests/integration/operator" in alone
