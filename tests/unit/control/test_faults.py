from __future__ import annotations

from svam_ros.control.faults import Fault, Finding, Reaction


def test_every_fault_has_a_text_of_its_own_and_a_reaction():
    assert len({fault.text for fault in Fault}) == len(Fault)
    assert all(isinstance(fault.reaction, Reaction) for fault in Fault)


def test_names_say_what_kind_of_fault_it_is():
    for fault in Fault:
        assert (fault.reaction is Reaction.REFUSE) == fault.name.startswith("ENGAGE_"), fault
        if fault.name.startswith("CHUNK_"):
            assert fault.reaction is Reaction.REJECT


def test_a_finding_reads_as_one_sentence():
    finding = Finding(Fault.CHUNK_LATE, "its last step was due 40 ms ago")
    assert str(finding) == (
        "every step of a chunk was already past when it arrived: its last step was due 40 ms ago"
    )
