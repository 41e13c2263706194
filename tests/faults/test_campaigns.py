"""The bounded form of ``python -m tests.faults``: a few kills of every kind."""

import pytest

from tests.faults.campaigns import CAMPAIGNS, carry_out


@pytest.mark.parametrize("campaign", CAMPAIGNS, ids=lambda campaign: campaign.name)
def test_nothing_is_lost(campaign, expected, tmp_path):
    kills = max(3, campaign.share // 15)
    tally = carry_out(campaign, expected, tmp_path / "faults", kills=kills, seed=1)
    assert not tally.lost, "\n".join(tally.lost)
    assert tally.survived == tally.injected == kills
    assert not campaign.readers or tally.met["looks"] > 0
