"""An object's clicks as the server is told them: in steps, with clicks on other objects as negatives."""

from inference_server.wire.clicks import MOST_OTHERS, in_steps
from inference_server.wire.protocol import Click


def at(x, vertex=-1, positive=True, joined=False):
    return Click((float(x), 0.0, 0.0), positive, vertex, joined)


def test_clicks_of_one_action_are_joined():
    assert in_steps([[at(0), at(1)], [at(2)]]) == [at(0), at(1, joined=True), at(2)]


def test_a_step_begins_with_the_other_objects_clicks_near_it_as_negatives():
    told = in_steps([[at(0)]], [at(0.9, 7), at(3.0, 8), at(0.5, 9)], reach=1.0)
    assert told == [at(0.5, 9, False), at(0.9, 7, False, True), at(0, joined=True)]


def test_what_was_told_stays_where_it_is():
    """So that the answer to the steps before is still that to a part of the list."""
    others = [at(0.5, 1), at(2.5, 2)]
    first = in_steps([[at(0)]], others, reach=1.0)
    both = in_steps([[at(0)], [at(2)]], others, reach=1.0)
    assert both[: len(first)] == first
    assert both[len(first) :] == [at(2.5, 2, False), at(2, joined=True)]


def test_no_more_than_a_few_are_told_the_nearest_first():
    many = [at(x / 100, x) for x in range(20)]
    told = [click.vertex for click in in_steps([[at(0)], [at(0.1)]], many, reach=1.0) if not click.positive]
    assert told == list(range(MOST_OTHERS))
