"""What runs on the GPUs: one task per GPU, one short file per stage, one trainer."""
