"""What an application puts into a model: into a clone of it, under our name."""

import pytest
from pack.ipadapter_core.patchers.families.unet import compose
from pack.ipadapter_core.patchers.hooks.wrappers import NAME, add_application, applications_of
from pack.ipadapter_core.sampling.application import Application
from pack.tests.oracles.recorded_passes import short_model

pytestmark = pytest.mark.engine


def test_an_application_goes_into_a_clone():
    """The model that went in has neither the application nor a wrapper; the second goes behind the first."""
    model, first, second = short_model(), Application((), (), ()), Application((), (), ())
    one = add_application(model, first, compose)
    both = add_application(one, second, compose)
    found = [applications_of(each.model_options["transformer_options"]) for each in (model, one, both)]
    assert found == [[], [first], [first, second]]
    assert not any(NAME in keys for keys in model.wrappers.values())
