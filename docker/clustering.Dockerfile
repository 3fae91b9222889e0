# A worker without torch for linkage on a GPU with cuML for CUDA 12.
# Build from the top of the repository: docker build -f docker/clustering.Dockerfile .

FROM python:3.11.14-slim-bookworm AS builder
ENV PATH=/opt/venv/bin:$PATH \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never \
    VIRTUAL_ENV=/opt/venv
WORKDIR /build
RUN python -m pip install --no-cache-dir uv==0.13.8 && uv venv /opt/venv
# Only wheels: the source packages of cuML reach for another index.
COPY docker/clustering.txt ./
RUN --mount=type=cache,target=/root/.cache/uv \
    uv pip install --only-binary :all: -r clustering.txt
COPY requirements.lock pyproject.toml README.md LICENSE docker/build.txt ./
COPY flows flows
COPY tasks tasks
COPY blocks blocks
RUN --mount=type=cache,target=/root/.cache/uv \
    cat build.txt requirements.lock > build-constraints.txt && \
    uv pip install --no-deps --build-constraint build-constraints.txt .

FROM python:3.11.14-slim-bookworm AS runtime
# hadolint ignore=DL3008
RUN apt-get update && \
    apt-get install --yes --no-install-recommends libgomp1 && \
    rm -rf /var/lib/apt/lists/* && \
    groupadd --gid 10001 mannequin && \
    useradd --uid 10001 --gid mannequin --no-create-home --home-dir /tmp --shell /usr/sbin/nologin mannequin && \
    install --directory --owner mannequin --group mannequin /app /cache /data /models /sources /webbody
COPY --from=builder /opt/venv /opt/venv
ENV HOME=/tmp \
    CUPY_CACHE_DIR=/cache/cupy \
    MANNEQUIN_HOME=/data \
    MANNEQUIN_MODELS=/models \
    NUMBA_CACHE_DIR=/cache/numba \
    PATH=/opt/venv/bin:$PATH \
    PREFECT_HOME=/tmp/prefect \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    WEBBODY_DATA_ROOT=/webbody \
    XDG_CACHE_HOME=/cache
WORKDIR /app
USER 10001:10001
CMD ["mannequin", "--help"]
