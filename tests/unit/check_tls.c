/* check_tls.c - a link that is secured: against an OpenSSL of the test itself, and against a real server. */
#include "redis_fixture.h"

#include "invalidation/link.h"
#include "invalidation/tls.h"
#include "invalidation/tls_names.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>

/* ----------------------------------------------------------------------- what we believe of OpenSSL, against itself */

#define CONSTANT(name, real, value) _Static_assert((uint64_t)(value) == (uint64_t)(real), #name);
#define OPENSSL(ret, name, params)                                                                                     \
        _Static_assert(__builtin_types_compatible_p(ret(*) params, __typeof__(&name)), #name);
#include "invalidation/openssl.def"
#undef CONSTANT
#undef OPENSSL

/* ------------------------------------------------------------------------------------------------------- the names */

static const struct invalidation_tls of_program = {.ca_file = "/p/ca",
                                                   .cert_file = "/p/cert",
                                                   .key_file = "/p/key",
                                                   .server_name = "p"};

START_TEST(test_tls_settle_program)
{
        struct invalidation_config options = {.mode = INVALIDATION_TRACKING};
        struct invalidation_tls    settled;

        ck_assert(tls_names_settle(&options, &of_program, &settled));
        ck_assert_str_eq(settled.ca_file, "/p/ca");
        ck_assert_str_eq(settled.key_file, "/p/key");
        ck_assert_str_eq(settled.server_name, "p");
        ck_assert(!settled.check_name && !settled.unverified);
        options.tls_use = INVALIDATION_TLS_OFF;
        ck_assert(!tls_names_settle(&options, &of_program, &settled));
}
END_TEST

/* Options go before the program's own, a file and a folder together, a certificate and its key together. */
START_TEST(test_tls_settle_options)
{
        struct invalidation_config options = {
                .tls = {.ca_dir = "/o/dir", .cert_file = "/o/cert", .key_file = "/o/key", .server_name = "o"},
                .tls_verify = INVALIDATION_VERIFY_OFF};
        struct invalidation_tls settled;

        ck_assert(tls_names_settle(&options, &of_program, &settled));
        ck_assert_ptr_null(settled.ca_file);
        ck_assert_str_eq(settled.ca_dir, "/o/dir");
        ck_assert_str_eq(settled.cert_file, "/o/cert");
        ck_assert_str_eq(settled.key_file, "/o/key");
        ck_assert_str_eq(settled.server_name, "o");
        ck_assert(settled.check_name && settled.unverified);
        options.tls_verify = INVALIDATION_VERIFY_ON;
        ck_assert(tls_names_settle(&options, &(struct invalidation_tls){.unverified = true}, &settled));
        ck_assert(!settled.unverified);
}
END_TEST

/* Where nothing is known of the program's way, the options must say whom to believe. */
START_TEST(test_tls_settle_unknown)
{
        struct invalidation_config options = {.tls = {.cert_file = "/o/cert", .key_file = "/o/key"}};
        struct invalidation_tls    settled;

        ck_assert(!tls_names_settle(&options, NULL, &settled));
        options.tls.server_name = "o";
        ck_assert(tls_names_settle(&options, NULL, &settled));
        options.tls = (struct invalidation_tls){.ca_file = "/o/ca"};
        ck_assert(tls_names_settle(&options, NULL, &settled));
        options.tls = (struct invalidation_tls){.ca_dir = "/o/dir"};
        ck_assert(tls_names_settle(&options, NULL, &settled));
        options.tls = (struct invalidation_tls){.ca_dir = NULL};
        options.tls_verify = INVALIDATION_VERIFY_OFF;
        ck_assert(tls_names_settle(&options, NULL, &settled));
}
END_TEST

START_TEST(test_tls_names_kept_once)
{
        struct invalidation_tls copy = of_program;
        const struct tls_names *kept = tls_names_keep(&of_program);
        char                    ca[] = "/p/ca";

        copy.ca_file = ca;
        ck_assert_ptr_nonnull(kept);
        ck_assert_ptr_eq(tls_names_keep(&copy), kept);
        ca[1] = 'q';
        ck_assert_ptr_ne(tls_names_keep(&copy), kept);
        ck_assert_str_eq(kept->names.ca_file, "/p/ca");
        copy = of_program;
        copy.check_name = true;
        ck_assert_ptr_ne(tls_names_keep(&copy), kept);
        copy = of_program;
        copy.cert_file = NULL;
        ck_assert_ptr_ne(tls_names_keep(&copy), kept);
}
END_TEST

/* The program may go elsewhere; a name of a server is no path. */
START_TEST(test_tls_names_absolute)
{
        struct invalidation_tls relative = {.ca_file = "ca.pem", .server_name = "p"};
        const struct tls_names *kept;
        char                    wanted[PATH_MAX];

        ck_assert_ptr_nonnull(getcwd(wanted, sizeof wanted - 8));
        strcat(wanted, "/ca.pem");
        kept = tls_names_keep(&relative);
        ck_assert_str_eq(kept->names.ca_file, wanted);
        ck_assert_str_eq(kept->names.server_name, "p");
        relative.ca_file = wanted;
        ck_assert_ptr_eq(tls_names_keep(&relative), kept);
        ck_assert_int_eq(chdir("/"), 0);
        relative.ca_file = "ca.pem";
        ck_assert_ptr_ne(tls_names_keep(&relative), kept);
}
END_TEST

START_TEST(test_tls_names_full)
{
        static char             long_name[TLS_NAMES_BYTES];
        struct invalidation_tls one = {.server_name = long_name};
        const struct tls_names *first;
        char                    name[16];

        memset(long_name, 'x', sizeof long_name - 1);
        one.server_name = "first";
        first = tls_names_keep(&one);
        one.server_name = long_name;
        ck_assert_ptr_null(tls_names_keep(&one)); /* longer than all the room that is left */
        one.server_name = name;
        for (int i = 1; i < TLS_NAMES_MAX; i++) {
                snprintf(name, sizeof name, "%d", i);
                ck_assert_ptr_nonnull(tls_names_keep(&one));
        }
        strcpy(name, "one more");
        ck_assert_ptr_null(tls_names_keep(&one));
        strcpy(name, "first");
        ck_assert_ptr_eq(tls_names_keep(&one), first);
}
END_TEST

/* --------------------------------------------------------------------------------------- a server, byte by byte */

static char certificate[96], key[96], other[96];

static void make_certificates(void)
{
        char command[512];

        fixture_folder();
        snprintf(certificate, sizeof certificate, "%s/cert", folder);
        snprintf(key, sizeof key, "%s/key", folder);
        snprintf(other, sizeof other, "%s/other", folder);
        for (int i = 0; i < 2; i++) {
                snprintf(command, sizeof command,
                         "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=redis.test "
                         "-addext subjectAltName=DNS:redis.test,IP:127.0.0.1 -keyout %s -out %s 2>%s/openssl.log",
                         key, i == 0 ? other : certificate, folder);
                ck_assert_int_eq(system(command), 0);
        }
}

static struct link the_link;
static SSL        *peer;
static BIO        *to_peer, *from_peer;
static int         peer_fd;

static int wants_certificate(int good, X509_STORE_CTX *store)
{
        (void)good, (void)store;
        return 0;
}

/* A link to a socket whose other end the test holds, and behind that end an OpenSSL. */
static void pair_up(const struct invalidation_tls *as, bool clients_verified)
{
        SSL_CTX *context = SSL_CTX_new(TLS_server_method());
        int      sv[2];

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv), 0);
        ck_assert_int_eq(SSL_CTX_use_certificate_file(context, certificate, SSL_FILETYPE_PEM), 1);
        ck_assert_int_eq(SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM), 1);
        if (clients_verified)
                SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, wants_certificate);
        peer = SSL_new(context);
        SSL_CTX_free(context);
        SSL_set_accept_state(peer);
        to_peer = BIO_new(BIO_s_mem());
        from_peer = BIO_new(BIO_s_mem());
        BIO_set_mem_eof_return(to_peer, -1);
        SSL_set_bio(peer, to_peer, from_peer);
        peer_fd = sv[1];
        ck_assert(tls_load());
        link_init(&the_link);
        the_link.fd = sv[0];
        the_link.tls = invalidation_tls_intern(as);
        ck_assert_ptr_nonnull(the_link.tls);
}

static void part(void)
{
        link_close(&the_link);
        SSL_free(peer);
        close(peer_fd);
}

/* At most so many bytes each way; false when nothing moved. */
static bool carry(size_t most)
{
        char    buffer[65536];
        ssize_t in = recv(peer_fd, buffer, most < sizeof buffer ? most : sizeof buffer, 0), out;

        if (in > 0)
                BIO_write(to_peer, buffer, (int)in);
        if (!SSL_is_init_finished(peer))
                SSL_do_handshake(peer);
        out = BIO_read(from_peer, buffer, (int)(most < sizeof buffer ? most : sizeof buffer));
        if (out > 0)
                ck_assert_int_eq(send(peer_fd, buffer, (size_t)out, MSG_NOSIGNAL), out);
        return in > 0 || out > 0;
}

static enum link_result shake_hands(size_t most)
{
        enum link_result result;

        for (int turns = 0; (result = link_secure(&the_link)) == LINK_AGAIN; turns++) {
                ck_assert_int_lt(turns, 100000);
                ck_assert(!link_wants_write(&the_link));
                while (!carry(most) && SSL_is_init_finished(peer))
                        ck_assert_int_lt(++turns, 100000);
        }
        return result;
}

static void make_pair_folder(void)
{
        make_certificates();
        config = (struct invalidation_config){.mode = INVALIDATION_TRACKING, .bound_ns = FIXTURE_BOUND_NS};
        invalidation_setup(&config);
}

static void remove_folder(void)
{
        char command[64];

        snprintf(command, sizeof command, "rm -rf %s", folder);
        ck_assert_int_eq(system(command), 0);
}

/* A command goes out whole, an answer comes back one record at a time, in whatever pieces the socket takes them. */
START_TEST(test_tls_link_talks)
{
        static const size_t           pieces[] = {1, 7, 100, 65536};
        const struct mt_bytes         ping[] = {mt_bytes_of("PING")};
        static char                   answer[LINK_RECORD_MAX], buffer[65536];
        char                          request[64];
        size_t                        got = 0, all = 0, most = pieces[_i];
        enum link_result              result;
        const struct invalidation_tls as = {.ca_file = certificate, .server_name = "redis.test", .check_name = true};

        pair_up(&as, false);
        ck_assert_int_eq(shake_hands(most), LINK_OK);
        ck_assert_str_eq(SSL_get_servername(peer, TLSEXT_NAMETYPE_host_name), "redis.test");
        ck_assert(link_command(&the_link, ping, 1));
        ck_assert_int_eq(link_flush(&the_link), LINK_OK);
        ck_assert(!link_wants_write(&the_link));
        while (SSL_read(peer, request, sizeof request) <= 0)
                ck_assert(carry(most));
        ck_assert_int_eq(memcmp(request, "*1\r\n$4\r\nPING\r\n", 14), 0);

        memset(answer, 'a', sizeof answer);
        ck_assert_int_eq(SSL_write(peer, answer, sizeof answer), sizeof answer);
        ck_assert_int_eq(SSL_write(peer, "end", 3), 3);
        while (all < sizeof answer + 3) {
                result = link_read(&the_link, buffer, sizeof buffer, &got);
                ck_assert_int_ne(result, LINK_FAILED);
                if (result == LINK_OK)
                        all += got;
                else
                        carry(most);
        }
        ck_assert_int_eq(memcmp(buffer, "end", 3), 0);
        ck_assert_int_eq(link_read(&the_link, buffer, sizeof buffer, &got), LINK_AGAIN);
        part();
}
END_TEST

/* What is left to be read is in the socket, where poll() sees it, and nowhere else. */
START_TEST(test_tls_link_hides_nothing)
{
        const struct invalidation_tls as = {.ca_file = certificate};
        static char                   answer[LINK_RECORD_MAX], buffer[LINK_RECORD_MAX];
        size_t                        got;
        int                           records = 0;

        pair_up(&as, false);
        ck_assert_int_eq(shake_hands(65536), LINK_OK);
        while (carry(65536))
                ;
        for (int i = 0; i < 8; i++)
                ck_assert_int_eq(SSL_write(peer, answer, sizeof answer), sizeof answer);
        while (carry(65536))
                ;
        for (; records < 8; records++) {
                struct pollfd fd = {.fd = the_link.fd, .events = POLLIN};

                ck_assert_int_eq(poll(&fd, 1, 0), 1);
                ck_assert_int_eq(link_read(&the_link, buffer, sizeof buffer, &got), LINK_OK);
                ck_assert_uint_eq(got, sizeof answer);
        }
        ck_assert_int_eq(link_read(&the_link, buffer, sizeof buffer, &got), LINK_AGAIN);
        part();
}
END_TEST

/* The socket takes no more: what is left waits, in order, and is wiped when it is gone. */
START_TEST(test_tls_link_waits_for_room)
{
        const struct invalidation_tls as = {.ca_file = certificate};
        static char                   word[4000];
        const struct mt_bytes         set[] = {mt_bytes(word, sizeof word)};
        char                          buffer[65536];
        size_t                        sent = 0, taken = 0;
        int                           small = 4096, n;

        pair_up(&as, false);
        ck_assert_int_eq(shake_hands(65536), LINK_OK);
        setsockopt(the_link.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
        memset(word, 'w', sizeof word);
        while (!link_wants_write(&the_link)) {
                ck_assert(link_command(&the_link, set, 1));
                sent += 4 + 7 + sizeof word + 2;
                ck_assert_int_ne(link_flush(&the_link), LINK_FAILED);
                ck_assert_uint_lt(sent, 1 << 20);
        }
        ck_assert(link_command(&the_link, set, 1)); /* more behind what OpenSSL has seen already */
        sent += 4 + 7 + sizeof word + 2;
        while (taken < sent) {
                carry(1000);
                while ((n = SSL_read(peer, buffer, sizeof buffer)) > 0)
                        taken += (size_t)n;
                ck_assert_int_ne(link_flush(&the_link), LINK_FAILED);
        }
        ck_assert_uint_eq(taken, sent);
        ck_assert(!link_wants_write(&the_link));
        for (size_t i = 0; i < sizeof the_link.out; i++)
                ck_assert_int_eq(the_link.out[i], 0);
        part();
}
END_TEST

/* ----------------------------------------------------------------------------------------------- whom it believes */

START_TEST(test_tls_link_believes)
{
        const struct {
                struct invalidation_tls as;
                const char             *reason; /* NULL: it does */
        } cases[] = {
                {{.ca_file = certificate}, NULL},
                {{.ca_file = certificate, .server_name = "another.test"}, NULL}, /* asked for, not insisted on */
                {{.ca_file = certificate, .server_name = "redis.test", .check_name = true}, NULL},
                {{.ca_file = certificate, .server_name = "127.0.0.1", .check_name = true}, NULL},
                {{.ca_file = other, .unverified = true}, NULL},
                {{.ca_file = other}, "certificate verify failed: "},
                {{.ca_file = NULL}, "certificate verify failed: self-signed certificate"}, /* the system's */
                {{.ca_file = certificate, .server_name = "another.test", .check_name = true}, "hostname mismatch"},
                {{.ca_file = certificate, .server_name = "::1", .check_name = true}, "IP address mismatch"},
                {{.ca_file = "/nowhere/ca"}, "CA file /nowhere/ca: No such file or directory"},
                {{.ca_file = key}, "CA file "},
                {{.ca_file = certificate, .cert_file = "/nowhere/c", .key_file = key},
                 "certificate /nowhere/c: No such"},
                {{.ca_file = certificate, .cert_file = other, .key_file = key}, "key "},
                {{.ca_file = certificate, .cert_file = certificate, .key_file = "/nowhere/k"},
                 "key /nowhere/k: No such"},
        };

        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                pair_up(&cases[i].as, false);
                ck_assert_msg(shake_hands(65536) == (cases[i].reason ? LINK_FAILED : LINK_OK), "%zu: %s", i,
                              the_link.reason);
                ck_assert_msg(cases[i].reason ? strstr(the_link.reason, cases[i].reason) != NULL
                                              : the_link.reason[0] == '\0',
                              "%zu: %s", i, the_link.reason);
                part();
        }
}
END_TEST

/* A file that was mended is read again, once a connection has failed. */
START_TEST(test_tls_files_read_again)
{
        char                          file[96], command[256];
        const struct invalidation_tls as = {.ca_file = file};

        snprintf(file, sizeof file, "%s/ca", folder);
        snprintf(command, sizeof command, "cp %s %s", other, file);
        ck_assert_int_eq(system(command), 0);
        pair_up(&as, false);
        ck_assert_int_eq(shake_hands(65536), LINK_FAILED);
        part();
        snprintf(command, sizeof command, "cp %s %s", certificate, file);
        ck_assert_int_eq(system(command), 0);
        pair_up(&as, false);
        ck_assert_int_eq(shake_hands(65536), LINK_OK);
        part();
}
END_TEST

/* With TLS 1.3 the server refuses a client that believes to be connected already. */
START_TEST(test_tls_link_refused)
{
        const struct invalidation_tls as = {.ca_file = certificate, .cert_file = certificate, .key_file = key};
        const struct mt_bytes         ping[] = {mt_bytes_of("PING")};
        char                          buffer[65536];
        size_t                        got;

        pair_up(&as, true);
        ck_assert_int_eq(shake_hands(65536), LINK_OK);
        while (carry(65536))
                ;
        if (_i == 0) {
                ck_assert_int_eq(link_read(&the_link, buffer, sizeof buffer, &got), LINK_FAILED);
        } else { /* and closes, so that the next write fails before anything was read */
                ck_assert_int_eq(shutdown(peer_fd, SHUT_RD), 0);
                ck_assert(link_command(&the_link, ping, 1));
                ck_assert_int_eq(link_flush(&the_link), LINK_FAILED);
        }
        ck_assert_msg(strstr(the_link.reason, "alert") != NULL, "%s", the_link.reason);
        part();
}
END_TEST

/* The end of a connection is not a failure of TLS: no reason, and the server is tried again. */
START_TEST(test_tls_link_ends)
{
        const struct invalidation_tls as = {.ca_file = certificate};
        char                          buffer[65536];
        size_t                        got;

        pair_up(&as, false);
        if (_i > 0)
                ck_assert_int_eq(shake_hands(65536), LINK_OK);
        else
                ck_assert_int_eq(link_secure(&the_link), LINK_AGAIN);
        if (_i == 2) { /* with a goodbye */
                SSL_shutdown(peer);
                carry(65536);
        }
        shutdown(peer_fd, SHUT_RDWR);
        ck_assert_int_eq(_i > 0 ? link_read(&the_link, buffer, sizeof buffer, &got) : link_secure(&the_link),
                         LINK_FAILED);
        ck_assert_str_eq(the_link.reason, "");
        part();
}
END_TEST

/* What answers there talks no TLS. */
START_TEST(test_tls_link_clear_text)
{
        static const char *const      said[] = {"-ERR Protocol error\r\n", "+OK\r\n", "\x15\x03\x03\x00\x02\x02\x28"};
        const struct invalidation_tls as = {.ca_file = certificate};
        size_t                        len = _i < 2 ? strlen(said[_i]) : 7;

        pair_up(&as, false);
        ck_assert_int_eq(link_secure(&the_link), LINK_AGAIN);
        ck_assert_int_eq(send(peer_fd, said[_i], len, 0), (ssize_t)len);
        if (link_secure(&the_link) == LINK_AGAIN) { /* fewer bytes than a record's head */
                shutdown(peer_fd, SHUT_RDWR);
                ck_assert_int_eq(link_secure(&the_link), LINK_FAILED);
        } else {
                ck_assert_str_ne(the_link.reason, "");
        }
        part();
}
END_TEST

/* ---------------------------------------------------------------------------------------------------- a real server */

static void aim_at_port(int port)
{
        struct l1_server_id id = {.family = AF_INET};
        struct sockaddr_in *in = (void *)&endpoint.address;

        memset(&endpoint, 0, sizeof endpoint);
        in->sin_family = AF_INET;
        in->sin_port = htons((uint16_t)port);
        in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        endpoint.length = sizeof *in;
        endpoint.tls = invalidation_tls_intern(&(struct invalidation_tls){.ca_file = certificate});
        id.id[0] = (uint64_t)port;
        id.id[1] = in->sin_addr.s_addr;
        snprintf(id.address, sizeof id.address, "127.0.0.1:%d", port);
        server = l1_server(l1, &id);
        ck_assert_ptr_nonnull(server);
}

/* A port that nobody has, as far as can be known; the listening socket, when it is wanted. */
static int free_port(int *listening)
{
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t          length = sizeof in;
        int                fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        ck_assert_int_eq(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
        ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&in, &length), 0);
        if (listening && listen(fd, 16) == 0)
                *listening = fd;
        else
                close(fd);
        return ntohs(in.sin_port);
}

/* TLS at a port of its own, clear text at the path. */
static void setup_tls(void)
{
        char        port[16];
        int         number;
        const char *options[] = {"--tls-port",
                                 port,
                                 "--tls-cert-file",
                                 certificate,
                                 "--tls-key-file",
                                 key,
                                 "--tls-ca-cert-file",
                                 certificate,
                                 "--tls-auth-clients",
                                 "no",
                                 NULL};

        make_certificates();
        number = free_port(NULL);
        snprintf(port, sizeof port, "%d", number);
        fixture_start_redis(options);
        fixture_attach();
        aim_at_port(number);
}

START_TEST(test_tls_listener)
{
        UNTIL(fresh());
        ck_assert(led_by_us());
        for (int i = 0; i < 20; i++) {
                fill("a");
                fixture_say("SET a %d", i);
                ck_assert_uint_lt(UNTIL(!present("a")), FIXTURE_BOUND_NS);
        }
        ck_assert_uint_eq(mt_load_relaxed(&server->reconnects), 0);
        fill("a");
        fixture_say("CLIENT KILL TYPE pubsub");
        UNTIL(mt_load_relaxed(&server->reconnects) == 1 && fresh());
        ck_assert(!present("a"));
        ck_assert(!logged("mtshim"));
}
END_TEST

/* More in one message than a record, a buffer and a turn's share of reads hold: 500 KB. */
START_TEST(test_tls_listener_flood)
{
        static const char name[] =
                "key:%d:with-a-name-that-adds-up-to-a-hundred-bytes-with-what-goes-between-one-and-the-next";
        char first[128], last[128];

        snprintf(first, sizeof first, name, 0);
        snprintf(last, sizeof last, name, 4999);
        UNTIL(fresh());
        fill(first);
        fill(last);
        fixture_say("EVAL %s 0 %s", "for i = 0, 4999 do redis.call('set', string.format(ARGV[1], i), 1) end", name);
        UNTIL(!present(first) && !present(last));
        UNTIL(mt_load_relaxed(&server->invalidations) >= 5000);
        ck_assert_uint_eq(mt_load_relaxed(&server->reconnects), 0);
        ck_assert_uint_eq(counted(COUNTER_error_listener), 0);
}
END_TEST

/* Refused in one way, a process may be let in in another. */
START_TEST(test_tls_listener_other_way)
{
        const struct invalidation_tls *right = endpoint.tls;

        endpoint.tls = invalidation_tls_intern(&(struct invalidation_tls){.ca_file = other});
        UNTIL(logged("TLS fails, not listening, nothing is served from L1: certificate verify failed"));
        ck_assert_uint_eq(counted(COUNTER_error_listener), 1);
        UNTIL(!led());
        for (int i = 0; i < 200; i++) { /* it stays out */
                attend();
                usleep(500);
        }
        ck_assert(!led());
        endpoint.tls = right;
        UNTIL(fresh());
}
END_TEST

/* The kernel takes the connection, and nobody ever reads from it. */
START_TEST(test_tls_listener_stalls)
{
        int silent;

        aim_at_port(free_port(&silent));
        UNTIL(listener_thread() != 0 && led());
        usleep(20000);
        for (int i = 0; i < 8 && !logged("does not answer a TLS handshake, nothing is served"); i++) {
                atomic_fetch_add(&clock_test_offset_ns, 5 * (int64_t)NS_PER_S);
                for (int k = 0; k < 100; k++) {
                        attend();
                        usleep(1000);
                }
        }
        ck_assert(logged("does not answer a TLS handshake, nothing is served"));
        ck_assert(stale());
}
END_TEST

/* ------------------------------------------------------------------------------------------------- fork and exit */

/* One connection, from the first to the last byte. */
static void hammer_once(struct link *l)
{
        const struct mt_bytes ping[] = {mt_bytes_of("PING")};
        char                  buffer[LINK_RECORD_MAX];
        size_t                got;
        struct pollfd         fd;

        link_init(l);
        if (link_open(l, &endpoint) == LINK_FAILED)
                return;
        fd = (struct pollfd){.fd = l->fd, .events = POLLOUT};
        poll(&fd, 1, 1000);
        if (link_finish(l) != LINK_OK)
                return;
        fd.events = POLLIN;
        while (link_secure(l) == LINK_AGAIN)
                poll(&fd, 1, 1000);
        for (int i = 0; i < 20 && l->reason[0] == '\0'; i++) {
                if (!link_command(l, ping, 1) || link_flush(l) == LINK_FAILED)
                        break;
                poll(&fd, 1, 1000);
                link_read(l, buffer, sizeof buffer, &got);
        }
        link_close(l);
}

static _Atomic unsigned hammered;
static _Atomic bool     hammering;

static void *hammer(void *unused)
{
        static struct link l;

        while (mt_load_relaxed(&hammering)) {
                hammer_once(&l);
                mt_fetch_add_relaxed(&hammered, 1);
        }
        tls_thread_ends();
        return unused;
}

/* As a program does: OpenSSL is there, with its own handler of exit, before the listener comes. */
static pthread_t hammer_start(void)
{
        pthread_t thread;

        ck_assert_int_eq(OPENSSL_init_ssl(0, NULL), 1);
        ck_assert(tls_load());
        mt_store_relaxed(&hammering, true);
        ck_assert_int_eq(pthread_create(&thread, NULL, hammer, NULL), 0);
        while (mt_load_relaxed(&hammered) == 0)
                usleep(100);
        return thread;
}

static int status_of(pid_t pid)
{
        int status;

        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        return status;
}

/* A child of a process whose other thread is always inside OpenSSL can use it, and so can we. */
START_TEST(test_tls_fork)
{
        pthread_t thread = hammer_start();

        for (int i = 0; i < 50; i++) {
                static struct link l;
                pid_t              pid = fork();

                if (pid == 0) {
                        alarm(20);
                        endpoint.tls = invalidation_tls_intern(&(struct invalidation_tls){.unverified = true});
                        link_init(&l);
                        link_open(&l, &endpoint);
                        link_finish(&l);
                        while (link_secure(&l) == LINK_AGAIN)
                                usleep(100);
                        _exit(l.ssl != NULL && l.reason[0] == '\0' && !l.ended ? 0 : 1);
                }
                ck_assert_msg(status_of(pid) == 0, "round %d", i);
        }
        mt_store_relaxed(&hammering, false);
        pthread_join(thread, NULL);
}
END_TEST

/* One made past libc, in the middle of it, is told that there is no TLS for it; it does not wait for ever. */
START_TEST(test_tls_raw_fork)
{
        pthread_t thread = hammer_start();
        unsigned  refused = 0;

        for (int i = 0; i < 400 && refused < 3; i++) {
                static struct link l;
                pid_t              pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
                int                status;

                if (pid == 0) {
                        alarm(20);
                        link_init(&l);
                        l.tls = endpoint.tls;
                        l.fd = 1000;
                        syscall(SYS_exit_group, link_secure(&l) == LINK_FAILED && l.ended && l.ssl == NULL ? 7 : 0);
                }
                status = status_of(pid);
                ck_assert_msg(WIFEXITED(status), "round %d: %d", i, status);
                refused += WEXITSTATUS(status) == 7;
        }
        ck_assert_uint_gt(refused, 0);
        mt_store_relaxed(&hammering, false);
        pthread_join(thread, NULL);
}
END_TEST

/* OpenSSL frees everything at exit; the thread must not be inside by then, and not go in any more. */
START_TEST(test_tls_exit)
{
        for (int i = 0; i < 60; i++) {
                pid_t pid;
                int   status;

                fflush(NULL);
                pid = fork();
                if (pid == 0) {
                        alarm(20);
                        hammer_start();
                        usleep((useconds_t)(i * 97 % 4000));
                        exit(3);
                }
                status = status_of(pid);
                ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 3, "round %d: %d", i, status);
        }
}
END_TEST

static TCase *group(Suite *suite, const char *name, SFun setup, SFun teardown)
{
        TCase *tc = tcase_create(name);

        tcase_set_timeout(tc, 60);
        tcase_add_checked_fixture(tc, setup, teardown);
        suite_add_tcase(suite, tc);
        return tc;
}

/* What OpenSSL holds for us hangs on memory that is mapped, where the leak sanitizer does not look for pointers. */
const char *__lsan_default_suppressions(void) __attribute__((visibility("default")));
const char *__lsan_default_suppressions(void)
{
        return "leak:libssl\nleak:libcrypto\n";
}

int main(void)
{
        Suite   *suite = suite_create("tls");
        SRunner *runner = srunner_create(suite);
        TCase   *tc = tcase_create("names");
        int      failed;

        suite_add_tcase(suite, tc);
        tcase_add_test(tc, test_tls_settle_program);
        tcase_add_test(tc, test_tls_settle_options);
        tcase_add_test(tc, test_tls_settle_unknown);
        tcase_add_test(tc, test_tls_names_kept_once);
        tcase_add_test(tc, test_tls_names_absolute);
        tcase_add_test(tc, test_tls_names_full);
        tc = group(suite, "link", make_pair_folder, remove_folder);
        tcase_add_loop_test(tc, test_tls_link_talks, 0, 4);
        tcase_add_test(tc, test_tls_link_hides_nothing);
        tcase_add_test(tc, test_tls_link_waits_for_room);
        tcase_add_test(tc, test_tls_link_believes);
        tcase_add_test(tc, test_tls_files_read_again);
        tcase_add_loop_test(tc, test_tls_link_refused, 0, 2);
        tcase_add_loop_test(tc, test_tls_link_ends, 0, 3);
        tcase_add_loop_test(tc, test_tls_link_clear_text, 0, 3);
        tc = group(suite, "server", setup_tls, fixture_teardown);
        tcase_add_test(tc, test_tls_listener);
        tcase_add_test(tc, test_tls_listener_flood);
        tcase_add_test(tc, test_tls_listener_other_way);
        tcase_add_test(tc, test_tls_listener_stalls);
        tcase_add_test(tc, test_tls_fork);
        tcase_add_test(tc, test_tls_raw_fork);
        tcase_add_test(tc, test_tls_exit);
        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed == 0 ? 0 : 1;
}
