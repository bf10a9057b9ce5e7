# The worker's image, from what `npm run build:worker -- --all` built:
#   docker build --tag muster-worker --file worker.Dockerfile dist/linux-x64
# For another processor name its folder, dist/linux-arm64. Any base with a shell and the C library of that folder's worker will do.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
# For the mesh put tailscale and tailscaled, built for this platform, beside muster-worker; without them the worker does all but join.
COPY muster-worker tailscale* /usr/local/bin/
# A new volume takes its owner and mode from here.
RUN mkdir -p /var/lib/muster && chown 10001:10001 /var/lib/muster && chmod 0700 /var/lib/muster
ENV MUSTER_STATE_DIR=/var/lib/muster
VOLUME /var/lib/muster
EXPOSE 9100
# Nobody's: all it writes is its state.
USER 10001:10001
ENTRYPOINT ["/usr/local/bin/muster-worker"]
CMD ["run"]
