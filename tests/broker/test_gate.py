"""What the gate promises."""

from __future__ import annotations

import threading

import pytest
from broker_bench import eventually

from shared.broker.gate import ClosedError, Gate


def _enter_aside(gate: Gate, *, alone: bool) -> tuple[threading.Thread, threading.Event]:
    entered = threading.Event()

    def enter() -> None:
        try:
            gate.enter(alone=alone)
        except ClosedError:
            return
        entered.set()

    thread = threading.Thread(target=enter)
    thread.start()
    return thread, entered


def test_many_are_inside_together() -> None:
    gate = Gate()
    gate.enter(alone=False)
    gate.enter(alone=False)
    gate.leave()
    gate.leave()


def test_who_is_alone_waits_for_all_others_and_they_for_it() -> None:
    gate = Gate()
    gate.enter(alone=False)
    lone, lone_entered = _enter_aside(gate, alone=True)
    assert eventually(lambda: gate._waiting_alone == 1)
    later, later_entered = _enter_aside(gate, alone=False)

    assert not lone_entered.wait(0.05)
    gate.leave()
    assert lone_entered.wait(30)
    assert not later_entered.wait(0.05)
    gate.leave()
    assert later_entered.wait(30)
    gate.leave()
    lone.join()
    later.join()


def test_two_suspects_take_turns() -> None:
    gate = Gate()
    gate.enter(alone=True)
    second, second_entered = _enter_aside(gate, alone=True)

    assert not second_entered.wait(0.05)
    gate.leave()
    assert second_entered.wait(30)
    second.join()


def test_a_closed_gate_turns_away_who_waits_and_who_comes() -> None:
    gate = Gate()
    gate.enter(alone=False)
    waiting, entered = _enter_aside(gate, alone=True)
    assert eventually(lambda: gate._waiting_alone == 1)
    gate.close()
    waiting.join(30)

    assert not entered.is_set()
    with pytest.raises(ClosedError):
        gate.enter(alone=False)
    gate.open()
    gate.enter(alone=False)
