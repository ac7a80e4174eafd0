import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_viz.trainer.schedule import Schedule

COUNTS = st.integers(1, 50)


def test_without_arguments_every_epoch_is_drawn():
    assert all(Schedule("me").at_epoch_end(finished) for finished in range(1, 20))


@given(COUNTS, COUNTS)
def test_every_n_epochs_follows_lightnings_rule(every, current_epoch):
    schedule = Schedule("me", every_n_epochs=every)
    assert schedule.at_epoch_end(current_epoch + 1) == ((current_epoch + 1) % every == 0)


@given(st.lists(st.integers(0, 50)), COUNTS)
def test_listed_epochs_are_drawn_and_no_others(epochs, finished):
    assert Schedule("me", epochs=epochs).at_epoch_end(finished) == (finished in epochs)


@given(COUNTS, st.integers(0, 200), st.integers(0, 20))
def test_a_step_is_drawn_when_a_multiple_is_reached_or_crossed(every, before, moved):
    schedule = Schedule("me", every_n_train_steps=every)
    crossed = any(step % every == 0 for step in range(before + 1, before + moved + 1))
    assert schedule.at_step(before, before + moved) == crossed


@given(st.integers(3, 50), st.lists(st.integers(0, 3)))
def test_each_multiple_is_drawn_once_however_the_counter_moves(every, moves):
    schedule, step, drawn = Schedule("me", every_n_train_steps=every), 0, 0
    for moved in moves:
        drawn += schedule.at_step(step, step + moved)
        step += moved
    assert drawn == step // every


@pytest.mark.parametrize("arguments", [{}, {"every_n_epochs": 1}, {"epochs": [1, 2, 3]}])
def test_epoch_schedules_never_draw_at_steps(arguments):
    assert not any(Schedule("me", **arguments).at_step(step, step + 1) for step in range(10))


def test_step_schedules_never_draw_at_epoch_ends():
    assert not any(Schedule("me", every_n_train_steps=1).at_epoch_end(finished) for finished in range(1, 10))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"every_n_epochs": 0}, r"^me\(every_n_epochs=0\): must be a whole number of 1 or more\.$"),
        ({"every_n_train_steps": -3}, r"^me\(every_n_train_steps=-3\): must be a whole number of 1 or more\.$"),
        ({"every_n_epochs": 1.5}, r"^me\(every_n_epochs=1.5\): must be a whole number of 1 or more\.$"),
        ({"epochs": [1, -1]}, r"^me\(epochs=\[1, -1\]\): must be a list of whole numbers of 0 or more\.$"),
        ({"epochs": [0.5]}, r"^me\(epochs=\[0.5\]\): must be a list of whole numbers of 0 or more\.$"),
        ({"every_n_epochs": 1, "epochs": [2]}, "^me: every_n_epochs and epochs exclude each other; give one\\.$"),
        ({"every_n_epochs": 1, "every_n_train_steps": 1}, "every_n_epochs and every_n_train_steps exclude each other"),
        ({"every_n_train_steps": 1, "epochs": []}, "every_n_train_steps and epochs exclude each other"),
    ],
)
def test_wrong_arguments_say_who_and_what(arguments, message):
    with pytest.raises(ValueError, match=message):
        Schedule("me", **arguments)
