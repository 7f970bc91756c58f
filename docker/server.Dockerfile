# syntax=docker/dockerfile:1
# The server: NGC's Triton, and LipServe in a virtual environment of its own. It holds no weights: those are in the
# store. Build from the repository's root:
#   docker build -f docker/server.Dockerfile -t lipserve-server .
ARG TRITON_TAG=26.10-py3
# sha256:... of that tag, so that what is built twice is the same.
ARG TRITON_DIGEST=

FROM nvcr.io/nvidia/tritonserver:${TRITON_TAG}${TRITON_DIGEST:+@${TRITON_DIGEST}} AS triton

FROM triton AS build
WORKDIR /src
ENV PIP_CONSTRAINT=/src/docker/constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1
COPY docker/constraints.txt docker/
COPY pyproject.toml README.md LICENSE ./
COPY lipserve lipserve
COPY server server
COPY client client
COPY model_repository model_repository
# The wheel is of what was copied: neither the exporter nor the weights that come with it.
RUN mkdir weights \
    && python3 -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .
# Without pip of its own: the base's installs, and nothing in the final image can. Scripts of what is not here go.
RUN python3 -m venv --without-pip /opt/lipserve \
    && wheel="$(echo /wheels/lipserve-*.whl)" \
    && python3 -m pip --python /opt/lipserve/bin/python install --no-cache-dir "${wheel}[pod]"

FROM triton
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="LipServe server" \
      org.opencontainers.image.description="Lip-sync as a service on NVIDIA Triton; no weights inside" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/lipserve /opt/lipserve
# Where the store and the work directory are mounted, both by the user that serves: 1000 is the base's own.
RUN install -d -o 1000 -g 1000 /models /run/lipserve
# Triton's Python backend takes the first python3 of the path, and so this environment. ONNX Runtime reports its use
# to its maker from 1.29 on, unless it is told not to.
ENV PATH=/opt/lipserve/bin:/opt/tritonserver/bin:${PATH} PYTHONUNBUFFERED=1 \
    ORT_DISABLE_TELEMETRY=1
WORKDIR /run/lipserve
USER 1000:1000
EXPOSE 8001 8002 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10m --retries=3 \
    CMD ["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/readyz', timeout=4)"]
ENTRYPOINT ["lipserve", "pod"]
CMD ["--repository", "/models", "--work", "/run/lipserve", "--profile", "tensorrt"]
