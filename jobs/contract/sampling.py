"""How a recipe says which frames of a clip are taken; `jobs.data.sampling` takes them."""

SAMPLE = r"^(rand|rand_reference|middle|mvbench|start\d+|fps(\d*[1-9]\d*(\.\d+)?|0+\.\d*[1-9]\d*))$"
"""The word of a mode, some with a number behind it."""
