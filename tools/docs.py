#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""docs.py BUILD [--check]: writes docs/modules/, docs/api/, etc/meerkat.ini and docs/man/meerkat.ini.5 from what the modules say of themselves.

A page is the module's README.md, then its options (meerkatd --describe) and what it registers: hooks, IQs,
services, metrics (asked from a node with all modules). etc/meerkat.ini is etc/meerkat.ini.in with every option of its sections, and
the manual has the options of all modules. docs/api is the API of that node (meerkatctl reference). --check writes nothing and says which files are out of date.
"""
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "modules"
NOTE = "<!-- Made by ./dev docs. Edit {} instead. -->\n\n"
# What a node with everything needs beyond defaults.
SETTINGS = {"meerkat": "workers = 1", "c2s": "listen = 127.0.0.1:0", "tls": "self_signed = yes",
            "http": "listen = 127.0.0.1:0", "graphql": "user_listen = 127.0.0.1:0", "discovery_file": "file = /nodes"}
API = ROOT / "docs" / "api"


def names():
    return sorted(d.name for d in (ROOT / "modules").iterdir() if (d / f"{d.name}.c").exists())


def describe(build, name):
    return subprocess.run([build / "meerkatd", "--describe", name, "--set", f"meerkat.module_path={build}/.libs"],
                          check=True, capture_output=True, text=True).stdout


def ask(path, command):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(path))
        s.sendall(command.encode() + b"\n")
        return b"".join(iter(lambda: s.recv(65536), b"")).decode()


def reference(build, *where):
    """The API of a node, as Markdown."""
    text = subprocess.run([build / "meerkatctl", *where, "reference"], check=True, capture_output=True, text=True).stdout
    return NOTE.format("the descriptions in the modules' SDL") + text


def everything(build):
    """What a node with all modules says: what they register, as lists of fields by module, and both APIs, by file name."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        text = f"[meerkat]\nstate_dir = {folder}\nmodule_path = {build}/.libs\ncontrol = {folder}/control\n"
        text += SETTINGS["meerkat"] + "\n"
        text += "".join(f"[{n}]\n{SETTINGS.get(n, '')}\n" for n in names())
        (folder / "all.ini").write_text(text)
        with open(folder / "log", "w") as log:
            node = subprocess.Popen([build / "meerkatd", "--foreground", "--config", folder / "all.ini"], stderr=log)
        try:
            end = time.monotonic() + 30
            while "is ready" not in (folder / "log").read_text():
                if node.poll() is not None or time.monotonic() > end:
                    sys.exit("docs: the node with all modules does not start:\n" + (folder / "log").read_text())
                time.sleep(0.02)
            lines = ask(folder / "control", "registry").splitlines()
            port = re.search(r"'graphql_user' on 127.0.0.1:(\d+)", (folder / "log").read_text())[1]
            apis = {"admin.md": reference(build, "--socket", folder / "api.sock"),
                    "users.md": reference(build, "--url", f"http://127.0.0.1:{port}")}
        finally:
            node.send_signal(signal.SIGTERM)
            node.wait(30)
    if lines.pop() != "ok":
        sys.exit("docs: the node does not tell what is registered")
    found = {}
    for line in lines:
        what, module, *fields = line.split("\t")
        found.setdefault(module, {}).setdefault(what, []).append(fields)
    return found, apis


def table(head, rows):
    if not rows:
        return ""
    lines = [head, ["---"] * len(head)] + rows
    return "".join("| " + " | ".join(c.replace("|", "\\|") for c in row) + " |\n" for row in lines)


def hooks_text(found):
    fires = sorted(f"`{name}` ({kind})" for name, kind in found.get("fires", []))
    handles = sorted({(name, int(prio)) for name, prio in found.get("handles", [])})
    text = "Fires " + ", ".join(fires) + ".\n\n" if fires else ""
    if handles:
        text += "Handles " + ", ".join(f"`{n}` at {p}" for n, p in handles) + ".\n\n"
    return text and "### Hooks\n\n" + text


def iq_text(found):
    merged = {}
    for ns, name, types, to in found.get("iq", []):
        merged.setdefault((ns, name, to.strip()), set()).update(types.split())
    rows = [[f"`{ns}`", f"`{name}`", ", ".join(sorted(types)), ", ".join(to.split())]
            for (ns, name, to), types in sorted(merged.items())]
    text = table(["namespace", "element", "type", "to"], rows)
    return text and "### IQs\n\n" + text + "\n"


def service_text(found):
    services = sorted(f"\"{name}\" (interface {abi})" for name, abi in found.get("service", []))
    return "### Services\n\nProvides " + ", ".join(services) + ".\n\n" if services else ""


def metric_text(found):
    merged = {}
    for name, kind, labels, text in found.get("metric", []):
        keys = merged.setdefault(name, (kind, text, []))[2]
        keys += [k for k in re.findall(r'(\w+)="', labels) if k not in keys]
    rows = [[f"`meerkat_{name}`", kind, ", ".join(f"`{k}`" for k in keys), text]
            for name, (kind, text, keys) in sorted(merged.items())]
    text = table(["metric", "kind", "labels", "meaning"], rows)
    return text and "### Metrics\n\n" + text + "\n"


def page(build, name, found):
    about = describe(build, name)
    title, summary, rest = about.split("\n\n", 2)
    readme = ROOT / "modules" / name / "README.md"
    text = NOTE.format(f"modules/{name}/README.md, or the tables in the module's code")
    text += readme.read_text().strip() + "\n\n## Reference\n\n" + rest.replace("\n\n|", "\n\n### Options\n\n|", 1)
    text += "\n" + hooks_text(found) + iq_text(found) + service_text(found) + metric_text(found)
    return text.rstrip() + "\n", summary.rstrip(".")


def pages(build, found):
    """The pages of the modules by file name."""
    result = {}
    rows = []
    for name in names():
        result[f"{name}.md"], summary = page(build, name, found.get(name, {}))
        rows.append([f"[{name}]({name}.md)", summary])
    result["core.md"] = NOTE.format("the tables in core/server.c") + describe(build, "meerkat")
    result["README.md"] = (NOTE.format("the modules") + "# Modules\n\nThe core's own settings: [core.md](core.md). How to "
                           "write the file: [configuration.md](../admin/configuration.md).\n\n"
                           + table(["module", "what it is"], rows))
    return result


# -- etc/meerkat.ini and meerkat.ini.5

# Their default is the prefix of whoever built last.
BY_PREFIX = {"module_path", "state_dir"}


def options(build, section):
    """(name, allowed, default, reload, by host, help) of a section; default "" for empty, None for required."""
    text = describe(build, section)
    if section in ("meerkat", "log"):
        text = text.split(f"## Section [{section}]")[1].split("\n## ")[0]
    found = []
    for row in re.findall(r"^\| (`.*) \|$", text, re.M):
        name, allowed, preset, reload, by_host, meaning = (c.replace("\\|", "|") for c in re.split(r" (?<!\\)\| ", row))
        preset = {"empty": "", "required": None}.get(preset, preset.strip("`"))
        found.append((name.strip("`"), allowed, preset, reload == "yes", by_host == "yes", meaning))
    return found


def comment(text):
    first = text if text.split()[0].endswith(":") else text[0].upper() + text[1:]
    return textwrap.wrap(first, 108, initial_indent="# ", subsequent_indent="#   ", break_on_hyphens=False)


def annotated(build):
    """etc/meerkat.ini: what the template sets, explained, and all other options with their defaults."""
    out, section, known, pending, made = [], None, {}, [], []

    def rest():
        lines = []
        for name, (allowed, preset, meaning) in known.items():
            if name not in made and name not in BY_PREFIX and preset is not None:
                lines += comment(f"{meaning} ({allowed})") + [f"#{name} = {preset}".rstrip()]
        return lines

    for line in (ROOT / "etc" / "meerkat.ini.in").read_text().splitlines():
        if section and (not line or line.startswith("[") or line.startswith("# [")):
            out += rest() + pending
            section, pending = None, []
        if match := re.match(r"\[(\w+)\]", line):
            section, made = match.group(1), []
            known = {o[0]: (o[1], o[2], o[5]) for o in options(build, section)}
        elif section and (match := re.match(r"(\w+) = ", line)):
            allowed, _, meaning = known[match.group(1)]
            made.append(match.group(1))
            if not pending:
                out += comment(f"{meaning} ({allowed})")
        if section and line.startswith("#"):
            pending.append(line)
        else:
            out += pending + [line]
            pending = []
    return "\n".join(out + (rest() if section else [])) + "\n"


def roff(text):
    return text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("\n.", "\n\\&.")


def manual_section(build, section):
    variable = "MEERKAT__" if section == "meerkat" else f"MEERKAT_{section.upper()}__"
    text = ""
    for name, allowed, preset, reload, by_host, meaning in options(build, section):
        more = [allowed, "required" if preset is None else f"default: {preset or 'empty'}"]
        if name in BY_PREFIX:
            more.pop()
        more += ["needs a restart"] * (not reload) + ["may differ by host"] * by_host
        text += f".TP\n.BR {roff(name)} \" (\" {roff(variable + name.upper())} )\n{roff(meaning)}.\n{roff('; '.join(more).capitalize())}.\n"
    return text


def manual(build):
    text = (ROOT / "docs" / "man" / "meerkat.ini.5.in").read_text()
    body = ""
    for section in ["meerkat", "log"] + names():
        found = manual_section(build, section)
        summary = "" if section in ("meerkat", "log") else describe(build, section).split("\n\n")[1] + "\n"
        body += f".SS [{section}]\n{roff(summary)}" + (found or "It has no options.\n")
    return text.replace("@SECTIONS@\n", body)


def files(build):
    """All that is generated: text by path."""
    found, apis = everything(build)
    result = {PAGES / name: text for name, text in pages(build, found).items()}
    result |= {API / name: text for name, text in apis.items()}
    result[ROOT / "etc" / "meerkat.ini"] = annotated(build)
    result[ROOT / "docs" / "man" / "meerkat.ini.5"] = manual(build)
    return result


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    wanted = files(build)
    there = {f: f.read_text() for f in {*PAGES.glob("*.md"), *API.glob("*.md"), *wanted} if f.exists()}
    old = sorted(f for f in {*wanted, *there} if wanted.get(f) != there.get(f))
    if "--check" in sys.argv:
        for file in old:
            print(f"{file.relative_to(ROOT)} is out of date: run ./dev docs", file=sys.stderr)
        sys.exit(1 if old else 0)
    for folder in PAGES, API:
        folder.mkdir(parents=True, exist_ok=True)
    for file in old:
        if file in wanted:
            file.write_text(wanted[file])
        else:
            file.unlink()
        print(file.relative_to(ROOT), file=sys.stderr)


if __name__ == "__main__":
    main()
