"""Small tensors on many workers: more than one thread of torch each only makes them wait for one another."""

import torch

torch.set_num_threads(1)
