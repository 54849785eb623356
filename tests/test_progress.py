"""Messages and progress bars."""

from __future__ import annotations

import re
import signal
import sys

import pytest

from medbench import progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(progress.time, "perf_counter", lambda: Clock.now)
    return Clock


def test_messages_go_to_standard_error_unless_quiet(capsys):
    progress.say("one")
    with progress.quiet():
        assert progress.is_quiet()
        progress.say("two")
        with progress.quiet(False):
            progress.say("three")
    assert not progress.is_quiet()
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "one\nthree\n")


def test_messages_are_logged_with_the_time_even_if_quiet(tmp_path, capsys):
    file = tmp_path / "deep" / "log.txt"
    with progress.logged(file), progress.quiet():
        progress.say("one")
        progress.say("two")
    progress.say("after")
    lines = file.read_text(encoding="utf-8").splitlines()
    assert [re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", "", line) for line in lines] == ["one", "two"]
    assert all(line not in ("one", "two") for line in lines), "each has its time"
    with progress.logged(tmp_path / "none.txt", wanted=False):
        progress.say("not logged")
    assert not (tmp_path / "none.txt").exists()
    assert capsys.readouterr().err == "after\nnot logged\n"


def test_outside_a_terminal_a_line_comes_every_twenty_seconds(capsys, clock):
    with progress.bar("hashing", 1000, "files", done=200) as advance:
        advance(100)
        assert capsys.readouterr().err == "", "too early"
        clock.now += progress.PLAIN_EVERY
        advance(100, "kappa 0.7")
        # 200 of this block in 20 s: 10 a second; 600 are left
        assert capsys.readouterr().err == "hashing: 400/1,000 files, 10.0/s, 60 s left; kappa 0.7\n"
        clock.now += progress.PLAIN_EVERY - 1
        advance(100)
        assert capsys.readouterr().err == ""
        clock.now += 1
        advance(0, "a note is no step")
        assert capsys.readouterr().err == ""
        advance(100)
        assert capsys.readouterr().err == "hashing: 600/1,000 files, 10.0/s, 40 s left; a note is no step\n"


def test_quiet_shows_no_bar(capsys, clock):
    with progress.quiet(), progress.bar("hashing", 10) as advance:
        clock.now += 1000
        advance(5, "note")
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_it_is_a_bar_with_count_rate_and_note(capsys, clock, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    with progress.bar("training", 10, "epochs", done=2) as advance:
        clock.now += 2
        advance(4, "kappa 0.7")
    shown = capsys.readouterr()
    assert shown.out == ""
    for part in ("training", "6/10", "2.0 epochs/s", "kappa 0.7"):
        assert part in shown.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_at_once_but_steps_end_in_order(number, capsys):
    before = signal.getsignal(number)
    done = []

    def work():
        with progress.stoppable(), progress.steps() as to_stop:
            for step in range(5):
                if step == 2:
                    signal.raise_signal(number)
                done.append(step)
                if to_stop():
                    done.append("saved")
                    break

    with pytest.raises(progress.Stopped) as caught:
        work()
    assert caught.value.signal == number
    assert done == [0, 1, 2, "saved"]
    assert "stopping after this step" in capsys.readouterr().err
    with pytest.raises(progress.Stopped), progress.stoppable():
        signal.raise_signal(number)
    assert signal.getsignal(number) == before


def test_a_second_signal_does_not_wait():
    done = []

    def work():
        with progress.stoppable(), progress.steps():
            for _ in range(3):
                signal.raise_signal(signal.SIGINT)
                done.append("step")

    with pytest.raises(progress.Stopped):
        work()
    assert done == ["step"]


def test_steps_go_on_where_nothing_is_stoppable():
    with progress.steps() as to_stop:
        assert not to_stop()


def test_a_bar_inside_another_is_a_line_of_the_same_display(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    with progress.bar("all jobs", 2, "jobs") as outer:
        with progress._shown() as display:
            assert len(display.tasks) == 1
        with progress.bar("a name that is longer than the line of a terminal of eighty columns", 9) as inner:
            inner(3)
            assert [task.completed for task in display.tasks] == [0, 3]
            lines = display.console.render_lines(display.get_renderable(), pad=False)
            text = ["".join(piece.text for piece in line) for line in lines]
            assert len(text) == 2
            assert all(len(line) <= 80 for line in text)
            assert "3/9" in text[1]
            assert "images/s" in text[1]
        outer(1)
        assert [task.description for task in display.tasks] == ["all jobs"]
