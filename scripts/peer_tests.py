"""Run a peer's own published tests of its initializers on fanin's drop-in for them.

    python scripts/peer_tests.py jax path/to/jax/tests/nn_test.py
    python scripts/peer_tests.py torch path/to/pytorch/test/nn/test_init.py     needs expecttest and scipy

The file is the peer's, from the source of the release that is installed; it is not part of this repository. Before it
is imported, every name of the peer's module is replaced with the drop-in's, and a name that the drop-in does not have
is an error. `--original` replaces nothing: what then fails is not the drop-in's fault.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Peer:
    """Whose tests they are.

    Attributes:
        drop_in: fanin's module.
        replaced: the modules whose public names the drop-in takes over.
        tests: the part of the peer's file to run, as an expression of `pytest -k`.
        faults: tests that hold the peer to what fanin takes for a fault, with the reason; they are left out.
    """

    drop_in: str
    replaced: tuple[str, ...]
    tests: str
    faults: dict[str, str]


PEERS = {
    "torch": Peer("fanin.compat.torch", ("torch.nn.init",), "TestNNInit", {}),
    "jax": Peer("fanin.compat.jax", ("jax.nn.initializers",), "NNInitializersTest", {}),
}


def substitute(peer: Peer) -> int:
    """Put the drop-in's names in the place of the peer's; how many."""
    drop_in, count = importlib.import_module(peer.drop_in), 0
    for module in map(importlib.import_module, peer.replaced):
        for name in getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")]):
            setattr(module, name, getattr(drop_in, name))
            count += 1
    return count


def main() -> int:
    """The exit code of pytest."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("file", help="the peer's test file")
    parser.add_argument("--original", action="store_true", help="run it on the peer itself")
    arguments = parser.parse_args()
    peer: Peer = PEERS[arguments.peer]
    if not arguments.original:
        print(f"{substitute(peer)} names of {', '.join(peer.replaced)} are now those of {peer.drop_in}.")
    left_out = [f"--deselect={test}" for test in peer.faults]
    sys.argv = sys.argv[:1]  # test files parse flags of their own
    return pytest.main([arguments.file, "-k", peer.tests, "-q", "-c", os.devnull, "-p", "no:cacheprovider", *left_out])


if __name__ == "__main__":
    sys.exit(main())
