# One image for every process: operator, worker, api and the command line.
#
#   docker build --build-arg PYTHON_IMAGE=python:3.12-slim-bookworm@sha256:<digest> --tag ordinaut:0.1.0 .
#
# The base image is named by its digest, so that two builds of one commit have the same contents. To build without one,
# for a try on your own machine: --build-arg ALLOW_UNPINNED=1
ARG PYTHON_IMAGE=python:3.12-slim-bookworm

# ---------------------------------------------------------------- builder
FROM ${PYTHON_IMAGE} AS builder

ARG PYTHON_IMAGE
ARG ALLOW_UNPINNED=0
RUN case "${PYTHON_IMAGE}" in \
        *@sha256:*) ;; \
        *) test "${ALLOW_UNPINNED}" = 1 || { \
            echo "PYTHON_IMAGE: ${PYTHON_IMAGE}: no digest; add @sha256:..., or --build-arg ALLOW_UNPINNED=1 for a try" >&2; \
            exit 1; \
        } ;; \
    esac

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1

# What runs, and what builds: exactly the locked versions, checked against their hashes.
COPY requirements/runtime.txt /build/requirements/
RUN python -m venv /opt/ordinaut \
    && /opt/ordinaut/bin/pip install --require-hashes --only-binary=:all: --requirement /build/requirements/runtime.txt

COPY requirements/build.txt /build/requirements/
RUN python -m venv /build/venv \
    && /build/venv/bin/pip install --require-hashes --only-binary=:all: --requirement /build/requirements/build.txt

# The same wheel that the tests build; what is copied here is said by .dockerignore.
WORKDIR /build/source
COPY . .
RUN /build/venv/bin/hatchling build --target wheel --directory /build/dist \
    && /opt/ordinaut/bin/pip install --no-deps --no-index /build/dist/*.whl \
    && /opt/ordinaut/bin/pip check \
    && /opt/ordinaut/bin/pip uninstall --yes pip

# Nothing is written at run time, so bytecode is made here; it is never compared with the sources' times.
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/ordinaut

# ---------------------------------------------------------------- image
FROM ${PYTHON_IMAGE}

ARG VERSION=0.1.0
ARG REVISION=""
ARG CREATED=""
LABEL org.opencontainers.image.title="Ordinaut" \
      org.opencontainers.image.description="Time, state and discipline for AI agents on Kubernetes." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"

# The base image leaves the bytecode of the standard library out.
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash \
        "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"

COPY --from=builder /opt/ordinaut /opt/ordinaut

ENV PATH=/opt/ordinaut/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

# A number, so that Kubernetes can see that it is not root. Any other user works too: no file belongs to this one.
USER 65532:65532
WORKDIR /
STOPSIGNAL SIGTERM

# What to run is named in full, for example: python -m ordinaut_operator, python -m ordinaut_worker,
# python -m ordinaut_api, ordinaut migrate. There is no entry point and no shell between: it is process 1.
CMD ["ordinaut", "--help"]
