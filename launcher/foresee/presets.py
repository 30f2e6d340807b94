"""How often nodes failed in published trainings, as interruptions a node-day.

Only what a source states is here; nodes of eight GPUs each throughout. `docs/foresee.md` shows the
same table.

- llama3: 419 unexpected interruptions in 54 days on 16,384 H100 GPUs. Meta, "The Llama 3 Herd of
  Models", 2024, section 3.3.4 (arXiv 2407.21783).
- rsc1, rsc2: 6.50 and 2.34 failures per 1,000 node-days on Meta's research clusters of 16,000 and
  8,000 A100 GPUs, over 11 months. Kokolis et al., "Revisiting Reliability in Large-Scale Machine
  Learning Research Clusters", HPCA 2025 (arXiv 2410.21680).
- opt175b: about 2 machines a day went down of those of 992 A100 GPUs. Zhang et al., "175B Training
  Run Completed", 2022 (facebookresearch/metaseq, projects/OPT/chronicles/final_update.md); the GPUs
  by the paper, arXiv 2205.01068.
- bloom: 1 to 2 GPU failures a week (1.5 here) on about 400 A100 GPUs. Hugging Face, "The Technology
  Behind BLOOM Training", 2022 (huggingface.co/blog/bloom-megatron-deepspeed).
"""

from dataclasses import dataclass

GPUS_PER_NODE = 8


@dataclass(frozen=True)
class Preset:
    """A published rate.

    Attributes:
        name: As `--failures` takes it.
        interruptions: That were counted.
        days: In so many days.
        gpus: On so many GPUs.
        of: Which training or cluster, and where that stands.
    """

    name: str
    interruptions: float
    days: float
    gpus: float
    of: str

    @property
    def per_node_day(self) -> float:
        """Interruptions of a node in a day."""
        return self.interruptions / (self.days * self.gpus / GPUS_PER_NODE)


PRESETS = {
    preset.name: preset
    for preset in (
        Preset("llama3", 419, 54, 16_384, "Llama 3 405B, arXiv 2407.21783"),
        Preset("rsc1", 6.50, 1, 1_000 * GPUS_PER_NODE, "Meta's RSC-1, arXiv 2410.21680"),
        Preset("rsc2", 2.34, 1, 1_000 * GPUS_PER_NODE, "Meta's RSC-2, arXiv 2410.21680"),
        Preset("opt175b", 2, 1, 992, "OPT-175B, metaseq's chronicles, 2022"),
        Preset("bloom", 1.5, 7, 400, "BLOOM, Hugging Face's blog, 2022"),
    )
}
