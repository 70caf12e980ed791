#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Puts the same load on Meerkat, Prosody, ejabberd and the relay that parses nothing (`./dev bench --peers`).

All are Debian's, with configurations of our own in a temporary folder: on loopback, in the clear, with the features that
Meerkat's table has on, without limits of rate and number, with little logging. Every figure is a server that was started for
it. Plain TCP, so that no TLS library is measured; SCRAM-SHA-1, which all have stored keys for.
usage: peers.py BUILD [--seconds N] [--workers N] [--quick] [--only NAME,...] [ROW...]"""
import argparse
import glob
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from table import ANONYMOUS, CONFIG

PROSODY = """
run_as_root = true
pidfile = "{dir}/prosody.pid"
data_path = "{dir}/data"
plugin_paths = {{ }}
modules_enabled = {{
    "roster", "saslauth", "disco", "private", "vcard", "version", "uptime", "time", "ping", "register_ibr", "offline",
    "presence", "message", "iq", "c2s", "carbons", "smacks", "csi_simple", "blocklist", "lastactivity"
}}
modules_disabled = {{ "s2s", "tls", "posix" }}
log = {{ warn = "{dir}/prosody.log" }}
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {port} }}
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
allow_registration = true
registration_delete_deferred = false
network_settings = {{ tcp_backlog = 1024 }}
storage = "internal"
authentication = "internal_hashed"
VirtualHost "localhost"
VirtualHost "anon.localhost"
    authentication = "anonymous"
"""

EJABBERD = """
hosts: [localhost, anon.localhost]
loglevel: error
listen:
  - {{port: {port}, ip: "127.0.0.1", module: ejabberd_c2s, access: c2s, shaper: none, max_stanza_size: 262144, backlog: 1024,
     starttls: false}}
auth_password_format: scram
auth_scram_hash: sha
disable_sasl_mechanisms: [digest-md5, x-oauth2]
registration_timeout: infinity
host_config:
  localhost: {{auth_method: [internal]}}
  anon.localhost: {{auth_method: [anonymous], anonymous_protocol: sasl_anon, allow_multiple_connections: true}}
acl: {{local: {{user_regexp: ""}}}}
access_rules: {{c2s: {{allow: all}}, register: {{allow: all}}, local: {{allow: local}}}}
shaper_rules: {{max_user_sessions: infinity, max_user_offline_messages: 5000}}
max_fsm_queue: 100000
modules:
  mod_blocking: {{}}
  mod_carboncopy: {{}}
  mod_client_state: {{}}
  mod_disco: {{}}
  mod_caps: {{}}
  mod_last: {{}}
  mod_offline: {{access_max_user_messages: max_user_offline_messages}}
  mod_ping: {{send_pings: false}}
  mod_privacy: {{}}
  mod_private: {{}}
  mod_register: {{ip_access: all, access: register, welcome_message: {{}}}}
  mod_roster: {{versioning: true}}
  mod_stream_mgmt: {{resend_on_timeout: if_offline}}
  mod_time: {{}}
  mod_vcard: {{search: false}}
  mod_version: {{}}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def write(folder, name, text):
    path = folder / name
    path.write_text(text)
    return path


def start_meerkat(folder, port, args):
    ini = write(folder, "meerkat.ini", CONFIG.format(workers=args.workers, dir=folder, build=args.build).replace(
        "listen = 127.0.0.1:0", f"listen = 127.0.0.1:{port}"))
    return [args.build / "meerkatd", "-f", "-c", ini], {}


def start_prosody(folder, port, args):
    (folder / "data").mkdir()
    config = write(folder, "prosody.cfg.lua", PROSODY.format(dir=folder, port=port))
    return ["prosody", "--config", config, "-F"], {}


def start_ejabberd(folder, port, args):
    """Without a node name: so there is no Erlang port mapper that would stay behind."""
    (folder / "spool").mkdir()
    config = write(folder, "ejabberd.yml", EJABBERD.format(port=port))
    libs = glob.glob("/usr/lib/*/ejabberd-*/ebin")
    if not libs:
        sys.exit("ejabberd is not installed")
    command = ["erl", "-noinput", "+K", "true", "+P", "250000", "+S", f"{args.workers}:{args.workers}", "+sbwt", "none",
               "-mnesia", "dir", f'"{folder}/spool"', "-s", "ejabberd"]
    return command, {"EJABBERD_CONFIG_PATH": str(config), "EJABBERD_LOG_PATH": f"{folder}/ejabberd.log",
                     "ERL_LIBS": str(pathlib.Path(libs[0]).parents[1]), "HOME": str(folder),
                     "ERL_CRASH_DUMP": f"{folder}/crash.dump"}


SERVERS = {"Meerkat": start_meerkat, "Prosody": start_prosody, "ejabberd": start_ejabberd}


class Server:
    """A server in a process group of its own, whose end takes all of it along."""

    def __init__(self, name, args):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="meerkat-peers-"))
        self.port = free_port()
        command, more = SERVERS[name](self.folder, self.port, args)
        with open(self.folder / "out", "w") as out:
            self.process = subprocess.Popen(command, env={**os.environ, **more}, stdin=subprocess.DEVNULL, stdout=out,
                                            stderr=out, cwd=self.folder, start_new_session=True)
        self.wait(name)

    def wait(self, name):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                    return
            except OSError:
                time.sleep(0.05)
        said = "".join(path.read_text(errors="replace")[-2000:] for path in self.folder.iterdir()
                       if path.suffix == ".log" or path.name == "out")
        self.stop()
        sys.exit(f"{name} does not start:\n{said}")

    def stop(self):
        group = self.process.pid
        for sig, patience in (signal.SIGTERM, 20), (signal.SIGKILL, 10):
            try:
                os.killpg(group, sig)
                self.process.wait(patience)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


# name, arguments, unit, how to read it
ROWS = {
    "chat1": ("CPU a message, window 1, µs", ANONYMOUS + "chat -n {n} -w 1", lambda r: r["cpu_us_per_message"]),
    "chat8": ("CPU a message, window 8, µs", ANONYMOUS + "chat -n {n} -w 8", lambda r: r["cpu_us_per_message"]),
    "rate8": ("messages a second, window 8", None, lambda r: r["rate"]),
    "idle": ("memory of an idle session that sent presence, KB", ANONYMOUS + "idle -n {idle} --parallel 50",
             lambda r: r["memory"]["kb_per_session"]),
    "login": ("CPU a log-in with stored SCRAM-SHA-1 keys, µs", "--register -M SCRAM-SHA-1 login -n 20",
              lambda r: r["cpu_us_per_message"]),
}


def bench(args, name, words):
    server = Server(name, args)
    try:
        floor = ["--floor"] if name == "Meerkat" else []
        command = [args.build / "meerkat-bench", "-q", "-H", f"127.0.0.1:{server.port}", "-P", str(server.process.pid),
                   "-d", str(args.seconds), *floor, *words.split()]
        done = subprocess.run(command, stdout=subprocess.PIPE,
                              env={**os.environ, "MEERKAT_BENCH_PASSWORD": "benchsecret"})
        answer = json.loads(done.stdout)
    finally:
        server.stop()
    if answer["result"]["errors"]["total"]:
        print(f"# {name}: {answer['result']['first_errors']}", file=sys.stderr)
    return answer


def shown(value, base=None):
    if value is None:
        return "–"
    text = f"{value:,.0f}" if value >= 1000 else f"{value:.1f}"
    return f"{text} ({value / base:.1f} ×)" if base else text


def measure(args, row, names, seen):
    text, words, read = ROWS[row]
    if words is None:
        answers = seen.get("chat8", {})
    else:
        words = words.format(n=100 if args.quick else 1000, idle=100 if args.quick else 2000)
        answers = seen[row] = {name: bench(args, name, words) for name in names}
    values = {name: read(answer["result"]) if answer["result"]["measured"] else None for name, answer in answers.items()}
    floor = next((answer["floor"] for answer in answers.values() if answer.get("floor")), None)
    values["floor"] = read(floor) if floor and row != "idle" else None
    base = values.get("Meerkat")
    print(f"| {text} | " + " | ".join(shown(values.get(name), base if name != "Meerkat" else None)
                                       for name in ("floor", *names)) + " |", flush=True)
    return all(values.get(name) is not None for name in names)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--workers", type=int, default=1, help="threads of Meerkat and schedulers of ejabberd; Prosody has one")
    parser.add_argument("--quick", action="store_true", help="few sessions: to see that it works")
    parser.add_argument("--only", default=",".join(SERVERS), help=f"of {', '.join(SERVERS)}")
    parser.add_argument("rows", nargs="*", help=f"of {', '.join(ROWS)}")
    args = parser.parse_intermixed_args()
    args.build = args.build.resolve()
    names, seen, good = args.only.split(","), {}, True
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print(f"{args.workers} worker(s), {args.seconds} s a figure; in brackets: × Meerkat\n")
    print(f"| what | floor | {' | '.join(names)} |\n|---|---|{'---|' * len(names)}")
    for row in args.rows or ROWS:
        good = measure(args, row, names, seen) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
