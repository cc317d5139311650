"""The names of our errors, as API clients see them, and that they can be sent from one process to another."""

import copy
import pickle

import pytest
from execution import full_type_name  # ComfyUI's own: what it sends as exception_type
from pack.ipadapter_core import errors, import_name

pytestmark = pytest.mark.inputs

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.IPAdapterError)]


@pytest.fixture(autouse=True)
def published():
    """As they are once ComfyUI has loaded the pack."""
    import_name.publish()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_api_clients_read_the_same_name_in_every_installation(kind):
    """The folder that the pack lies in is not part of it."""
    assert full_type_name(kind) == f"ipadapter_core.errors.{kind.__name__}"
    assert kind.__doc__ and kind.__module__ != errors.__name__


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_errors_can_be_pickled_and_copied(kind):
    """With their words and whatever was noted on them."""
    error = kind("found 1, expected 2")
    error.noted = "here"
    for again in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error), copy.copy(error)):
        assert type(again) is kind and again.args == error.args and again.noted == "here"


def test_an_error_of_another_pack_keeps_its_own_name():
    """A subclass elsewhere is pickled as Python does it."""
    assert Foreign.__module__ == __name__
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(type("Local", (errors.InputError,), {})("a"))


class Foreign(errors.InputError):
    """Made outside of the pack."""
