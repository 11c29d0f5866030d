from typing import get_args

from configs.models import FamilyName
from deployments import FAMILIES


def test_every_family_of_the_registry_has_an_entry():
    assert set(FAMILIES) == set(get_args(FamilyName))


def test_both_image_to_video_families_share_a_deployment():
    assert FAMILIES["wan_i2v"] == FAMILIES["ltx_i2v"]
