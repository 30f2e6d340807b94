"""How a stage's weights are evaluated: choices, retrieval, captions."""
