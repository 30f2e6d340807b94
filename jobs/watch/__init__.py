"""How a training run watches itself: speed, use of the device, ranks that lag behind."""
