"""Each test that takes `values` or `objects` runs for every set of values."""

import pytest

from chart import VALUE_SETS, render


@pytest.fixture(params=VALUE_SETS)
def values(request):
    return request.param


@pytest.fixture
def objects(values):
    return render(values)
