#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Breaks the replication on purpose, in one way after the other, and checks that the simulation notices each.

Usage: mutants.py BUILD [--seeds N] [NAME ...]
BUILD is a build folder with libmeerkat-core.a. Each mutant is one replacement in a file of modules/cets.
"""
import argparse
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PART, PATIENCE = 100, 600       # seeds; seconds that these may take on a busy machine
FILES = ["replica.c", "oplog.c", "send.c", "receive.c", "member.c", "claim.c"]

MUTANTS = [
    ("a peer that comes back gets the log from one operation too late", "send.c",
     "oplog_seek(&r->log, applied + 1, &link->at)", "oplog_seek(&r->log, applied + 2 < r->log.next ? applied + 2 : applied + 1, &link->at)"),
    ("gaps in the operations are not noticed, and a peer skips what it missed", "send.c",
     "if (known && oplog_seek(&r->log, applied + 1, &link->at)) {",
     "if (known && oplog_seek(&r->log, r->log.next, &link->at)) {"),
    ("what a snapshot did not bring again stays", "receive.c", "if (e->marked != p->mark)", "if (false)"),
    ("an interrupted snapshot leaves its marks", "receive.c", "e; e = e->next)\n        e->marked = p->mark;",
     "false; e = e->next)\n        e->marked = p->mark;"),
    ("known records that come again in a snapshot are not marked", "receive.c",
     "            e->marked = p->mark;\n        else", "            (void)e;\n        else"),
    ("a snapshot does not step over a record that goes", "replica.c", "link->walk = e->next;",
     "link->walk = NULL;"),
    ("removals are not published", "replica.c", "    publish(r, &op);\n    own_replaced(r, t, NULL, old);",
     "    own_replaced(r, t, NULL, old);"),
    ("a dead node's records stay", "member.c",
     "if (p->state == PEER_SUSPECTED && r->now - p->down_since >= r->config.grace)", "if (false)"),
    ("a node's former life is not forgotten", "member.c",
     "    if (p && p->incarnation != h->incarnation)\n        peer_forget(r, p, REPLICA_GONE);", ""),
    ("a slow peer holds the whole log", "send.c", "if (needed && r->log.bytes <= r->config.log_max)",
     "if (needed)"),
    ("a slow peer loses what the log drops", "send.c", "                link_snapshot(r, link);\n            }",
     "                link->at = (struct cursor){r->log.head->next, 0, next};\n            }"),
    ("two that hold one claim both keep it", "claim.c", "    own_remove(r, e->table, group, key);", ""),
    ("both of two that hold one claim give it up", "claim.c",
     "|| !mk_entry_claim_wins(e, own, r->config.number))", ")"),
    ("a decider forgets what it has just given away", "claim.c",
     "    reserve(r, table, group, key, p);\n", ""),
    ("claims are decided while nobody knows who is there", "member.c",
     "bool\nreplica_ready(const struct replica *r)\n{\n", "bool\nreplica_ready(const struct replica *r)\n{\n    if (r)\n        return true;\n"),
    ("a dead link is never noticed", "member.c", "if (r->now - link->last_in >= r->config.dead_after)",
     "if (false)"),
    ("the later of two nodes of one name goes on", "member.c", "r->config.start > h->start", "r->config.start < h->start && false"),
    ("digests are not compared", "receive.c", "        resync(r, p, text);\n        return 0;", "        return 0;"),
    ("who waits is told before the others have it", "replica.c",
     "if (p->link && p->has_all && p->acked < least)", "if (false && p->acked < least)"),
    ("a peer that comes back gets the last operation again", "send.c",
     "oplog_seek(&r->log, applied + 1, &link->at)", "oplog_seek(&r->log, applied ? applied : 1, &link->at)"),
]


def build(folder, out, build_dir):
    libs = "-levent -levent_pthreads -lexpat -lssl -lcrypto -linih -lidn -lurcu-memb -lurcu-cds -lurcu-common -lpthread -ldl"
    subprocess.run(["gcc", "-std=gnu11", "-O1", "-w", f"-I{build_dir}", f"-I{ROOT}/include", f"-I{build_dir}/include",
                    f"-I{folder}", f"{ROOT}/tests/sim/sim.c", *[f"{folder}/{f}" for f in FILES],
                    f"{build_dir}/libmeerkat-core.a", "-o", str(out), *shlex.split(libs)], check=True)


def sought(sim, seeds):
    """What the simulation finds, or None. In parts of few seeds: that one does not end is not to be taken for slowness."""
    for first in range(1, seeds + 1, PART):
        try:
            done = subprocess.run([sim, "--first", str(first), "--seeds", str(min(PART, seeds + 1 - first))], capture_output=True,
                                  text=True, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            return f"it does not end (seeds {first} and on)"
        if done.returncode:
            return (done.stdout or done.stderr or "a crash").splitlines()[0]
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    missed = 0
    with tempfile.TemporaryDirectory() as tmp:
        for name, file, old, new in MUTANTS:
            if args.names and not any(n in name for n in args.names):
                continue
            folder = pathlib.Path(tmp) / "cets"
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(ROOT / "modules" / "cets", folder)
            text = (folder / file).read_text()
            if text.count(old) != 1:
                print(f"mutant '{name}': its text is {text.count(old)} times in {file}")
                missed += 1
                continue
            (folder / file).write_text(text.replace(old, new))
            build(folder, pathlib.Path(tmp) / "sim", args.build)
            why = sought(f"{tmp}/sim", args.seeds)
            found = why is not None
            print(f"{'found' if found else 'MISSED'}: {name}{': ' + why if found else ''}", flush=True)
            missed += not found
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
