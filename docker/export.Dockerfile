# syntax=docker/dockerfile:1
# The exporter on the server's base: plans are built by the TensorRT that loads them. Build from the repository's
# root, with the tag (and digest) of the server:
#   docker build -f docker/export.Dockerfile -t lipserve-export .
# The package index's PyTorch brings CUDA libraries that nothing here uses: PIP_EXTRA_INDEX_URL, an address of builds
# for CPUs, makes the image gigabytes smaller.
ARG TRITON_TAG=26.11-py3
ARG TRITON_DIGEST=

FROM nvcr.io/nvidia/tritonserver:${TRITON_TAG}${TRITON_DIGEST:+@${TRITON_DIGEST}} AS triton
# The base's own (NGC's PYTHONPATH is DALI's folder, with another NumPy) reaches neither pip nor the stages.
ENV PYTHONPATH= PYTHONHOME= PYTHONSTARTUP= PYTHONNOUSERSITE=1

FROM triton AS build
WORKDIR /src
ARG PIP_EXTRA_INDEX_URL=
# A requirement of pip's, or a wheel's address, where the index has no bindings for the base's TensorRT.
ARG TENSORRT_BINDINGS=
ENV PIP_CONSTRAINT=/src/docker/constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1
COPY docker/constraints.txt docker/
COPY pyproject.toml README.md LICENSE ./
COPY lipserve lipserve
COPY server server
COPY client client
COPY export export
COPY model_repository model_repository
COPY weights weights
RUN python3 -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .
RUN python3 -m venv --without-pip /opt/lipserve \
    && wheel="$(echo /wheels/lipserve-*.whl)" \
    && python3 -m pip --python /opt/lipserve/bin/python install --no-cache-dir "${wheel}[export]"
# The face networks are taken out of this wheel: a cluster's Job reaches no package index, and has no pip.
RUN python3 -m pip download --no-cache-dir --no-deps --only-binary=:all: --dest /opt/lipserve/cache/lipserve \
        "$(/opt/lipserve/bin/python -c 'from lipserve_export.fetch.files import MEDIAPIPE as v; print(v)')"
# Bindings of exactly the library that is here; the library itself is the base's.
RUN version="$(/opt/lipserve/bin/python -c \
        'from lipserve_server.repository.engines import tensorrt_version as v; print(v() or exit("The base has no TensorRT."))')" \
    && python3 -m pip --python /opt/lipserve/bin/python install --no-cache-dir --no-deps \
        "${TENSORRT_BINDINGS:-tensorrt-cu${CUDA_VERSION%%.*}-bindings==${version}.*}" \
    && /opt/lipserve/bin/python -c 'from lipserve_export.engines.tensorrt import builder_version as v; print(v("tensorrt"))'

FROM triton
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="LipServe exporter" \
      org.opencontainers.image.description="Public weights into graphs and TensorRT plans" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/lipserve /opt/lipserve
RUN install -d -o 1000 -g 1000 /models
# The cache is the one above, and may be read-only with everything else: `fetch` wants -o. ONNX Runtime reports its use
# to its maker from 1.29 on, unless it is told not to.
ENV PATH=/opt/lipserve/bin:${PATH} PYTHONUNBUFFERED=1 HOME=/tmp XDG_CACHE_HOME=/opt/lipserve/cache \
    ORT_DISABLE_TELEMETRY=1
WORKDIR /tmp
USER 1000:1000
# A command that ends has no health to ask for.
HEALTHCHECK NONE
ENTRYPOINT ["lipserve", "export"]
CMD ["engines", "--repository", "/models"]
