# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 the Meerkat authors
"""Container images made from programs of this machine, as archives that containerd imports: no registry is asked."""
import hashlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile

from common import BIN, HERE, IMAGES, REGISTRY, fail, run, say


def add(archive, name, data=None, mode=0o644, link=None, uid=0):
    info = tarfile.TarInfo(name)
    info.mode, info.uid, info.gid = mode, uid, uid
    if link is not None:
        info.type, info.linkname = tarfile.SYMTYPE, link
    elif data is None:
        info.type = tarfile.DIRTYPE
    else:
        info.size = len(data)
    archive.addfile(info, io.BytesIO(data) if data is not None else None)


def digest_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def write_image(name, layers, config):
    """layers: tar files, uncompressed. Writes IMAGES/NAME.tar, which holds image REGISTRY/NAME:1."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    digests = [digest_of(layer) for layer in layers]
    description = json.dumps({
        "architecture": "amd64", "os": "linux", "config": config,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{d}" for d in digests]},
        "history": [{"created_by": "meerkat"} for _ in layers]}).encode()
    config_name = hashlib.sha256(description).hexdigest() + ".json"
    manifest = [{"Config": config_name, "RepoTags": [f"{REGISTRY}/{name}:1"], "Layers": [f"{d}/layer.tar" for d in digests]}]
    unfinished = IMAGES / f"{name}.{os.getpid()}.unfinished"
    with tarfile.open(unfinished, "w") as archive:
        add(archive, config_name, description)
        add(archive, "manifest.json", json.dumps(manifest).encode())
        for layer, digest in zip(layers, digests):
            archive.add(layer, f"{digest}/layer.tar")
    unfinished.rename(IMAGES / f"{name}.tar")


def program_image(name, program, config, files=()):
    """An image with one static program (and a few small files) in it."""
    with tempfile.TemporaryDirectory() as folder:
        layer = pathlib.Path(folder) / "layer.tar"
        with tarfile.open(layer, "w") as archive:
            add(archive, "tmp", mode=0o1777)
            add(archive, "etc", mode=0o755)
            add(archive, "etc/passwd", b"root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")
            add(archive, "etc/group", b"root:x:0:\nnobody:x:65534:\n")
            add(archive, pathlib.Path(program).name, pathlib.Path(program).read_bytes(), 0o755)
            for path, data, mode in files:
                add(archive, path, data, mode)
        write_image(name, [layer], config)


def pause():
    """Holds the namespaces of a pod."""
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder) / "pause"
        run("gcc", "-O2", "-Wall", "-Wextra", "-static", "-s", "-o", program, HERE / "pause.c")
        program_image("pause", program, {"Entrypoint": ["/pause"], "User": "65534"})


def tools():
    """A shell, wget, nslookup, nc, httpd and the rest of busybox, to try things with in a pod."""
    busybox = pathlib.Path("/bin/busybox")
    with tempfile.TemporaryDirectory() as folder:
        layer = pathlib.Path(folder) / "layer.tar"
        with tarfile.open(layer, "w") as archive:
            for name in "bin", "etc", "root", "www":
                add(archive, name, mode=0o755)
            add(archive, "tmp", mode=0o1777)
            add(archive, "etc/passwd", b"root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")
            add(archive, "etc/group", b"root:x:0:\nnobody:x:65534:\n")
            add(archive, "bin/busybox", busybox.read_bytes(), 0o755)
            for applet in run(busybox, "--list").split():
                if applet != "busybox":
                    add(archive, f"bin/{applet}", link="busybox")
        write_image("tools", [layer], {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"], "WorkingDir": "/root"})


def coredns():
    program_image("coredns", BIN / "coredns", {"Entrypoint": ["/coredns"], "User": "65534"})


def metrics_server():
    program_image("metrics-server", BIN / "metrics-server", {"Entrypoint": ["/metrics-server"], "User": "65534"})


def postgresql():
    """Debian's PostgreSQL, with a start script that understands the variables people know."""
    with tempfile.TemporaryDirectory() as folder:
        base = pathlib.Path(folder) / "base.tar"
        suite = next(line.split("=")[1].strip() for line in open("/etc/os-release") if line.startswith("VERSION_CODENAME="))
        sources = [p for p in ("/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list") if os.path.exists(p)]
        lines = pathlib.Path(sources[0]).read_text() if sources else fail("there is no list of Debian's sources")
        log = pathlib.Path(folder) / "log"
        with open(log, "w") as out:
            done = subprocess.run(
                ["nice", "-n", "19", "mmdebstrap", "--variant=essential", "--include=postgresql", "--skip=output/dev",
                 "--dpkgopt=path-exclude=/usr/lib/*/libLLVM*",  # 100 MB for compiling queries, which we switch off
                 "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*",
                 "--dpkgopt=path-exclude=/usr/share/locale/*", suite, str(base), "-"],
                input=lines, text=True, stdout=out, stderr=out)
        if done.returncode != 0:
            fail("mmdebstrap failed:\n" + log.read_text()[-3000:])
        layer = pathlib.Path(folder) / "layer.tar"
        with tarfile.open(layer, "w") as archive:
            add(archive, "usr/local/bin/run-postgresql", (HERE / "run-postgresql").read_bytes(), 0o755)
        write_image("postgresql", [base, layer],
                    {"Entrypoint": ["/usr/local/bin/run-postgresql"], "User": "postgres", "Env": [
                        "PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C.UTF-8"]})


# What each image is made of besides this file: when that is younger, the image is made again.
MAKERS = {
    "pause": (pause, [HERE / "pause.c"]),
    "tools": (tools, [pathlib.Path("/bin/busybox")]),
    "coredns": (coredns, [BIN / "coredns"]),
    "metrics-server": (metrics_server, [BIN / "metrics-server"]),
    "postgresql": (postgresql, [HERE / "run-postgresql"]),
}


def signature(sources):
    digest = hashlib.sha256()
    for source in [pathlib.Path(__file__), *sources]:
        digest.update(digest_of(source).encode())
    return digest.hexdigest()


def make(name):
    maker, sources = MAKERS[name]
    mark = IMAGES / f"{name}.from"
    wanted = signature(sources)
    archive = IMAGES / f"{name}.tar"
    if not (archive.exists() and mark.exists() and mark.read_text() == wanted):
        say(f"making the image {name}")
        maker()
        mark.write_text(wanted)
    return archive


def clean():
    shutil.rmtree(IMAGES, ignore_errors=True)
