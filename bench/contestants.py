"""Who is measured without any peer installed: nobody at all, Tollgate, and the naive gateway.

direct        the upstream itself
tollgate      the chat function: the real runtime behind its exec wrapper, as Lambda starts it
naive         bench/naive on uvicorn
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from bench.gateways import Gateway, HttpGateway, LambdaGateway
from bench.machine import choose_cores
from bench.naive.ranks import unpack_ranks
from bench.programs import LAYER, PYTHON, ROOT, Program
from local.processes import free_port

_CATALOG = """
points_per_usd = 100

[channels.bench]
base_url = "{url}"

[models."gpt-4o-mini"]
owned_by = "bench"
context_tokens_max = 4000000
output_tokens_max = 2000000
encoding = "o200k_base"
price = {{ input = 15, output = 60 }}
channels = ["bench"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where the stubs listen, and where a run keeps its files.

    `packages`: those that Lambda has, and no others; `key`: a well-formed API key.
    """

    upstream_port: int
    dynamodb_url: str
    folder: Path
    packages: Path
    key: str
    table: str = "bench"

    @property
    def upstream_url(self) -> str:
        """The vendor's base URL."""
        return f"http://127.0.0.1:{self.upstream_port}/v1"


def make_direct(around: Surroundings) -> Gateway:
    """Return the upstream itself."""
    return HttpGateway("direct", around.upstream_port, {})


def function_environment(around: Surroundings) -> dict[str, str]:
    """Return what Lambda and the template would set for the chat function."""
    catalog = around.folder / "catalog.toml"
    catalog.write_text(_CATALOG.format(url=around.upstream_url))
    return {
        "TOLLGATE_TABLE": around.table,
        "TOLLGATE_DYNAMODB_URL": around.dynamodb_url,
        "TOLLGATE_CATALOG_FILE": str(catalog),
        "AWS_REGION": "us-east-1",
        "AWS_LAMBDA_FUNCTION_NAME": "chat",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
        "AWS_LAMBDA_LOG_LEVEL": "INFO",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "LAMBDA_TASK_ROOT": str(ROOT),
        "PYTHONPATH": f"{ROOT}:{around.packages}",
        "TZ": ":UTC",
        "_HANDLER": "functions.chat.app.handler",
    }


def make_tollgate(around: Surroundings, name: str = "tollgate") -> LambdaGateway:
    """Return the chat function as Lambda runs it."""
    program = Program(
        command=[str(around.packages / "stream-runtime"), PYTHON, "-m", "awslambdaric"],
        environment=function_environment(around),
        log=around.folder / f"{name}.log",
        core=choose_cores().gateway,
    )
    return LambdaGateway(name, [program], f"Bearer {around.key}")


def make_naive(around: Surroundings) -> Gateway:
    """Return the naive gateway on uvicorn."""
    port = free_port()
    program = Program(
        command=[sys.executable, "-m", "uvicorn", "bench.naive.app:app", *uvicorn_options(port)],
        environment={
            "NAIVE_UPSTREAM_URL": around.upstream_url,
            "NAIVE_DYNAMODB_URL": around.dynamodb_url,
            "TIKTOKEN_CACHE_DIR": str(unpack_ranks()),
            "PYTHONPATH": f"{ROOT}:{LAYER}",
        },
        log=around.folder / "naive.log",
        core=choose_cores().gateway,
    )
    return HttpGateway("naive", port, {"Authorization": f"Bearer {around.key}"}, program)


def uvicorn_options(port: int) -> list[str]:
    """Return the options of a quiet server on a port."""
    return ["--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
