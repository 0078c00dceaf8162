"""The pieces of `tools/train_starter.py`: draw pictures, build networks, train them, score them."""
