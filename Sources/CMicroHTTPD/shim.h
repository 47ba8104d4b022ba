#pragma once
#include <microhttpd.h>
#include <stdint.h>
#include <sys/socket.h>

/// Starts a server with its own thread. In C, because Swift cannot call variadic functions.
static inline struct MHD_Daemon *_Nullable winnow_http_start(
    const struct sockaddr *_Nonnull address, MHD_AccessHandlerCallback _Nonnull handler, void *_Nonnull context,
    unsigned int connections_max, unsigned int connections_per_address_max, unsigned int timeout_seconds,
    size_t request_bytes_max) {
    unsigned int flags = MHD_USE_EPOLL_INTERNAL_THREAD;
    if (address->sa_family == AF_INET6) flags |= MHD_USE_IPv6;
    return MHD_start_daemon(
        flags, 0, NULL, NULL, handler, context, MHD_OPTION_SOCK_ADDR, address, MHD_OPTION_CONNECTION_LIMIT,
        connections_max, MHD_OPTION_PER_IP_CONNECTION_LIMIT, connections_per_address_max, MHD_OPTION_CONNECTION_TIMEOUT, timeout_seconds, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        request_bytes_max, MHD_OPTION_END);
}

/// The port that a server listens on; 0 if unknown.
static inline uint16_t winnow_http_port(struct MHD_Daemon *_Nonnull daemon) {
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT);
    return info ? info->port : 0;
}
