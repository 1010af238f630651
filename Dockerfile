# syntax=docker/dockerfile:1
# Any image with Python 3.11 and its venv: tests/deployment builds on one of Debian's packages.
ARG BASE=python:3.11-slim
FROM ${BASE} AS build
WORKDIR /src
RUN python -m venv /opt/halfstep
ENV PATH=/opt/halfstep/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
# Dependencies change less often than the code: a layer of their own.
COPY requirements.lock ./
RUN pip install --quiet --require-hashes --only-binary :all: -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY engine engine
COPY worker worker
COPY app app
# What only builds, and what only others' compilers and tests need, stays here.
RUN pip install --quiet --no-build-isolation --no-deps . \
    && pip uninstall --quiet --yes setuptools pip \
    && rm -r /opt/halfstep/lib/python3*/site-packages/pyarrow/include /opt/halfstep/lib/python3*/site-packages/pyarrow/tests \
    && python -m compileall -q /opt/halfstep/lib

FROM ${BASE}
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin halfstep \
    && install -d -o halfstep -g halfstep /data
COPY --from=build /opt/halfstep /opt/halfstep
# One BLAS thread a process: more workers beat more threads, and the bits do not depend on the machine's cores.
ENV PATH=/opt/halfstep/bin:$PATH PYTHONUNBUFFERED=1 HALFSTEP_DATA_DIR=/data OPENBLAS_NUM_THREADS=1
USER halfstep
WORKDIR /data
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=4s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=3)"]
# A container listens for others, so it asks for keys; the first one: docker exec CONTAINER halfstep keys create
ENV HALFSTEP_AUTH=required
# Everything in one container; docker-compose.yml runs the same parts one by one.
CMD ["halfstep", "serve", "--host", "0.0.0.0", "--port", "8000", "--data-dir", "/data"]
