"""Training one net: the loop with a single seat at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from chainrule.core.events import Event
from chainrule.core.net import Net
from chainrule.core.stage import Stages
from chainrule.data.feed.shuffled import Feed
from chainrule.engine.consult import consulted
from chainrule.engine.group import Lone
from chainrule.engine.loop import Loop
from chainrule.engine.position import Settings, Validate
from chainrule.engine.seat import Seat
from chainrule.engine.stop import Stop
from chainrule.engine.store import Store


def train(stages: Stages, net: Net, feed_for: Callable[[int], Feed], validate: Validate, settings: Settings,
          store: Store | None = None, stop: Stop | None = None, at: int = 0) -> Iterator[Event]:
    """Train `net` in place through `stages`; at the end it holds the best weights seen. Yields events, the last `Finished`.

    `feed_for(stage)` gives the batches, `validate(learner)` the measures at each epoch's end. With a `store` that holds a checkpoint
    the run goes on from there, bit for bit as if it had never stopped. `at` numbers the first event.
    """
    return train_seat(Seat(stages, net, feed_for, validate, settings, store, stop, at))


def train_seat(seat: Seat) -> Iterator[Event]:
    """Train one seat; the events of its run, the last `Finished`. They can be closed, which ends the run where it is."""
    return (event for _, event in consulted(Loop(Lone(seat)).run()))
