"""From a specification to the model's configuration."""

import pytest

from jobs.build import model_config
from jobs.contract.spec import Model


@pytest.mark.parametrize("recompute", [False, True])
def test_recompute_reaches_the_video_encoder_and_the_language_model(recompute):
    config = model_config(Model(preset="tiny"), recompute=recompute)

    assert config.video_encoder.recompute is recompute
    assert config.language_model.recompute is recompute
