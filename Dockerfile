# The training image: every stage of the pipeline runs in it, on Kubeflow and elsewhere.
FROM python:3.11-slim-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
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
RUN /opt/taskroute/bin/pip install --no-cache-dir --no-deps .

FROM python:3.11-slim-bookworm
COPY --from=build /opt/taskroute /opt/taskroute
ENV PATH=/opt/taskroute/bin:$PATH TF_USE_LEGACY_KERAS=1
# Kubeflow refuses root; the number is what it checks.
USER 1000
WORKDIR /work
ENTRYPOINT ["taskroute"]
CMD ["--help"]
