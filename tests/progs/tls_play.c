/* tls_play.c - play.c over TLS (tls.h). */
// build: -lhiredis_ssl -lssl -lcrypto -ldl
#include "tls.h"

#include "play.c"
