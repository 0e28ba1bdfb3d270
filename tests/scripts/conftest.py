"""What all tests of the scripts share."""

import pytest

from places import ROOT


@pytest.fixture
def root():
    return ROOT
