# syntax=docker/dockerfile:1
# Gateways and workers of jobs: no Triton, no weights, no GPU. Build from the repository's root:
#   docker build -f docker/jobs.Dockerfile -t lipserve-jobs .
ARG PYTHON_TAG=3.11-slim-bookworm
# sha256:... of that tag, so that what is built twice is the same.
ARG PYTHON_DIGEST=

FROM python:${PYTHON_TAG}${PYTHON_DIGEST:+@${PYTHON_DIGEST}} AS python
# What another base might set reaches neither pip nor the programs.
ENV PYTHONPATH= PYTHONHOME= PYTHONSTARTUP= PYTHONNOUSERSITE=1

FROM python AS build
WORKDIR /src
ENV PIP_CONSTRAINT=/src/docker/constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1
COPY docker/constraints.txt docker/
COPY docker/requirements docker/requirements
COPY pyproject.toml README.md LICENSE ./
COPY lipserve lipserve
COPY client client
COPY jobs jobs
# The wheel is of what was copied: neither the server nor the exporter.
RUN mkdir weights model_repository \
    && python3 -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .
RUN python3 -m venv --without-pip /opt/lipserve \
    && python3 -m pip --python /opt/lipserve/bin/python install --no-cache-dir --no-deps --only-binary=:all: \
        --require-hashes -r docker/requirements/jobs.txt \
    && wheel="$(echo /wheels/lipserve-*.whl)" \
    && python3 -m pip --python /opt/lipserve/bin/python install --no-cache-dir --no-deps "${wheel}[jobs]" \
    && python3 -m pip --python /opt/lipserve/bin/python check

FROM python
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="LipServe jobs" \
      org.opencontainers.image.description="Gateways and workers of LipServe's jobs; no Triton inside" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/lipserve /opt/lipserve
RUN install -d -o 1000 -g 1000 /scratch
ENV PATH=/opt/lipserve/bin:${PATH} PYTHONUNBUFFERED=1 HOME=/tmp
WORKDIR /scratch
USER 1000:1000
# The API and the page; metrics of a gateway or a worker.
EXPOSE 8080 9100
STOPSIGNAL SIGTERM
# Two programs, with ports of their own: who runs one asks it (/healthz).
HEALTHCHECK NONE
ENTRYPOINT ["lipserve", "jobs"]
CMD ["gateway"]
