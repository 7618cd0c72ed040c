"""Plan a model that has no memory, shard it, and start each shard alone; the weights are the same on any number.

Alone, or on four processes: torchrun --nproc-per-node 4 examples/03_start_a_sharded_model.py
"""

import hashlib

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

import fanin

alone = not dist.is_torchelastic_launched()
dist.init_process_group("gloo", **({"store": dist.HashStore(), "rank": 0, "world_size": 1} if alone else {}))

with torch.device("meta"):
    net = nn.Sequential(nn.Linear(512, 1000), nn.GELU(), nn.Linear(1000, 10))
plan = fanin.plan(net, torch.zeros(1, 512))

fully_shard(net, mesh=init_device_mesh("cpu", (dist.get_world_size(),)))
net.to_empty(device="cpu")
fanin.initialize_(net, recipe=plan, seed=0)  # nothing is sent

whole = [p.full_tensor().detach().numpy() for p in net.parameters()]  # this gathers, for the proof alone
if dist.get_rank() == 0:
    mine = tuple(net.get_parameter("0.weight").to_local().shape)
    digest = hashlib.sha256(b"".join(w.tobytes() for w in whole)).hexdigest()
    print(f"{dist.get_world_size()} process(es), {mine} of 0.weight in the first; all weights: {digest[:16]}")
dist.destroy_process_group()
