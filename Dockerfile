# The server's image, with the workers it hands out:
#   docker build --tag muster .
# The first base needs Node 20 or newer with npm, the second nothing but the C library.
ARG BUILD_BASE=node:22-bookworm-slim
ARG BASE=debian:bookworm-slim

FROM ${BUILD_BASE} AS build
WORKDIR /muster
COPY . .
RUN npm run build:worker -- --all \
	&& npm run build:dashboard \
	&& cp node_modules/bun/bin/bun.exe /usr/local/bin/bun \
	&& npm prune --omit=dev --no-audit --no-fund

FROM ${BASE}
COPY --from=build /usr/local/bin/bun /usr/local/bin/bun
WORKDIR /muster
COPY --from=build /muster/package.json /muster/tsconfig.json ./
COPY --from=build /muster/node_modules node_modules
COPY --from=build /muster/migrations migrations
COPY --from=build /muster/dist dist
COPY --from=build /muster/src src
# A new volume takes its owner and mode from here.
RUN mkdir -p /data && chown 10001:10001 /data && chmod 0700 /data
ENV MUSTER_DATA_DIR=/data MUSTER_LISTEN=0.0.0.0:7480 MUSTER_METRICS_LISTEN=0.0.0.0:7490
VOLUME /data
EXPOSE 7480 7490
USER 10001:10001
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
	CMD ["bun", "--no-env-file", "-e", "process.exit((await fetch('http://127.0.0.1:7480/health/ready')).ok ? 0 : 1)"]
ENTRYPOINT ["bun", "--no-env-file", "src/main.ts"]
CMD ["serve"]
