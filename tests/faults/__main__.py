"""The long form: ``python -m tests.faults --kills 600 --seed 1``."""

import argparse
import collections
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.campaigns import CAMPAIGNS, Tally, carry_out
from tests.faults.uninterrupted import expect

ROW = "{:<56} {:>8} {:>8} {:>6} {:>8}"


def arguments():
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=600, help="over all campaigns (600)")
    parser.add_argument("--seed", type=int, default=1, help="of the random choices (1)")
    parser.add_argument("--only", default="", help="campaigns whose name holds this")
    return parser.parse_args()


def report(tallies, met):
    """Print what the readers met and the sum of all campaigns."""
    injected, survived = (sum(getattr(t, n) for t in tallies) for n in ("injected", "survived"))
    lost = [text for t in tallies for text in t.lost]
    calls = sum(t.calls for t in tallies)
    print(ROW.format("all", injected, survived, calls, len(lost)))
    redone = sum(t.completed for t in tallies)
    print(f"\nHalf-made amendments that the next opening completed: {redone}")
    for what, count in sorted(met.items()):
        print(f"Readers: {what}: {count}")
    for text in lost:
        print(f"\nLOST: {text}", file=sys.stderr)
    return 1 if lost or survived < injected else 0


def main():
    options = arguments()
    folder = Path(tempfile.mkdtemp(prefix="cubefit-faults-"))
    print(f"Seed {options.seed}, files in {folder}")
    expected = expect(folder / "expected")
    chosen = [c for c in CAMPAIGNS if options.only in c.name]
    whole = sum(c.share for c in chosen)
    tallies: list[Tally] = []
    met: collections.Counter = collections.Counter()
    print(ROW.format("fault", "injected", "survived", "calls", "seconds"))
    for number, campaign in enumerate(chosen):
        started = time.monotonic()
        kills = max(1, -(-options.kills * campaign.share // whole))
        place = folder / str(number)
        tally = carry_out(campaign, expected, place, kills=kills, seed=options.seed)
        seconds = f"{time.monotonic() - started:.1f}"
        print(
            ROW.format(campaign.name, tally.injected, tally.survived, tally.calls, seconds),
            flush=True,
        )
        met.update(tally.met)
        tallies.append(tally)
    code = report(tallies, met)
    if not code:
        shutil.rmtree(folder)
    return code


if __name__ == "__main__":
    sys.exit(main())
