/* tls_faultloop.c - faultloop.c over TLS (tls.h). */
// build: -pthread -lhiredis_ssl -lssl -lcrypto
#include "tls.h"

#include "faultloop.c"
