# The proxy alone. Build: docker build -t querywarden .
FROM python:3.13-slim-bookworm AS build
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY pyproject.toml setup.py MANIFEST.in LICENSE README.md requirements.lock ./
COPY src src
# The lock file holds the tools too; the image gets the versions of what the package itself asks for.
RUN python -m venv /opt/querywarden \
    && /opt/querywarden/bin/pip install --no-cache-dir -c requirements.lock setuptools Cython \
    && /opt/querywarden/bin/pip install --no-cache-dir -c requirements.lock --no-build-isolation . \
    && /opt/querywarden/bin/python -c 'import querywarden.postgresql.rows' \
    && /opt/querywarden/bin/pip uninstall -y -q setuptools Cython

FROM python:3.13-slim-bookworm
COPY --from=build /opt/querywarden /opt/querywarden
RUN useradd --system --uid 10001 --home-dir /var/lib/querywarden --create-home querywarden \
    && mkdir -p /etc/querywarden && chmod 0700 /var/lib/querywarden
ENV PATH=/opt/querywarden/bin:$PATH PYTHONUNBUFFERED=1
USER querywarden
WORKDIR /etc/querywarden
VOLUME /var/lib/querywarden
EXPOSE 6432 9432
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9432/readyz', timeout=2)"]
ENTRYPOINT ["querywarden"]
CMD ["serve", "-c", "/etc/querywarden/querywarden.yaml"]
