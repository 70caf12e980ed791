#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""What users see when nodes are replaced, or die, under chat (`./dev bench rolling`).

Three nodes on a PostgreSQL of their own, pairs of clients with stream management on different nodes, one message a second each. First
a rolling restart of all three; then, with new clients, one is killed hard. Every message is accounted for.
usage: rolling.py BUILD [--pairs N] [--talk SECONDS] [--acknowledge routed|safe]"""
import argparse
import asyncio
import json
import os
import pathlib
import sys
import tempfile

TESTS = pathlib.Path(__file__).resolve().parents[2] / "tests" / "system"


def offline(cluster):
    import database
    with database.Connection(cluster.server.connect(cluster.database), True) as db:
        return db.execute("SELECT count(*) FROM offline_message").fetchone()[0]


def ports(cluster):
    return [n.port() for n in cluster.alive() if n is not getattr(cluster, "leaving", None)]


async def restart_all(cluster, load, talk):
    async with load:
        await asyncio.sleep(talk)
        for node in cluster.nodes:
            cluster.leaving = node
            node.process.terminate()
            await asyncio.to_thread(node.process.wait, 60)
            await asyncio.to_thread(cluster.start, node)
            cluster.leaving = None
            await asyncio.to_thread(cluster.wait_joined)
            await asyncio.sleep(talk)
        await load.finish()
        return load.account()


async def kill_one(cluster, load, talk):
    async with load:
        await asyncio.sleep(talk)
        dead = cluster.nodes[1].port()
        await asyncio.to_thread(cluster.nodes[1].kill)
        await asyncio.sleep(talk)
        await load.finish()
        account, lost = load.account(), load.lost()
    account["lost, of those that clients of the dead node had sent"] = sum(load.sent_from[m] == dead for m in lost)
    return account


def show(title, account, cluster):
    account["left in the offline store"] = offline(cluster)
    # Whoever is sent to an account that is offline at the end is in the store; all of ours are online.
    account["adds up"] = account["sent"] == (account["received"] - account["doubled"] + account["answered with an error"] +
                                             account["lost"])
    print(f"{title}\n{json.dumps(account, indent=1)}", flush=True)
    return account["adds up"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--talk", type=float, default=5, help="seconds between what happens")
    parser.add_argument("--acknowledge", choices=["routed", "safe"], default="routed")
    args = parser.parse_args()
    os.environ["MEERKAT_BUILD"] = str(args.build.resolve())
    sys.path.insert(0, str(TESTS))
    import database
    from cluster import Cluster
    from rolling import Load

    good = True
    try:
        with tempfile.TemporaryDirectory(prefix="meerkat-bench-") as folder:
            for name, story, title in (("restart", restart_all, "Rolling restart of three nodes"),
                                       ("kill", kill_one, "Hard kill of one of three nodes")):
                cluster = Cluster(pathlib.Path(folder) / name, users=2 * args.pairs,
                                  more=f"[sm]\nacknowledge = {args.acknowledge}\n").up(3)
                try:
                    load = Load(args.pairs, lambda: ports(cluster))
                    account = asyncio.run(story(cluster, load, args.talk))
                    good = show(f"{title}, {args.pairs} pairs, acknowledge = {args.acknowledge}:", account, cluster) and good
                finally:
                    cluster.down()
    finally:
        database.destroy_shared()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
