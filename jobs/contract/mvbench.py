"""The 20 tasks of MVBench: what their files are called and where their media lie, as data.

Source: MVBench (arXiv 2311.17005), its folder on Hugging Face (OpenGVLab/MVBench) and
video_chat2/mvbench.ipynb of the reference. Under one root: `json/` with the questions, `video/`
with the media.
"""

from typing import NamedTuple

QUESTIONS, MEDIA = "json", "video"
FRAMES_PER_S = 3.0
"""Of TVQA's folders of frames."""


class MVBenchTask(NamedTuple):
    """One task.

    Attributes:
        file: Its questions, below `json/`.
        media: Its media folder, below `video/`.
        bounds: The questions are about the part from `start` to `end`; else what the rows
            say there is not meant.
        fps: Frames a second where each clip is a folder of frames; None: it is a file.
    """

    file: str
    media: str
    bounds: bool = False
    fps: float | None = None


_STAR = "star/Charades_v1_480"
_CLEVRER = "clevrer/video_validation"
_PERCEPTION = "perception/videos"

MVBENCH: dict[str, MVBenchTask] = {
    "Action Sequence": MVBenchTask("action_sequence.json", _STAR, bounds=True),
    "Action Prediction": MVBenchTask("action_prediction.json", _STAR, bounds=True),
    "Action Antonym": MVBenchTask("action_antonym.json", "ssv2_video"),
    "Fine-grained Action": MVBenchTask("fine_grained_action.json", "Moments_in_Time_Raw/videos"),
    "Unexpected Action": MVBenchTask("unexpected_action.json", "FunQA_test/test"),
    "Object Existence": MVBenchTask("object_existence.json", _CLEVRER),
    "Object Interaction": MVBenchTask("object_interaction.json", _STAR, bounds=True),
    "Object Shuffle": MVBenchTask("object_shuffle.json", _PERCEPTION),
    "Moving Direction": MVBenchTask("moving_direction.json", _CLEVRER),
    "Action Localization": MVBenchTask("action_localization.json", "sta/sta_video", bounds=True),
    "Scene Transition": MVBenchTask("scene_transition.json", "scene_qa/video"),
    "Action Count": MVBenchTask("action_count.json", _PERCEPTION),
    "Moving Count": MVBenchTask("moving_count.json", _CLEVRER),
    "Moving Attribute": MVBenchTask("moving_attribute.json", _CLEVRER),
    "State Change": MVBenchTask("state_change.json", _PERCEPTION),
    "Fine-grained Pose": MVBenchTask("fine_grained_pose.json", "nturgbd"),
    "Character Order": MVBenchTask("character_order.json", _PERCEPTION),
    "Egocentric Navigation": MVBenchTask("egocentric_navigation.json", "vlnqa"),
    "Episodic Reasoning": MVBenchTask(
        "episodic_reasoning.json", "tvqa/frames_fps3_hq", bounds=True, fps=FRAMES_PER_S
    ),
    "Counterfactual Inference": MVBenchTask("counterfactual_inference.json", _CLEVRER),
}
"""By name, in the order of the paper."""
