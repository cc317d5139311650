"""The hooks of a run: made once for the same applications around the same foreign objects, and not kept without end."""

import pytest
from pack.ipadapter_core.patchers.hooks.hook_cache import AT_MOST, cached_hooks
from pack.ipadapter_core.sampling.application import Application
from pack.ipadapter_core.sampling.run import Run

pytestmark = pytest.mark.engine


def application():
    return Application((), (), ())


def test_the_same_objects_have_the_same_hooks():
    """By identity: an equal application, or another one behind it, has hooks of its own."""
    run, one, other, foreign = Run(), application(), application(), {"place": object()}
    hooks = cached_hooks(run, [one], foreign, object)
    assert cached_hooks(run, [one], dict(foreign), object) is hooks
    for applications, around in (
        ([other], foreign),
        ([one, other], foreign),
        ([one], {}),
        ([one], {"place": object()}),
    ):
        assert cached_hooks(run, applications, around, object) is not hooks
    assert cached_hooks(run, [one], foreign, object) is hooks


def test_only_the_last_sets_are_kept():
    """Other packs' guidance patches every call anew."""
    run, one = Run(), application()
    kept = [cached_hooks(run, [one], {"place": object()}, object) for _ in range(3 * AT_MOST)]
    assert [composed.hooks for composed in run.composed] == kept[-AT_MOST:]
