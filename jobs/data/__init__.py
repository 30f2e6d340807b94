"""Media files, their texts, and the order in which a run sees them."""
