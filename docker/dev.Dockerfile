# syntax=docker/dockerfile:1
# A server for laptops and CI, without NVIDIA's image and without a GPU: the embedded Triton out of a Python wheel.
# That Triton is old and has known holes: publish its ports on loopback (-p 127.0.0.1:8001:8001), never on a network.
#   docker build -f docker/dev.Dockerfile -t lipserve-dev .
ARG PYTHON_TAG=3.11-slim-bookworm
ARG PYTHON_DIGEST=

FROM python:${PYTHON_TAG}${PYTHON_DIGEST:+@${PYTHON_DIGEST}} AS python

FROM python AS build
WORKDIR /src
ENV PIP_CONSTRAINT=/src/docker/constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1
COPY docker/constraints.txt docker/
COPY pyproject.toml README.md LICENSE ./
COPY lipserve lipserve
COPY server server
COPY client client
COPY model_repository model_repository
RUN mkdir weights \
    && python3 -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .
RUN python3 -m venv --without-pip /opt/lipserve \
    && wheel="$(echo /wheels/lipserve-*.whl)" \
    && python3 -m pip --python /opt/lipserve/bin/python install --no-cache-dir "${wheel}[pod,server]"

FROM python
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="LipServe development server" \
      org.opencontainers.image.description="Lip-sync on an embedded Triton, for laptops and CI only" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/lipserve /opt/lipserve
RUN install -d -o 1000 -g 1000 /models /run/lipserve
# ONNX Runtime reports its use to its maker from 1.29 on, unless it is told not to.
ENV PATH=/opt/lipserve/bin:${PATH} PYTHONUNBUFFERED=1 ORT_DISABLE_TELEMETRY=1
WORKDIR /run/lipserve
USER 1000:1000
EXPOSE 8001 8002 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=3m --retries=3 \
    CMD ["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/readyz', timeout=4)"]
ENTRYPOINT ["lipserve", "pod"]
CMD ["--repository", "/models", "--work", "/run/lipserve", "--profile", "embedded"]
