"""Other gateways, each in an environment of its own under `.peers/`, which git ignores.

    litellm       LiteLLM's proxy: its production mode, one worker, no database, no callbacks
    portkey       Portkey's gateway on Node.js
    adapter       AWS's Lambda Web Adapter in front of uvicorn with the same chat app as ours
    uvloop        the same, with uvicorn's faster loop and parser, which the layer does not have

The first two do not meter here. One that cannot be installed says why, and is
left out. `python -m bench.peers` installs; it needs pip's, npm's and cargo's registries.
"""

import json
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bench.contestants import Surroundings, function_environment, uvicorn_options
from bench.gateways import Gateway, HttpGateway, LambdaGateway
from bench.machine import choose_cores
from bench.programs import PYTHON, ROOT, Program
from local.processes import free_port

HOME = ROOT / ".peers"
LITELLM = "litellm[proxy]==1.106.2"
PORTKEY = "1.15.2"
ADAPTER = "0.9.1"
UVICORN = "0.54.0"
VERSIONS = {"litellm": "1.106.2", "portkey": PORTKEY, "adapter": ADAPTER, "uvloop": UVICORN}
_INSTALL_WITHIN_S = 1800
# With newer ones Portkey's streams are answered with 500.
_PORTKEY_PACKAGE = {
    "private": True,
    "dependencies": {"@portkey-ai/gateway": PORTKEY},
    "overrides": {"hono": "4.9.7", "@hono/node-server": "1.13.8"},
}
_LITELLM_CONFIG = """
model_list:
  - model_name: gpt-4o-mini
    litellm_params:
      model: openai/gpt-4o-mini
      api_base: {url}
      api_key: sk-bench
litellm_settings:
  telemetry: false
"""


class NotInstalledError(Exception):
    """A peer cannot be installed here; the text says why."""


def _run(*command: str, folder: Path) -> None:
    if shutil.which(command[0]) is None:
        raise NotInstalledError(f"there is no `{command[0]}`")
    run = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=_INSTALL_WITHIN_S, check=False
    )
    if run.returncode:
        said = (run.stderr or run.stdout).strip().splitlines()
        raise NotInstalledError(said[-1] if said else f"{command[0]} failed")


def install_litellm(folder: Path) -> None:
    _run(sys.executable, "-m", "venv", str(folder), folder=HOME)
    _run(str(folder / "bin" / "pip"), "install", "-q", LITELLM, folder=folder)


def install_portkey(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "package.json").write_text(json.dumps(_PORTKEY_PACKAGE))
    _run("npm", "install", "--silent", "--no-audit", "--no-fund", folder=folder)


def install_adapter(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    _run(
        *("cargo", "install", "--locked", "--root", str(folder)),
        *("lambda_web_adapter", "--version", ADAPTER),
        folder=folder,
    )
    _install_uvicorn(folder, f"uvicorn=={UVICORN}")


def install_uvloop(folder: Path) -> None:
    if not is_installed("adapter"):
        raise NotInstalledError("the adapter is missing")
    folder.mkdir(exist_ok=True)
    _install_uvicorn(folder, f"uvicorn[standard]=={UVICORN}")


def _install_uvicorn(folder: Path, package: str) -> None:
    target = str(folder / "site")
    _run(sys.executable, "-m", "pip", "install", "-q", "-t", target, package, folder=folder)


def make_litellm(around: Surroundings, folder: Path) -> Gateway:
    """Return LiteLLM's proxy, to which the upstream is OpenAI."""
    port, key = free_port(), f"sk-{secrets.token_hex(32)}"
    config = around.folder / "litellm.yaml"
    config.write_text(_LITELLM_CONFIG.format(url=around.upstream_url))
    program = Program(
        command=[
            *(str(folder / "bin" / "litellm"), "--config", str(config)),
            *("--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"),
        ],
        environment={
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_MASTER_KEY": key,
        },
        log=around.folder / "litellm.log",
        core=choose_cores().gateway,
        folder=around.folder,
    )
    return HttpGateway("litellm", port, {"Authorization": f"Bearer {key}"}, program)


def make_portkey(around: Surroundings, folder: Path) -> Gateway:
    """Return Portkey's gateway, told by headers where the upstream is."""
    port = free_port()
    script = folder / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    program = Program(
        command=["node", str(script), "--headless", f"--port={port}"],
        environment={"NODE_ENV": "production"},
        log=around.folder / "portkey.log",
        core=choose_cores().gateway,
        folder=folder,
    )
    headers = {
        "Authorization": "Bearer sk-bench",
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": around.upstream_url,
    }
    return HttpGateway("portkey", port, headers, program)


def make_adapter(around: Surroundings, folder: Path) -> Gateway:
    """Return our own chat app on the folder's uvicorn, behind AWS's adapter."""
    port, name = free_port(), folder.name
    core = choose_cores().gateway
    environment = function_environment(around)
    server = Program(
        command=[PYTHON, "-m", "uvicorn", "functions.chat.app:app", *uvicorn_options(port)],
        environment={
            **environment,
            "PYTHONPATH": f"{environment['PYTHONPATH']}:{folder / 'site'}",
        },
        log=around.folder / f"{name}-uvicorn.log",
        core=core,
    )
    adapter = Program(
        command=[str(HOME / "adapter" / "bin" / "lambda-adapter")],
        environment={
            **environment,
            "AWS_LWA_PORT": str(port),
            "AWS_LWA_INVOKE_MODE": "response_stream",
            "AWS_LWA_READINESS_CHECK_PROTOCOL": "TCP",
        },
        log=around.folder / f"{name}.log",
        core=core,
    )
    return LambdaGateway(name, [server, adapter], f"Bearer {around.key}")


type Install = Callable[[Path], None]
type Make = Callable[[Surroundings, Path], Gateway]
PEERS: dict[str, tuple[Install, Make]] = {
    "litellm": (install_litellm, make_litellm),
    "portkey": (install_portkey, make_portkey),
    "adapter": (install_adapter, make_adapter),
    "uvloop": (install_uvloop, make_adapter),
}


def is_installed(name: str) -> bool:
    """Return whether a peer is there, whole."""
    return (HOME / name / "installed").is_file()


def make_peers(around: Surroundings) -> list[Gateway]:
    """Return the peers that are installed."""
    return [make(around, HOME / name) for name, (_, make) in PEERS.items() if is_installed(name)]


def main() -> None:
    """Install what is not there yet."""
    HOME.mkdir(exist_ok=True)
    for name, (install, _) in PEERS.items():
        if is_installed(name):
            continue
        print(f"Installing {name} into {HOME / name} (once, some minutes)", flush=True)
        try:
            install(HOME / name)
        except (NotInstalledError, subprocess.TimeoutExpired) as error:
            print(f"{name} is left out: {error}")
        else:
            (HOME / name / "installed").touch()


if __name__ == "__main__":
    main()
