"""Each cluster has a slot of its own, whoever asks and however often."""

import ipaddress
import subprocess
import sys

import pytest

from tests.cluster import slots
from tests.cluster.slots import SLOTS, NoFreeSlot, Owner, Slot, claim, find, owned_by_clone, release


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("AIAPP_CLUSTERS", str(tmp_path))


def test_a_slot_is_kept_until_it_is_given_back():
    one, two = Owner("/a", "demo"), Owner("/a", "test")
    assert find(one) is None
    assert claim(one) == claim(one) == Slot(0)
    assert claim(two) == Slot(1)
    assert owned_by_clone("/a") == [(Slot(0), "demo"), (Slot(1), "test")]
    release(Slot(0))
    assert find(one) is None
    assert claim(Owner("/b", "demo")) == Slot(0)


def test_half_written_owner_is_nobody(tmp_path):
    (tmp_path / "0.owner").write_text('{"clone": "/a", "na')
    assert claim(Owner("/a", "demo")) == Slot(0)


def test_all_taken_says_what_to_do():
    for number in range(SLOTS):
        claim(Owner(f"/{number}", "demo"))
    with pytest.raises(NoFreeSlot, match="make down"):
        claim(Owner("/one-more", "demo"))


def test_claims_of_several_processes_differ(tmp_path):
    code = "import sys; from tests.cluster.slots import Owner, claim; print(claim(Owner(sys.argv[1], 'x')).number)"
    running = [
        subprocess.Popen([sys.executable, "-c", code, f"/{n}"], stdout=subprocess.PIPE, text=True) for n in range(6)
    ]
    numbers = [process.communicate()[0].strip() for process in running]
    assert sorted(numbers) == [str(n) for n in range(6)]


def test_ranges_of_slots_do_not_overlap():
    ranges = [ipaddress.ip_network(text) for n in range(SLOTS) for text in (Slot(n).pod_range, Slot(n).service_range)]
    for number, network in enumerate(ranges):
        assert not any(network.overlaps(other) for other in ranges[number + 1 :])
        assert network.is_private
    assert all(len(Slot(n).host_link) <= 15 for n in range(SLOTS)), "the kernel's limit for names of links"
    assert slots.SLOTS == SLOTS
