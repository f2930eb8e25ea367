"""Events of long work are values: they compare, and cannot be changed by whoever hears of them."""

from dataclasses import FrozenInstanceError

import pytest

from deepinside.core.progress import Note, Progress


@pytest.mark.parametrize("event", [Progress("epoch 1", 3, 7), Note("2 classes")])
def test_events_are_values(event):
    assert event == type(event)(*vars(event).values())
    with pytest.raises(FrozenInstanceError):
        event.what = "other"
