"""Submit a job script of Snakemake to Kubernetes as a Job of one pod, and print the Job's name.

The pod sees the checkout at the path that it has here, on a volume that both mount:

EDGEBOOK_IMAGE  image with the Python that the environment in the checkout was made with
EDGEBOOK_CLAIM  persistent volume claim that holds the checkout
EDGEBOOK_MOUNT  path at which that volume is mounted here, and will be in the pod; by default the checkout's own
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_KEPT = 3600  # seconds that a Job is kept when it has ended, to read its log


def manifest(script: Path, cpus: int, memory: int, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the Job that runs a script once, as the user who asks for it; memory is in megabytes."""
    here = Path.cwd()
    lacking = [name for name in ("EDGEBOOK_IMAGE", "EDGEBOOK_CLAIM") if not environment.get(name)]
    if lacking:
        raise ValueError(f"Set {' and '.join(lacking)}: the page 'Scaling out' of the book says to what.")
    mount = Path(environment.get("EDGEBOOK_MOUNT") or here)
    if not here.is_relative_to(mount):
        raise ValueError(f"EDGEBOOK_MOUNT is {mount}, and the checkout lies outside, at {here}.")
    container = {
        "name": "job",
        "image": environment["EDGEBOOK_IMAGE"],
        "command": ["/bin/sh", str(script.resolve())],
        "workingDir": str(here),
        "env": [{"name": "HOME", "value": "/tmp"}, {"name": "OMP_NUM_THREADS", "value": "1"}],
        "resources": {"requests": {"cpu": str(cpus), "memory": f"{memory}M"}},
        "volumeMounts": [{"name": "checkout", "mountPath": str(mount)}],
    }
    pod = {
        "restartPolicy": "Never",
        "securityContext": {"runAsUser": os.getuid(), "runAsGroup": os.getgid()},
        "containers": [container],
        "volumes": [{"name": "checkout", "persistentVolumeClaim": {"claimName": environment["EDGEBOOK_CLAIM"]}}],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"edgebook-{uuid.uuid4().hex[:12]}", "labels": {"app": "edgebook"}},
        "spec": {"backoffLimit": 0, "ttlSecondsAfterFinished": _KEPT, "template": {"spec": pod}},
    }


def main() -> int:
    """Submit one script; the exit code is 1 when it could not be."""
    parser = argparse.ArgumentParser(description="Submit a job script to Kubernetes.")
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--memory", type=int, default=4000, help="megabytes")
    parser.add_argument("script", type=Path)
    asked = parser.parse_args()
    try:
        job = manifest(asked.script, asked.cpus, asked.memory, os.environ)
        command = ["kubectl", "create", "--filename", "-"]
        subprocess.run(command, input=json.dumps(job), text=True, check=True, stdout=sys.stderr)
    except FileNotFoundError:
        print("kubectl is not installed, or not in the path.", file=sys.stderr)
        return 1
    except (ValueError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    print(job["metadata"]["name"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
