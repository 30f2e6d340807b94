"""VideoChat2: video encoder, QFormer, projector, language model; no launcher, no trainer."""
