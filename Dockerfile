# The image in which every stage runs, on Kubeflow and elsewhere. docs/kubeflow.md says how to build
# and to use it.
#   docker build --target cpu --tag taskroute:cpu .
#   docker build --target gpu --tag taskroute:gpu .

FROM python:3.11.13-slim-bookworm AS build
# One dependency has no wheel and needs a compiler; Debian keeps one version of it, so no pin.
# hadolint ignore=DL3008
RUN apt-get update && \
    apt-get install --yes --no-install-recommends g++ && \
    rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY requirements.lock ./
RUN python -m venv /opt/taskroute && \
    /opt/taskroute/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock
COPY setup.py pyproject.toml README.md ./
COPY schemas schemas
COPY models models
COPY components components
COPY pipeline pipeline
COPY examples examples
# Installed, not linked: stages name our functions by dotted paths. The lock is for `doctor`.
RUN /opt/taskroute/bin/pip install --no-cache-dir --no-deps --no-build-isolation . && \
    cp requirements.lock /opt/taskroute/

FROM build AS build-gpu
# CUDA and cuDNN as TensorFlow's wheel asks for them.
COPY requirements-gpu.lock ./
RUN /opt/taskroute/bin/pip install --no-cache-dir --no-deps --require-hashes \
    -r requirements-gpu.lock

FROM python:3.11.13-slim-bookworm AS base
# Kubernetes may run us under any number and without a home.
ENV PATH=/opt/taskroute/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    TF_USE_LEGACY_KERAS=1
RUN install --directory --mode=1777 /work
WORKDIR /work
ENTRYPOINT ["taskroute"]
CMD ["doctor"]

FROM base AS gpu
COPY --from=build-gpu /opt/taskroute /opt/taskroute
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
# Kubeflow refuses root; the number is what it checks.
USER 1000:1000
RUN ["taskroute", "doctor"]

FROM base AS cpu
COPY --from=build /opt/taskroute /opt/taskroute
USER 1000:1000
RUN ["taskroute", "doctor"]
